"""Several processes, one model: gradients, sums and statistics over ranks; processes are started by Lightning Fabric."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from samplers.errors import InputError


class Ranks:
    """One process among the others; a single process needs no communication.

    Parameters
    ----------
    rank, world
        Which process, of how many.
    """

    def __init__(self, rank: int = 0, world: int = 1):
        self.rank, self.world = rank, world

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def average_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Average the gradients over ranks in one message, and return the averaged loss.

        The prior's gradient is linear in the moments of both phases: its average gathers every rank's chains.
        """
        if self.world == 1:
            return loss
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([loss.detach().reshape(1), *(g.reshape(-1) for g in gradients)])
        self.sum(flat)
        flat /= self.world
        start = 1
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[0]

    def average_statistics(self, module: nn.Module) -> None:
        """Average the running statistics of the normalisation layers over ranks."""
        if self.world > 1:
            for name, buffer in module.named_buffers():
                if "running" in name:
                    self.sum(buffer)
                    buffer /= self.world


def launch(function: Callable[[Ranks, torch.device], Any], devices: int | list[int], accelerator: str) -> Any:
    """Run `function(ranks, device)` in one process a device and return what rank 0 returned.

    Parameters
    ----------
    function
        Runs on every rank; processes are forked, so it may close over data in memory.
    devices
        Number of devices, or which.
    accelerator
        "cpu", "gpu" or "auto".

    Raises
    ------
    InputError
        Where several GPUs are wanted after CUDA has been used.
    """
    from lightning.fabric import Fabric

    if torch.cuda.is_initialized():
        raise InputError(
            "several devices are reached by forking, which CUDA forbids once it has been used: start a fresh process and "
            "train with devices= before anything else touches the GPU"
        )
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp_fork")

    def run(fabric: Any) -> Any:
        # OpenMP pools do not survive a fork
        torch.set_num_threads(1)
        return function(Ranks(fabric.global_rank, fabric.world_size), fabric.device)

    return fabric.launch(run)


def number_of_devices(devices: int | list[int] | str) -> int:
    """Return how many devices an argument of Lightning's kind names; "auto" is one."""
    if isinstance(devices, int):
        return torch.cuda.device_count() if devices == -1 else devices
    return 1 if isinstance(devices, str) else len(devices)
