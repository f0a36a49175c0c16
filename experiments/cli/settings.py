"""`--config FILE` and `--set key=value`: they fill the options that the command line left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from cyclopts import Argument, ArgumentCollection, Token

from experiments import config
from experiments.cli.common import Settings
from samplers.errors import InputError, nearest

#: Sections of a file whose entries are options too: `model: {n_latent: 64}` is `n_latent: 64`.
SECTIONS = ("setup", "model", "train")
#: A setting of a file that is relative to the file, where an option is relative to the current folder.
RELATIVE = "data_root"


class FillOptions:
    """Hook of cyclopts that runs before arguments are converted; `rest` then holds what are no options."""

    def __init__(self) -> None:
        self.rest = Settings()

    def __call__(self, app: Any, commands: Sequence[str], arguments: ArgumentCollection) -> None:
        """Give the options of `--config` and `--set` to a command's arguments."""
        self.rest = Settings()
        takes_settings = any(not a.parse and a.field_info.name == "settings" for a in arguments)
        name = _last(arguments, "--config") or (_source(arguments) if takes_settings else None)
        words = [t.value for a in arguments if "--set" in a.names for t in a.tokens]
        file = None if name is None else config.find(name)
        values = {} if file is None else config.read_yaml(file)
        overrides = config.parse(words)
        by_name = {a.field_info.name: a for a in arguments if a.parse and not a.children}
        by_name |= {
            n.lstrip("-").replace("-", "_"): a for a in arguments for n in a.names if a.parse and not a.children
        }
        for key in ("config", "set", "overrides"):
            by_name.pop(key, None)
        for given, source in ((overrides, "--set"), (values, str(file))):
            for key in list(given):
                if not takes_settings and key in SECTIONS and isinstance(given[key], dict):
                    given |= given.pop(key)
            for key in list(given):
                known = by_name.get(str(key).replace("-", "_"))
                # a grid's models may be mappings: those are settings
                kept = _is_nested(given[key]) or (key == RELATIVE and given is values)
                if known is not None and not (takes_settings and kept):
                    _give(known, given.pop(key), source)
            if given and not takes_settings:
                key = next(iter(given))
                raise InputError(f"{source}: there is no option {key!r}{nearest(key, sorted(by_name))}")
        self.rest = Settings(file, values, overrides)
        _whole_numbers(arguments)


def _whole_numbers(arguments: ArgumentCollection) -> None:
    """Refuse 1.5 where an integer is wanted: cyclopts would round it."""
    for argument in arguments:
        kinds = {argument.hint, *get_args(argument.hint)}
        if int in kinds and not kinds & {float, str}:
            for token in argument.tokens:
                if not re.fullmatch(r"[-+]?\d+", token.value):
                    raise InputError(f"{argument.name} takes a whole number, not {token.value!r}")


def _give(argument: Argument, value: Any, source: str) -> None:
    """Put a value where the command line gave none; what came first stays."""
    if argument.tokens or value is None:
        return
    values = value if isinstance(value, list) else [value]
    for i, one in enumerate(values):
        if isinstance(one, dict):
            raise InputError(f"{source}: {argument.name} takes a value, not a mapping")
        text = str(one).lower() if isinstance(one, bool) else str(one)
        argument.append(Token(keyword=argument.name, value=text, source=source, index=i))


def _is_nested(value: Any) -> bool:
    return any(isinstance(one, dict) for one in (value if isinstance(value, list) else [value]))


def _last(arguments: ArgumentCollection, name: str) -> str | None:
    found = [t.value for a in arguments if name in a.names for t in a.tokens]
    return found[-1] if found else None


def _source(arguments: ArgumentCollection) -> str | None:
    """Return the configuration that a command of experiments was given as its first argument."""
    for argument in arguments:
        if argument.field_info.name == "source" and argument.tokens:
            value = argument.tokens[0].value
            return value if value.endswith((".yaml", ".yml")) or value in config.shipped() else None
    return None
