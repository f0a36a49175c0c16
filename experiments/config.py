"""Settings from YAML files and `key=value` words, read strictly into typed configurations: the one reader of every family."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from samplers.errors import InputError, nearest

#: Where the shipped configurations lie, also in a wheel.
SHIPPED = Path(__file__).resolve().parent / "configs"

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number: YAML 1.1 wants a dot in it, and no one knows."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def shipped() -> list[str]:
    """Return the names of the configurations that ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find(name: str | Path) -> Path:
    """Return the path of a configuration: a file, or a shipped one by its name.

    Raises
    ------
    InputError
        Where there is neither.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        inside = SHIPPED / f"{name}.yaml"
        if inside.is_file():
            return inside
        raise InputError(f"{str(name)!r} is neither a file nor a shipped configuration{nearest(name, shipped())}")
    return path


def data_folder(given: str | Path | None, file: Path | None, written: str | None = None) -> Path:
    """Return the folder that the data files of an experiment are relative to.

    Parameters
    ----------
    given
        What the user named: it wins.
    file
        The configuration.
    written
        What the configuration names, relative to itself. Where none is named it is the folder of the environment variable
        QBMVAE_DATA, else the configuration's own; for a shipped configuration, the current folder.
    """
    if given is not None:
        root = Path(given)
    elif written is not None:
        root = (Path() if file is None else file.parent) / written
    elif "QBMVAE_DATA" in os.environ:
        root = Path(os.environ["QBMVAE_DATA"])
    else:
        root = Path() if file is None or file.resolve().parent == SHIPPED else file.parent
    return root.expanduser().resolve()


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises
    ------
    InputError
        For a file that is missing, a folder, not YAML, or not a mapping.
    """
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: give a .yaml file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}: it must be a mapping of names to values")
    return value


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
            found[key.strip()] = yaml.load(value, Loader=_Loader)
        except yaml.YAMLError:
            raise InputError(f"--set {word!r}: the value is not valid YAML") from None
    return found


def apply(settings: dict[str, Any], words: Iterable[str] | Mapping[str, Any] | None) -> None:
    """Put `key=value` words, or a mapping of such keys, into nested settings; dots go deeper.

    Raises
    ------
    InputError
        As `parse`, and where a key on the way holds a value.
    """
    for key, value in (words if isinstance(words, Mapping) else parse(words)).items():
        *parents, last = key.split(".")
        section = settings
        for parent in parents:
            if section.get(parent) is None:
                section[parent] = {}
            section = section[parent]
            if not isinstance(section, dict):
                raise InputError(f"--set {key}: {parent!r} is a value, not a section")
        section[last] = value


def load(
    kind: type[T], name: str | Path | None = None, overrides: Iterable[str] | Mapping[str, Any] | None = None
) -> T:
    """Return a dataclass from a configuration.

    Parameters
    ----------
    kind
        The dataclass, as in `build`.
    name
        A file, or the name of a shipped configuration; None for the defaults.
    overrides
        As in `apply`; they win over the file.
    """
    values = {} if name is None else read_yaml(find(name))
    apply(values, overrides)
    return build(kind, values, "configuration" if name is None else str(name))


def build(kind: type[T], values: Any, where: str = "configuration") -> T:
    """Return a dataclass from plain values; nothing unknown, missing or of another type passes.

    Where a list is wanted, a single value is a list of one.

    Parameters
    ----------
    kind
        A dataclass, whose fields may be dataclasses, tuples of them, or anything that JSON holds.
    values
        What YAML or JSON gave.
    where
        Opens the message of an error: the file, or what it describes.

    Raises
    ------
    InputError
        Names the setting, by its path with dots, and what it takes.
    """
    from pydantic import TypeAdapter, ValidationError

    if isinstance(values, kind):
        return values
    try:
        # as JSON: a list fills a tuple and 1 a float, but no text is read as a number
        text = json.dumps(_listed(kind, values))
        return TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except TypeError as error:
        raise InputError(f"{where} holds a value that is no text, number, list or mapping: {error}") from None
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda one: one["type"] != "unexpected_keyword_argument")[0]
        raise InputError(f"{where}: {_complaint(kind, found)}") from None


def _complaint(kind: Any, error: Any) -> str:
    """Return what pydantic found wrong, in our words."""
    cause = (error.get("ctx") or {}).get("error")
    if cause is not None:
        return str(cause)
    loc = [part for part in error["loc"] if isinstance(part, int) or re.fullmatch(r"\w+", part)]
    at = ".".join(map(str, loc)) or "it"
    if error["type"] == "unexpected_keyword_argument":
        known = [f.name for f in dataclasses.fields(_kind_at(kind, loc[:-1]))]
        return f"there is no setting {at!r}{nearest(loc[-1], known)}"
    if error["type"] == "missing":
        return f"{at!r} is missing"
    if error["type"] == "literal_error":
        known = re.findall(r"'([^']+)'", error["ctx"]["expected"])
        return f"{at} cannot be {error['input']!r}{nearest(error['input'], known)}"
    wanted = error["msg"].removeprefix("Input should be ")
    for theirs, ours in (
        ("a valid array", "a list"),
        ("an object", "a mapping"),
        ("a valid integer", "a whole number"),
        ("a valid number", "a number"),
        ("a valid string", "text"),
        ("a valid boolean", "true or false"),
    ):
        wanted = wanted.replace(theirs, ours)
    return f"{at} takes {wanted}, not {error['input']!r}"


def _listed(kind: Any, values: Any) -> Any:
    """Return values in which a single one stands in a list where the dataclass holds a tuple."""
    if not dataclasses.is_dataclass(kind) or not isinstance(values, Mapping):
        return values
    hints, made = get_type_hints(kind), {}
    for key, value in values.items():
        inner = _member(hints.get(key))
        if get_origin(inner) is tuple and value is not None:
            many = value if isinstance(value, list | tuple) else [value]
            made[key] = [_listed(get_args(inner)[0], one) for one in many]
        else:
            made[key] = _listed(inner, value)
    return made


def _kind_at(kind: Any, loc: Iterable[str | int]) -> Any:
    """Return the dataclass that stands at a path within another."""
    for part in loc:
        kind = _member(get_type_hints(kind)[part] if isinstance(part, str) else get_args(kind)[0])
    return kind


def _member(kind: Any) -> Any:
    """Return what an optional type is where it is not None."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(m for m in get_args(kind) if m is not type(None))
    return kind
