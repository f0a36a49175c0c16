"""Write the reference part of docs/command-line.md from the commands themselves: python .ci/command_reference.py."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App, Argument

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "command-line.md"
MARK = "<!-- everything below is written by .ci/command_reference.py -->"
#: Options of every command, described once.
COMMON = {"--config", "--set", "--quiet", "--json"}


def leaves(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Yield every command below an application, in the order of its help page."""
    if app.default_command is not None:
        yield path, app
    for name in app:
        if not name.startswith("-"):
            yield from leaves(app[name], (*path, name))


def reference() -> str:
    """Return the part of the page that describes every command and option."""
    sys.path.insert(0, str(ROOT))
    from experiments.cli.main import build

    parts = []
    shared: list[Argument] = []
    for words, app in leaves(build()):
        arguments = [a for a in app.assemble_argument_collection(parse_docstring=True) if a.parse and not a.children]
        shared = shared or [a for a in arguments if a.name in COMMON]
        text = inspect.getdoc(app.default_command).partition("\n\nParameters\n")[0]
        prose, _, example = text.partition("\n\nExample: ")
        examples = [line.removeprefix("Example: ") for line in example.splitlines() if line]
        lines = [f"### qbmvae {' '.join(words)}", "", prose, "", "```sh", *examples, "```", ""]
        rows = [_row(a) for a in arguments if a.name not in COMMON]
        table = ["| argument or option | default | what |", "|---|---|---|", *rows] if rows else []
        parts.append("\n".join([*lines, *table]).rstrip())
    head = ["## Reference", "", "Every command also takes", "", "| option | default | what |", "|---|---|---|"]
    return "\n".join([*head, *map(_row, shared)]) + "\n\n" + "\n\n".join(parts) + "\n"


def _row(argument: Argument) -> str:
    names = ", ".join(f"`{n}`" for n in argument.names if not n.startswith("--empty"))
    text = " ".join((argument.parameter.help or argument.field_info.help or "").split())
    default = ""
    if text.endswith("]") and " [default: " in text:
        text, _, default = text[:-1].rpartition(" [default: ")
    elif argument.required:
        default = "required"
    elif argument.field_info.default not in (None, (), inspect.Parameter.empty):
        found = argument.field_info.default
        default = ", ".join(map(str, found)) if isinstance(found, tuple) else str(found)
    choices = argument.get_choices()
    if choices:
        text = f"{text} One of {', '.join(choices)}."
    escaped = text.replace("|", "\\|").replace("<", "\\<")
    return f"| {names} | {f'`{default}`' if default and default != 'required' else default} | {escaped} |"


def rewritten() -> str:
    """Return the page with its reference part as it must be."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    return f"{head.rstrip()}\n\n{MARK}\n\n{reference()}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(), encoding="utf-8")
