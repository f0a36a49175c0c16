"""Lines on stderr about what was done to the user's data; one place, so that `--quiet` can silence them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_silent: ContextVar[bool] = ContextVar("silent", default=False)


def note(line: str) -> None:
    """Write one line to stderr."""
    if not _silent.get():
        print(f"qbmvae: {line}", file=sys.stderr, flush=True)


@contextmanager
def silenced(silent: bool = True) -> Iterator[None]:
    """Leave the lines out while this lasts."""
    token = _silent.set(silent)
    try:
        yield
    finally:
        _silent.reset(token)
