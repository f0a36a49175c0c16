"""Parts of the cells in several threads: torch's own threads leave small products alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from samplers import threads as pools
from samplers.threads import Part, Result


def threads(device: torch.device | str = "cpu") -> int:
    """Return how many threads work on parts: as many as torch may use on the CPU, one where another device computes."""
    return torch.get_num_threads() if torch.device(device).type == "cpu" else 1


def in_order(function: Callable[[Part], Result], parts: Iterable[Part], n_threads: int) -> Iterator[Result]:
    """Yield what a function returns for each part, in order, without gradients; see `samplers.threads.in_order`.

    Parameters
    ----------
    function
        Of a part; where several work at once, each has one thread of torch's.
    parts, n_threads
        As in `samplers.threads.in_order`.
    """

    def call(part: Part) -> Result:
        if n_threads > 1:
            torch.set_num_threads(1)
        with torch.no_grad():
            return function(part)

    try:
        yield from pools.in_order(call, parts, n_threads)
    finally:
        if n_threads > 1:
            # some libraries keep one number for all threads
            torch.set_num_threads(n_threads)
