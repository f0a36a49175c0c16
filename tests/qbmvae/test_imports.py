"""What importing the package loads; the cost itself is measured in the benchmarks."""

from __future__ import annotations

import subprocess
import sys

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
