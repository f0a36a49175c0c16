"""Refuse a circuit that would not fit in memory before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from samplers.errors import InputError

GIB = 2**30
SMALL = 2**28  # bytes: what is less is not worth a look


def available(device: torch.device) -> float:
    """Return the bytes that can be allocated on a device now."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def check(n_qubits: int, batch: int, states: float, dtype: torch.dtype, device: torch.device) -> None:
    """Raise InputError where `states` state vectors a sample do not fit.

    Parameters
    ----------
    n_qubits, batch
        Of the states.
    states
        State vectors held for each sample.
    dtype, device
        Of the amplitudes.

    Raises
    ------
    InputError
        Where they do not fit.
    """
    bytes_ = 2.0**n_qubits * batch * states * (16 if dtype == torch.float64 else 8)
    if bytes_ < SMALL:
        return
    free = available(device)
    if bytes_ > free:
        raise InputError(
            f"{n_qubits} qubits at batch {batch} need {bytes_ / GIB:,.1f} GiB for state vectors, {free / GIB:,.1f} GiB "
            "are free: use fewer qubits, a smaller batch, or several blocks (BlockCircuit)"
        )
