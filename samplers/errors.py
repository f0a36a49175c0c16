"""The exceptions that a user can cause and cure; the command line turns each into one line and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input or options were wrong: the message says what, where, and what to do."""


class MissingExtraError(InputError, ImportError):
    """An optional dependency is not installed.

    Parameters
    ----------
    package
        The import that failed, as the user knows it.
    extra
        The extra of `qbmvae` that installs it.
    """

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed: run `pip install 'qbmvae[{extra}]'`")


class BadAnswerError(InputError):
    """A backend's answer is not what was asked for: wrong shape, values other than ±1, NaN; asking again may cure it."""


def nearest(name: object, known: Iterable[object]) -> str:
    """Return "; nearest: 'a', 'b'" for the known names closest to `name`, or "; known: ..." where none is close."""
    names = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    if close:
        return "; nearest: " + ", ".join(repr(c) for c in close)
    shown = ", ".join(repr(c) for c in names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")
    return f"; known: {shown}" if names else "; there are none"
