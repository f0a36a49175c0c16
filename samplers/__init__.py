"""Samples of Boltzmann distributions at a stated temperature, behind one contract.

`samplers` knows numpy, torch and dimod; it does not know qbmvae, scvi-tools or AnnData, and can be used without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samplers.draws import Draws
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.registry import available, get, register
from samplers.sampler import Sampler

if TYPE_CHECKING:
    from samplers.diagnostics.temperature import effective_beta as effective_beta
    from samplers.dimod_adapter import from_dimod as from_dimod
    from samplers.partition_function import log_partition as log_partition

__all__ = [
    "Draws",
    "InputError",
    "Ising",
    "Sampler",
    "available",
    "effective_beta",
    "from_dimod",
    "get",
    "log_partition",
    "register",
]

# numba and torch load when a kernel is asked for
_LAZY = {
    "effective_beta": "samplers.diagnostics.temperature",
    "from_dimod": "samplers.dimod_adapter",
    "log_partition": "samplers.partition_function",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'samplers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
