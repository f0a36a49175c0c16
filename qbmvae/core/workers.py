"""One function over many parts in several threads, the results in order: torch's own threads leave small products alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def threads(device: torch.device | str = "cpu") -> int:
    """Return how many threads work on parts: as many as torch may use on the CPU, one where another device computes."""
    return torch.get_num_threads() if torch.device(device).type == "cpu" else 1


def in_order(function: Callable[[Part], Result], parts: Iterable[Part], n_threads: int) -> Iterator[Result]:
    """Yield what a function returns for each part, in order, without gradients.

    Parameters
    ----------
    function
        Of a part; runs in a thread with one thread of torch's.
    parts
        Taken one at a time in the calling thread, a few ahead of the results.
    n_threads
        How many work at once; with one, everything runs in the calling thread.
    """

    def call(part: Part) -> Result:
        with torch.no_grad():
            return function(part)

    if n_threads <= 1:
        yield from map(call, parts)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(call, part))
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            # some libraries keep one number for all threads
            torch.set_num_threads(n_threads)
