"""Samples of Boltzmann distributions at a stated temperature, behind one contract.

`samplers` knows numpy, torch and dimod; it does not know qbmvae, scvi-tools or AnnData, and can be used without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.batch import DrawsBatch
from samplers.draws import Draws
from samplers.errors import InputError, SamplerError
from samplers.lazy import lazy
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
    __getattr__, __dir__ = lazy(__name__)
