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
    """Return `a @ b` of two matrices; float32 and bfloat16 on the CPU by the faster library, anything else by torch.

    Parameters
    ----------
    a, b
        `(n, k)` and `(k, m)`, in any memory layout.
    """
    if (
        a.dtype in (torch.float32, torch.bfloat16)
        and a.device.type == "cpu"
        and a.numel()
        and b.numel()
        and through_onednn()
    ):
        return torch.ops.mkldnn._linear_pointwise(_dense(a), _dense(b.T), None, "none", [], "")
    return torch.mm(a, b)


def _dense(a: Tensor) -> Tensor:
    """Return a matrix without gaps between its rows or columns: the library takes a thousand times as long over others."""
    return a if a.is_contiguous() or a.T.is_contiguous() else a.contiguous()


def linear(x: Tensor, weight: Tensor, bias: Tensor, relu: bool = False) -> Tensor:
    """Return `x @ weight + bias`, through a ReLU where asked for; libraries as in `mm`.

    Parameters
    ----------
    x, weight
        `(n, k)` and `(k, m)`.
    bias
        `(m,)`, or one row a cell.
    relu
        Whether negative values become 0.
    """
    single = x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() and weight.numel()
    if bias.ndim == 1 and single and through_onednn():
        return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(weight.T), bias, "relu" if relu else "none", [], "")
    out = mm(x, weight).add_(bias)
    return out.relu_() if relu else out


@functools.cache
def rounds_fast() -> bool:
    """Return whether this processor multiplies bfloat16 numbers faster than float32."""
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return through_onednn() and any(getattr(torch.cpu, name, bool)() for name in known)


def rounding() -> bool:
    """Return whether `arithmetic` asks for rounded inputs and they have to be rounded here: torch's own products do it."""
    return torch.get_float32_matmul_precision() == "medium" and rounds_fast()


def rounded(weight: Tensor) -> Tensor:
    """Return a weight, `(k, m)`, as `rounded_mm` takes it: in bfloat16 where that is fast."""
    return weight.T.bfloat16().T if rounds_fast() else weight


def rounded_mm(a: Tensor, b: Tensor) -> Tensor:
    """Return `a @ b` in bfloat16, relative error about 2**-8; the weight is rounded too where that is fast.

    Parameters
    ----------
    a
        `(n, k)` bfloat16.
    b
        What `rounded` returned.
    """
    return mm(a, b) if b.dtype == torch.bfloat16 else mm(a.float(), b).bfloat16()


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
