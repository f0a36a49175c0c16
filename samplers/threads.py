"""One function over many parts in several threads, which are kept from call to call; the results in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Generic, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

#: Parts that are taken before the first result is asked for, times the number of threads.
AHEAD = 2

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
        How many work at once, the calling one among them; with one, and within work of these threads, nobody else does.
    """
    if n_threads <= 1 or getattr(_local, "inside", False):
        yield from map(function, parts)
        return
    pool, waiting = _pool(n_threads - 1), deque[_Task[Part, Result]]()
    try:
        for part in parts:
            waiting.append(_Task(function, part, pool))
            # while the calling thread is at work, the others need parts to go on with
            if len(waiting) > AHEAD * n_threads:
                yield _oldest(waiting)
        while waiting:
            yield _oldest(waiting)
    finally:
        # nothing may write into the caller's arrays any more
        wait([task.future for task in waiting if not task.future.cancel()])


class _Task(Generic[Part, Result]):
    """A part at work: in a thread of the pool, or in the calling one, whichever comes first."""

    def __init__(self, function: Callable[[Part], Result], part: Part, pool: ThreadPoolExecutor):
        self.function, self.part = function, part
        self.future: Future[Result] = pool.submit(function, part)

    def begin(self) -> bool:
        """Do the work here, where no thread has begun it; return whether it was done here."""
        if not self.future.cancel():
            return False
        self.future, _local.inside = Future(), True
        try:
            self.future.set_result(self.function(self.part))
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            _local.inside = False
        return True


def _oldest(waiting: deque[_Task[Part, Result]]) -> Result:
    """Return the result of the oldest part; the calling thread works on parts that nobody has begun, not only waits.

    Were all parts given to other threads, the system would start one of them where the calling one has not yet stopped.
    """
    task = waiting[0]
    while not task.future.done() and any(other.begin() for other in waiting):
        pass
    waiting.popleft()
    return task.future.result()


def _enter() -> None:
    _local.inside = True


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="samplers", initializer=_enter)


# a forked process inherits the pools without their threads
os.register_at_fork(after_in_child=_pool.cache_clear)
