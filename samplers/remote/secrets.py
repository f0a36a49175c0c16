"""Credentials: taken from the environment, never shown, never written."""

from __future__ import annotations

import os

from samplers.errors import InputError


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
