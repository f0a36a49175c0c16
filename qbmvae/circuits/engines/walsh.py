"""Fast Walsh-Hadamard transforms as small matrix products, over any subset of qubits."""

from __future__ import annotations

from functools import lru_cache

import torch

CHUNK = 4  # qubits a matrix product: 16 x 16 is as fast as it gets before arithmetic outgrows memory traffic
NARROW = 16  # columns below which the product runs over rows instead


@lru_cache(maxsize=256)
def _matrix(k: int, repeat: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) * 0.5**0.5
    out = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(k):
        out = torch.kron(out, two)
    return torch.kron(out, torch.eye(repeat, dtype=torch.float64)).to(dtype=dtype, device=device)


@lru_cache(maxsize=4096)
def _runs(mask: int, n: int) -> tuple[tuple[int, int], ...]:
    """Split a mask into (first qubit, count) runs of at most CHUNK neighbouring qubits, evenly."""
    runs, q = [], 0
    while q < n:
        if not mask >> (n - 1 - q) & 1:
            q += 1
            continue
        end = q
        while end < n and mask >> (n - 1 - end) & 1:
            end += 1
        pieces = -(-(end - q) // CHUNK)
        for piece in range(pieces):
            size = (end - q) // (pieces - piece)
            runs.append((q, size))
            q += size
    return tuple(runs)


def walsh_hadamard(array: torch.Tensor, mask: int, n: int) -> torch.Tensor:
    """Apply normalised Hadamards to the qubits of `mask` of a real or complex (2**n, ...) array.

    Parameters
    ----------
    array
        `(2**n, ...)`, real or complex.
    mask
        Bit mask of the qubits.
    n
        Qubits.
    """
    if not mask:
        return array
    real = torch.view_as_real(array.contiguous()) if array.is_complex() else array.contiguous()
    shape = real.shape
    for first, count in _runs(mask, n):
        pre, inner = 1 << first, (real.numel() >> (first + count))
        if pre > 1 and inner < NARROW:
            real = real.reshape(pre, -1) @ _matrix(count, inner, real.dtype, real.device)
        else:
            real = torch.matmul(_matrix(count, 1, real.dtype, real.device), real.reshape(pre, 1 << count, inner))
    real = real.reshape(shape)
    return torch.view_as_complex(real) if array.is_complex() else real
