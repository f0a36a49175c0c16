"""Credentials: taken from the environment, never shown, never written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from samplers.errors import InputError, RemoteError, RemoteTimeoutError


class Secret:
    """A credential that prints as `***` and is pickled as the name of its environment variable, without its text.

    Parameters
    ----------
    text
        The credential.
    variable
        The environment variable from which a copy in another process reads it.
    """

    __slots__ = ("_text", "variable")

    def __init__(self, text: str, variable: str):
        self._text = text
        self.variable = variable
        # shorter ones would blank out words; for as long as the process lives, since late errors quote them too
        if len(text) >= 4:
            _KNOWN.add(text)

    def reveal(self) -> str:
        """Return the credential's text, for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***" if self._text else "''"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        return (_again, (self.variable,))


_KNOWN: set[str] = set()


def redact(text: str) -> str:
    """Return `text` with `***` for every credential of this process: all that errors of others say passes through here."""
    for secret in sorted(_KNOWN, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@contextmanager
def vendor_errors(name: str, token: str) -> Iterator[None]:
    """Turn what a vendor's library raises inside this block into our errors, without credentials.

    Parameters
    ----------
    name
        The machine's.
    token
        The environment variable that holds the credential, for the message.

    Raises
    ------
    InputError
        Where the token is refused, or the account has no such machine.
    RemoteError
        For any other failure.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - vendors' libraries raise their own classes, and those of their HTTP clients
        kind = type(error).__name__
        said = redact(f"{kind}: {error}")[:300]
        if kind == "SolverAuthenticationError" or "401" in said or "unauthorized" in said.lower():
            raise InputError(f"{name} refuses the token: set {token}") from None
        if kind == "SolverNotFoundError":
            raise InputError(f"this account has no solver {name!r}: {said}") from None
        slow = "Timeout" in kind or isinstance(error, TimeoutError)
        failure = RemoteTimeoutError if slow else RemoteError
        raise failure(f"{name}: {said}") from None


def from_environment(variable: str, *, purpose: str) -> Secret:
    """Return the credential in an environment variable.

    Parameters
    ----------
    variable
        Name of the variable.
    purpose
        What it opens, for the message.

    Raises
    ------
    InputError
        Where it is unset or empty.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        raise InputError(f"{purpose} needs credentials: set the environment variable {variable}")
    return Secret(text, variable)


def _again(variable: str) -> Secret:
    return Secret(os.environ.get(variable, "").strip(), variable)
