"""Docstrings say what goes in and what goes wrong: Parameters from three arguments on, Raises for what is raised."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What numba and torch pass by themselves.
GIVEN = {"self", "cls", "ctx", "typingctx"}
Found = tuple[str, ast.FunctionDef, ast.ClassDef | None]


@cache
def module(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def section(doc: str, name: str) -> list[str]:
    """Return the lines of a numpydoc section that are not indented: the names it describes."""
    lines = doc.splitlines()
    for start, (line, below) in enumerate(itertools.pairwise(lines)):
        if line.strip() == name and set(below.strip()) == {"-"}:
            margin = len(line) - len(line.lstrip())
            found = []
            for k, entry in enumerate(lines[start + 2 :], start=start + 2):
                if k + 1 < len(lines) and entry.strip() and set(lines[k + 1].strip()) == {"-"}:
                    break
                if entry.strip() and len(entry) - len(entry.lstrip()) == margin:
                    found.append(entry.strip())
            return found
    return []


def described(doc: str) -> set[str]:
    """Return the arguments that a docstring describes."""
    names = " ".join(line.partition(" : ")[0] for line in section(doc, "Parameters"))
    return {name.strip(" *`") for name in names.replace(",", " ").split()}


def documents(node: ast.AST) -> str:
    return ast.get_docstring(node) or ""  # type: ignore[arg-type]


@cache
def classes() -> dict[str, list[tuple[Path, ast.ClassDef]]]:
    """Return every class of ours by name."""
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = {}
    for package in ("samplers", "qbmvae", "experiments"):
        for path in (ROOT / package).rglob("*.py"):
            for node in module(path).body:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, []).append((path, node))
    return found


def inherited(owner: ast.ClassDef, method: str) -> set[str]:
    """Return what the same method of the base classes describes, or these classes themselves."""
    found: set[str] = set()
    for base in owner.bases:
        name = ast.unparse(base).split("[")[0].split(".")[-1]
        for path, node in classes().get(name, []) if name != owner.name else []:
            own = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == method]
            found |= described(documents(node)) | described(documents(module(path)))
            found |= {name for n in own for name in described(documents(n))}
            found |= inherited(node, method)
    return found


def public(path: Path) -> Iterator[Found]:
    """Yield the public functions of a file, and the methods of its public classes, constructors among them."""

    def within(body: list[ast.stmt], owner: ast.ClassDef | None) -> Iterator[Found]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from within(node.body, node)
            elif isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
                if "overload" not in map(ast.unparse, node.decorator_list):
                    yield (f"{owner.name}.{node.name}" if owner else node.name), node, owner

    yield from within(module(path).body, None)


def own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a function holds, functions inside it left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_statements(child)


def raised(node: ast.FunctionDef) -> set[str]:
    """Return the classes of errors that leave a function by a `raise` of its own."""
    caught = {
        id(statement)
        for block in own_statements(node)
        if isinstance(block, ast.Try) and block.handlers
        for statement in itertools.chain.from_iterable(map(ast.walk, block.body))
    }
    calls = [s.exc for s in own_statements(node) if isinstance(s, ast.Raise) and id(s) not in caught]
    names = {ast.unparse(call.func).split(".")[-1] for call in calls if isinstance(call, ast.Call)}
    return {name for name in names if name[0].isupper()}


def grouped(node: ast.FunctionDef) -> set[str]:
    """Return the arguments of a command that are groups of options: their classes describe them, one by one."""
    groups = {"Injected", "Any"} if "common" in {a.arg for a in node.args.kwonlyargs} else set()
    for name, places in classes().items():
        groups |= {name for _, owner in places if any("Parameter" in ast.unparse(d) for d in owner.decorator_list)}
    return {a.arg for a in node.args.kwonlyargs if a.annotation is not None and ast.unparse(a.annotation) in groups}


def faults(path: Path) -> list[str]:
    """Return what the docstrings of a file leave out."""
    found = []
    shared = described(documents(module(path)))
    for name, node, owner in public(path):
        doc = documents(node)
        arguments = [
            a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg not in GIVEN
        ]
        known = described(doc) | shared
        if owner is not None:
            known |= described(documents(owner)) | inherited(owner, node.name)
        missing = [a for a in arguments if a not in known and not a.startswith("_") and a not in grouped(node)]
        where = f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        if len(arguments) >= 3 and missing:
            found.append(f"{where}: no Parameters entry for {', '.join(missing)}")
        told = " ".join(section(doc or documents(owner), "Raises") if owner else section(doc, "Raises"))
        found += [f"{where}: no Raises entry for {error}" for error in raised(node) if error not in told]
    return sorted(set(found))


@pytest.mark.parametrize("package", ["samplers", "qbmvae", "experiments"])
def test_parameters_and_raises_are_described(package):
    found = [fault for path in sorted((ROOT / package).rglob("*.py")) for fault in faults(path)]
    assert not found, "\n".join(found)


def test_sections_are_read_as_numpydoc_writes_them():
    doc = "One line.\n\nParameters\n----------\na, b\n    Of both.\nc : int\n    A number.\n\n    More.\n\nRaises\n------\nInputError\n    Where it is wrong.\n"
    assert described(doc) == {"a", "b", "c"} and section(doc, "Raises") == ["InputError"]
    assert section(doc, "Returns") == []
