"""Check the prose of the pages and docstrings: proselint's checks, and words that this project does not use.

`python .ci/prose.py` exits with 1 when something was found; each finding is one line, `file:line: what`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from proselint.checks import __register__
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).parent.parent
PAGES = ("*.md", "docs/*.md", "docs/tutorials/*.md", "samplers/*.md")
PACKAGES = ("samplers", "qbmvae", "experiments")
#: made by a program from docstrings that are checked themselves
GENERATED = {"docs/command-line.md"}

#: the typography of print; words of statistics that proselint takes for sloppy ones; spellings of code next to those of prose
SILENT = (
    "typography",
    "annotations",
    "hedging",
    "weasel_words",
    "uncomparables",
    "spelling.consistency",
    "industrial_language",
    "needless_variants",
    "dates_times",
)

#: words that readers stumbled over, and what to write
HOUSE = {
    r"\bbeside\b": "next to, also",
    r"\bcures?\b": "what to do, remedy",
    r"\breads? off\b": "takes, derives",
    r"\bhands? on\b": "passes",
    r"\b(is|are) told\b(?! (apart|from))": "receives, learns",
    r"\bsays? of\b": "tells about",
    r"\broof\b": "the place or module by its name",
    r"\bin any company\b": "whichever other cells are there",
    r"\bwhole (number|value)s?\b": "integer",
    r"\bsimply\b|\bjust\b|\bobviously\b|\bof course\b": "leave it out",
    r"\butili[sz]e": "use",
}

#: what is not prose, in this order; each match becomes underscores so that lines and columns stay
NOT_PROSE = [
    re.compile(pattern, re.MULTILINE | re.DOTALL)
    for pattern in (
        r"\A---\n.*?\n---\n",
        r"^(?P<fence>(`{3,}|:{3,}))[^\n]*$(?=\n\{toctree)",
        r"^ *(?P<ticks>`{3,})[^`\n]*\n.*?^ *(?P=ticks)`* *$",
        r"<!--.*?-->",
        r"^:{3,}.*?$|^:[a-z-]+:.*?$",
        r"``[^`]+``|`[^`]+`",
        r"\$\$.*?\$\$|\$[^$\n]+\$",
        r"\]\([^)\n]*\)",
        r"<[^>\n]+>|https?://\S+",
    )
]


def prose(text: str) -> str:
    """Return the text with code, formulas and addresses replaced by underscores, and headings closed with a full stop."""
    for pattern in NOT_PROSE:
        text = pattern.sub(lambda match: re.sub(r"[^\n]", "_", match[0]), text)
    return re.sub(r"^(#+ .*)$", r"\1.", text, flags=re.MULTILINE)


def pages() -> Iterator[tuple[str, int, str]]:
    """Yield the name, the first line and the prose of each page."""
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        if name not in GENERATED:
            yield name, 1, prose(path.read_text())


def docstrings() -> Iterator[tuple[str, int, str]]:
    """Yield the name of the file, the first line and the prose of each docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds) and (text := ast.get_docstring(node, clean=False)):
                yield path.relative_to(ROOT).as_posix(), node.body[0].lineno, prose(text)


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line, counted from 0, and the words of each finding."""
    for found in LintFile("text", text).lint({"max_errors": 1000, "checks": DEFAULT["checks"]}):
        start, end = found.check_result.span
        if not found.check_result.check_path.startswith(SILENT) and not _by_design(f"\n{text}\n"[start:end]):
            yield found.pos[0] - 2, f"{found.check_result.check_path}: {found.check_result.message}".replace("\n", " ")
    for pattern, plain in HOUSE.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()), f"'{match[0]}' is a word that readers stumble over: {plain}"


def _by_design(words: str) -> bool:
    """Whether repeated words are code next to code, or a heading or parameter and the first word of what it says."""
    parts = words.split()
    repeated = len(parts) > 1 and parts[0].lower() == parts[-1].lower()
    return "__" in words or (repeated and (parts[0] != parts[-1] or not parts[0].isalpha()))


def main() -> int:
    """Print every finding; return 1 when there is one."""
    CheckRegistry().register_many(__register__)
    number = 0
    for name, first, text in [*pages(), *docstrings()]:
        for line, words in findings(text):
            number += 1
            print(f"{name}:{first + line}: {words}")
    print(f"prose: {number} findings" if number else "prose: nothing found")
    return bool(number)


if __name__ == "__main__":
    sys.exit(main())
