"""Random bits for the fused layers: xoshiro128++ streams seeded by torch's generator, which stays the only state."""

from __future__ import annotations

import numpy as np
import torch

from samplers.kernels.rng import LANES


def stream() -> np.ndarray:
    """Return 64 fresh streams, `(256,)` uint32 (see `samplers.kernels.rng`), drawn from torch's default generator."""
    return streams(1)[0]


def streams(number: int) -> np.ndarray:
    """Return what as many calls of `stream` would, `(number, 256)`."""
    return torch.empty(number, 4 * LANES, dtype=torch.int64).random_(1, 2**32).numpy().astype(np.uint32)
