"""Calls in a process of their own that is ended when it takes too long: what bounds a comparison's time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Any


class CellError(Exception):
    """A call that gave no result; the message says why."""


class Cells:
    """A child process that makes one call after another; one that is ended for its slowness is replaced.

    Parameters
    ----------
    seconds
        Most seconds of a call, by the clock.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Cells:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None and self._pool is not None:
            # at rest: it ends by itself
            self._pool.shutdown()
            self._pool = None
        self._end()

    def call(self, function: Callable[..., Any], *arguments: Any, most: float | None = None) -> Any:
        """Return what a function of a module returns; raise what it raises, or `CellError`.

        Parameters
        ----------
        function, arguments
            What to call; both are pickled.
        most
            Seconds, where they differ from the usual.

        Raises
        ------
        CellError
            Where the call took too long, or its process died.
        """
        limit = self.seconds if most is None else most
        if self._pool is None:
            # spawned: a forked child would inherit the libraries' threads half
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            self._pool.submit(int).result()
        try:
            return self._pool.submit(function, *arguments).result(timeout=limit)
        except FutureTimeoutError:
            self._end()
            raise CellError(f"took longer than {limit:g} s") from None
        except BrokenProcessPool:
            self._end()
            raise CellError("its process died (out of memory?)") from None

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
