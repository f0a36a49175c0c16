"""Random bits for the fused layers: xoshiro128++ streams seeded by torch's generator, which stays the only state."""

from __future__ import annotations

import numpy as np
import torch

from samplers.kernels.rng import LANES


def stream() -> np.ndarray:
    """Return 64 fresh streams, `(256,)` uint32 (see `samplers.kernels.rng`), drawn from torch's default generator."""
    return torch.empty(4 * LANES, dtype=torch.int64).random_(1, 2**32).numpy().astype(np.uint32)
