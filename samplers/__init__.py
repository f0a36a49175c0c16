"""Samples of Boltzmann distributions at a stated temperature, behind one contract.

`samplers` knows numpy, torch and dimod; it does not know qbmvae, scvi-tools or AnnData, and can be used without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.batch import DrawsBatch
from samplers.draws import Draws
from samplers.errors import InputError, SamplerError
from samplers.problem import Ising
from samplers.registry import available, get, register
from samplers.request import Request
from samplers.sampler import Sampler

__all__ = [
    "Draws",
    "DrawsBatch",
    "InputError",
    "Ising",
    "Request",
    "Sampler",
    "SamplerError",
    "available",
    "effective_beta",
    "from_dimod",
    "get",
    "log_partition",
    "register",
]

if TYPE_CHECKING:
    from samplers.diagnostics.temperature import effective_beta
    from samplers.dimod_adapter import from_dimod
    from samplers.partition_function import log_partition
else:
    # numba and torch load when a kernel is asked for
    _HOMES = {
        "effective_beta": "samplers.diagnostics.temperature",
        "from_dimod": "samplers.dimod_adapter",
        "log_partition": "samplers.partition_function",
    }

    def __getattr__(name):
        if name in _HOMES:
            import importlib

            return getattr(importlib.import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'samplers' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
