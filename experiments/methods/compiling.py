"""Processor time that goes into compiling kernels, which a machine spends once: it is no cost of a fit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Compiling:
    """Processor seconds of numba's compilations so far.

    Attributes
    ----------
    seconds
        The seconds; a compilation within another counts once.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0
        self._start = 0.0

    def begin(self) -> None:
        """A compilation begins."""
        if self._depth == 0:
            self._start = time.process_time()
        self._depth += 1

    def end(self) -> None:
        """A compilation ends."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.process_time() - self._start


@contextmanager
def compiling() -> Iterator[Compiling]:
    """Measure the compilations while this lasts."""
    from numba.core import event

    spent = Compiling()

    class Listener(event.Listener):
        def on_start(self, event: object) -> None:
            spent.begin()

        def on_end(self, event: object) -> None:
            spent.end()

    with event.install_listener("numba:compile", Listener()):
        yield spent
