"""Float32 matrix products on the CPU, by the library that is fast on this processor; no autograd.

torch multiplies through Intel's MKL, which uses half the width of other makers' vector units: there oneDNN, which torch
carries too, takes less than half the time for the same float32 arithmetic. The choice depends on the processor alone, so
that equal seeds on one machine give equal bits.
"""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor


@functools.cache
def through_onednn() -> bool:
    """Return whether products go through oneDNN: it is there, torch would use MKL, and the processor is not Intel's."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()):
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and not _intel()


def _intel() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "intel" in platform.processor().lower()
    return any(line.startswith("vendor_id") and "GenuineIntel" in line for line in lines)


def mm(a: Tensor, b: Tensor) -> Tensor:
    """Return `a @ b` of two matrices; float32 on the CPU by the faster library, anything else by torch.

    Parameters
    ----------
    a, b
        `(n, k)` and `(k, m)`, in any memory layout.
    """
    if a.dtype == torch.float32 and a.device.type == "cpu" and a.numel() and b.numel() and through_onednn():
        return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")
    return torch.mm(a, b)


@contextlib.contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Set the precision of torch's products, by its own name, and flush denormal numbers: they cost a hundred times more."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision(before)
