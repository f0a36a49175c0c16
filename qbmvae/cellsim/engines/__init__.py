"""Exact engines for gene circuits, and quantum backends: each samples bits, the exact ones also give probabilities.

`engines.gf2` and `engines.network` are imported when they are used: they compile with numba, which a configuration that is
read and refused does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.lazy import lazy

__all__ = ["gf2", "network"]

if TYPE_CHECKING:
    from qbmvae.cellsim.engines import gf2, network
else:
    __getattr__, __dir__ = lazy(__name__)
