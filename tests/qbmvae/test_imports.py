"""What importing the package loads; the cost itself is measured in the benchmarks."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("qbmvae", ("scvi", "anndata", "numba", "scanpy", "pandas")),
        ("qbmvae.core.vae", ("scvi", "anndata", "scanpy")),
        ("samplers", ("scvi", "anndata", "numba", "qbmvae", "torch")),
    ],
)
def test_heavy_libraries_load_when_asked_for(module, absent):
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


ROOT = Path(__file__).resolve().parents[2]
LAZY = sorted(
    ".".join(path.relative_to(ROOT).parts[:-1])
    for top in ("qbmvae", "samplers", "experiments")
    for path in (ROOT / top).rglob("__init__.py")
    if "__getattr__" in path.read_text()
)


@pytest.mark.parametrize("package", LAZY)
def test_lazy_packages_show_their_names_and_types(package):
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text())
    blocks = [n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    typed = {a.asname or a.name for b in blocks for n in b.body for a in n.names}
    direct = {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    named = {name for name in module.__all__ if not name.startswith("__")}
    assert named <= typed | direct, "a type checker would see Any"
    assert set(module.__all__) <= set(dir(module)), "completion would hide them"
    for block in blocks:
        for node in block.body:
            for alias in node.names:
                where = importlib.import_module(node.module)
                assert getattr(where, alias.name) is getattr(module, alias.name)
