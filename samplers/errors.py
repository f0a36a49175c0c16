"""The errors of the project: `InputError` for what the user can mend (exit code 2), `SamplerError` for machines (1)."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


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


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Import optional packages inside this block: `with needs("pennylane", "circuits"): import pennylane`.

    Raises
    ------
    MissingExtraError
        Where one is not installed.
    """
    try:
        yield
    except ImportError:
        raise MissingExtraError(package, extra) from None


class SamplerError(RuntimeError):
    """A backend failed, through no fault of the user; asking it again, or another one, may help."""


class BadAnswerError(SamplerError):
    """A backend's answer is not what was asked for: wrong shape, values other than -1 and +1, NaN, other energies."""


class WireError(SamplerError):
    """Bytes that are not a complete, undamaged message of the format of `samplers.wire`."""


class RemoteError(SamplerError):
    """Another machine did not answer as asked; the message names the machine and never holds credentials.

    Parameters
    ----------
    message
        What happened, and where.
    retry_after
        Seconds after which the machine asks to be tried again, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class RemoteTimeoutError(RemoteError, TimeoutError):
    """Another machine did not answer in time."""


def nearest(name: object, known: Iterable[object]) -> str:
    """Return "; nearest: 'a', 'b'" for the known names closest to `name`, or "; known: ..." where none is close."""
    # anndata 0.13 keeps X under the name None among the layers
    names = sorted(str(k) for k in known if k is not None)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    if close:
        return "; nearest: " + ", ".join(repr(c) for c in close)
    shown = ", ".join(repr(c) for c in names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")
    return f"; known: {shown}" if names else "; there are none"


def require(name: Any, known: Container[Any], what: str, offered: Iterable[object] | None = None) -> None:
    """Refuse a name that is none of the known ones: "<what> 'name'; nearest: ...".

    Parameters
    ----------
    name
        What was given.
    known
        Where it must be found.
    what
        The message's beginning, such as "there is no prior".
    offered
        Names that the message may propose; those of `known` by default.

    Raises
    ------
    InputError
        Where it is not found.
    """
    if name not in known:
        raise InputError(f"{what} {name!r}{nearest(name, known if offered is None else offered)}")  # type: ignore[arg-type]
