"""One function over many parts in several threads, which are kept from call to call; the results in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

_local = threading.local()


def in_order(function: Callable[[Part], Result], parts: Iterable[Part], n_threads: int) -> Iterator[Result]:
    """Yield what a function returns for each part, in order.

    Parameters
    ----------
    function
        Of a part; gains from threads where it leaves the interpreter's lock, as compiled kernels and torch do.
    parts
        Taken one at a time in the calling thread, a few ahead of the results.
    n_threads
        How many work at once; with one, and in a thread of these, everything runs in the calling thread.
    """
    if n_threads <= 1 or getattr(_local, "inside", False):
        yield from map(function, parts)
        return
    pool, waiting = _pool(n_threads), deque[Future[Result]]()
    try:
        for part in parts:
            waiting.append(pool.submit(function, part))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # nothing may write into the caller's arrays any more
        wait([future for future in waiting if not future.cancel()])


def _enter() -> None:
    _local.inside = True


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="samplers", initializer=_enter)


# a forked process inherits the pools without their threads
os.register_at_fork(after_in_child=_pool.cache_clear)
