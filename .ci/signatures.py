"""Write the fields of the option classes into the signatures and docstrings that users see.

`python .ci/signatures.py` writes, `--check` says whether anything is stale. The sources are read and written as text, so
that nothing of ours is imported. In a signature, the arguments between the comments MARK and OWN (or its end) are written.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = {
    "ModelOptions": "qbmvae/core/options.py",
    "TrainingConfig": "qbmvae/core/training/config.py",
    "RunOptions": "qbmvae/model/run_options.py",
}
#: File, class, method, whether the class's docstring describes the arguments, and the options that are arguments.
TARGETS = (
    ("qbmvae/model/model.py", "QBMVAE", "__init__", True, ("ModelOptions",)),
    ("qbmvae/model/training_methods.py", "TrainingMethods", "train", False, ("TrainingConfig", "RunOptions")),
)
#: Written by hand, because the method's default or place differs.
BY_HAND = {"max_epochs", "batch_size"}
#: The line before the arguments that are written here, and the one after them where others follow.
MARK, OWN = "# written by .ci/signatures.py", "# written by hand"


def find(body: list[ast.stmt], name: str) -> ast.AST:
    """Return the class or function of this name."""
    return next(node for node in body if getattr(node, "name", None) == name)


def entries(doc: str, section: str) -> list[tuple[list[str], str]]:
    """Return the entries of a numpydoc section: their names, and their text without the section's indentation."""
    lines = doc.split("\n")
    start = next(i for i, line in enumerate(lines) if line.strip() == section) + 2
    found: list[tuple[list[str], str]] = []
    for line in lines[start:]:
        if line and not line.startswith(" "):
            if re.match(r"[A-Z]\w+$", line):
                break
            found.append(([name.strip().lstrip("*") for name in line.split(":")[0].split(",")], line))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}".rstrip())
    return found


def options(name: str) -> tuple[list[tuple[str, str]], list[tuple[list[str], str]]]:
    """Return the fields of an option class as (name, source of the argument), and the entries that describe them."""
    text = (ROOT / OPTIONS[name]).read_text()
    node = find(ast.parse(text).body, name)
    fields = [
        (
            f.target.id,
            f"{f.target.id}: {ast.get_source_segment(text, f.annotation)} = {ast.get_source_segment(text, f.value)}",
        )
        for f in node.body
        if isinstance(f, ast.AnnAssign) and f.target.id not in BY_HAND
    ]
    described = [e for e in entries(ast.get_docstring(node), "Attributes") if not BY_HAND & set(e[0])]
    if {n for names, _ in described for n in names} != {n for n, _ in fields}:
        raise SystemExit(f"{OPTIONS[name]}: fields and Attributes of {name} differ")
    return fields, described


def rewritten(path: str, owner: str, method: str, of_class: bool, names: tuple[str, ...]) -> str:
    """Return a file's text with the arguments and their description as the option classes have them."""
    text = (ROOT / path).read_text()
    found = [options(name) for name in names]
    lines = text.split("\n")
    node = find(find(ast.parse(text).body, owner).body, method)
    start = next(i for i in range(node.lineno, node.body[0].lineno) if lines[i].strip().startswith(MARK))
    end = next(i for i in range(start, node.body[0].lineno) if lines[i].strip().startswith((OWN, ")")))
    arguments = [*node.args.args, *node.args.kwonlyargs]
    before = {a.arg for a in arguments if start < a.lineno - 1 < end}
    after = [field for part, _ in found for field in part]
    lines[start + 1 : end] = [f"        {source}," for _, source in after]
    text = "\n".join(lines)

    node = find(ast.parse(text).body, owner)
    doc = ast.get_docstring(node if of_class else find(node.body, method))
    old = entries(doc, "Parameters")
    ours = before | {name for name, _ in after}
    place = next(i for i, (e, _) in enumerate(old) if set(e) <= ours)
    new = [(e, text) for e, text in old if not set(e) <= ours]
    new[place:place] = [entry for _, part in found for entry in part]
    head, tail = doc.split(old[0][1], 1)[0], doc.split(old[-1][1], 1)[1]
    fresh = head + "\n".join(e for _, e in new) + tail
    indent = " " * (4 if of_class else 8)
    return text.replace(_indented(doc, indent), _indented(fresh, indent))


def _indented(doc: str, indent: str) -> str:
    return "\n".join(f"{indent}{line}" if line and i else line for i, line in enumerate(doc.split("\n")))


def main() -> int:
    """Write or check the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is stale")
    check = parser.parse_args().check
    stale = []
    for path, *target in TARGETS:
        text = rewritten(path, *target)
        if text != (ROOT / path).read_text():
            stale.append(path)
            if not check:
                (ROOT / path).write_text(text)
    if check and stale:
        print(f"stale: {', '.join(stale)}; run python .ci/signatures.py", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
