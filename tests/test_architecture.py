"""The layout holds: imports run one way, without circles, and no file or folder outgrows its idea."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("samplers", "qbmvae", "experiments")
#: Longest source file, in lines; most rooms at the top of `experiments`; most pairs of them that import each other.
MAX_LINES, MAX_ROOMS, MAX_ARROWS = 320, 16, 40
#: Circles that still stand, by their first module; a ratchet: the list only shrinks.
KNOWN_CIRCLES: set[str] = set()


def sources() -> dict[str, Path]:
    """Return every module of the three packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of ours that a file imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found & known.keys()


@pytest.fixture(scope="module")
def graph() -> nx.DiGraph:
    known = sources()
    whole = nx.DiGraph((name, other) for name in known for other in imports(known[name], known) if name != other)
    # a package's __init__ offers the names of its modules: it is the front of the room, not a part of a circle
    whole.graph["inner"] = {name for name, path in known.items() if path.name != "__init__.py"}
    return whole


def test_imports_run_one_way(graph):
    rank = {name: i for i, name in enumerate(PACKAGES)}
    back = [f"{a} imports {b}" for a, b in graph.edges if rank[a.split(".")[0]] < rank[b.split(".")[0]]]
    assert back == []


def test_there_is_no_circle(graph):
    inner = graph.subgraph(graph.graph["inner"])
    circles = [sorted(c) for c in nx.strongly_connected_components(inner) if len(c) > 1]
    assert {c[0] for c in circles} == KNOWN_CIRCLES, circles


def test_no_file_holds_more_than_one_idea():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources().values()}
    assert {name: n for name, n in lines.items() if n > MAX_LINES} == {}


def test_experiments_has_few_rooms(graph):
    outside = ("__init__.py", "py.typed", "__pycache__")
    rooms = sorted(p.name for p in (ROOT / "experiments").iterdir() if p.name not in outside)
    assert len(rooms) <= MAX_ROOMS, rooms
    named = [(a.split("."), b.split(".")) for a, b in graph.edges]
    ours = [(a, b) for a, b in named if a[0] == b[0] == "experiments" and len(a) > 1 and len(b) > 1]
    arrows = {(a[1], b[1]) for a, b in ours if a[1] != b[1]}
    assert len(arrows) <= MAX_ARROWS, sorted(arrows)
