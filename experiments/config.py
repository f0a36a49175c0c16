"""Settings overridden word by word: `key=value`, the value read as YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from samplers.errors import InputError


def parse(words: Iterable[str] | None) -> dict[str, Any]:
    """Return `key=value` words as a mapping.

    Raises
    ------
    InputError
        For a word without a key or a value that is not YAML.
    """
    found = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {word!r} is not key=value, as in seed=1")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {word!r}: the value is not valid YAML") from None
    return found


def apply(settings: dict[str, Any], words: Iterable[str] | None) -> None:
    """Put `key=value` words into nested settings; dots go deeper.

    Raises
    ------
    InputError
        As `parse`, and where a key on the way holds a value.
    """
    for key, value in parse(words).items():
        *parents, last = key.split(".")
        section = settings
        for parent in parents:
            if section.get(parent) is None:
                section[parent] = {}
            section = section[parent]
            if not isinstance(section, dict):
                raise InputError(f"--set {key}: {parent!r} is a value, not a section")
        section[last] = value
