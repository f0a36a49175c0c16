"""Exact engines for gene circuits, and quantum backends: each samples bits, the exact ones also give probabilities.

`engines.gf2` and `engines.network` are imported when they are used: they compile with numba, which a configuration that is
read and refused does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.cellsim.engines import gf2, network

__all__ = ["gf2", "network"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"qbmvae.cellsim.engines.{name}")
    raise AttributeError(f"module 'qbmvae.cellsim.engines' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
