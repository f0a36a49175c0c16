"""Says that kernels are being compiled, once, and measures how long that takes.

Compiled kernels are kept next to the sources (or in `NUMBA_CACHE_DIR`), so that later processes load them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

MESSAGE = "qbmvae: compiling kernels, first use on this machine (kept for later runs)"


class Compilation(event.Listener):
    """Listens to numba: seconds of CPU spent compiling, none for kernels that are loaded from the cache.

    Parameters
    ----------
    say
        Whether to print a line on stderr when the first kernel is compiled.

    Attributes
    ----------
    seconds : float
        CPU seconds so far.
    kernels : int
        Kernels compiled, without those compiled for their sake.
    """

    said = False

    def __init__(self, say: bool = True):
        self.say, self.seconds, self.kernels = say, 0.0, 0
        self._depth, self._start = 0, 0.0

    def on_start(self, event: Any) -> None:
        """Count a compilation that begins; called by numba."""
        if self._depth == 0:
            self._start = time.process_time()
            if self.say and not Compilation.said:
                # once a process
                Compilation.said = True
                print(MESSAGE, file=sys.stderr, flush=True)
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """Count a compilation that ends; called by numba."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.process_time() - self._start
            self.kernels += 1


@contextmanager
def compilation(say: bool = True) -> Iterator[Compilation]:
    """Return a context in which compilations are counted and, once a process, announced on stderr.

    Parameters
    ----------
    say
        Whether to announce them.
    """
    listener = Compilation(say)
    with event.install_listener("numba:compile", listener):
        yield listener
