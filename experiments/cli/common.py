"""What every command shares: the options that all of them take, lists by commas, and how they answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number


def by_commas(kind: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the words of an option that is repeated, or lists them with commas; each one of the choices, if there are.

    Raises
    ------
    ValueError
        For a word that is none of the choices.
    """
    words = tuple(word.strip() for token in tokens for word in token.value.split(",") if word.strip())
    inner = get_args(kind)[0] if get_args(kind) else str
    for word in words:
        if get_origin(inner) is Literal and word not in get_args(inner):
            raise ValueError(f"{word!r} is none of {', '.join(get_args(inner))}")
    return words


#: A list on the command line: by commas, or the option repeated.
Words = Annotated[tuple[str, ...], Parameter(converter=by_commas, n_tokens=1, negative=(), show_default=False)]
#: The same with a default that the help page shows.
WordsShown = Annotated[Words, Parameter(show_default=",".join)]
Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
#: Panels of the help pages, in their order.
DATA, MODEL, TRAINING, EVERYWHERE = (
    Group(name, sort_key=i) for i, name in enumerate(("Data", "Model", "Training", "Every command"), start=2)
)


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True, kw_only=True)
class Common:
    """The options of every command.

    Parameters
    ----------
    config
        YAML file with options of this command by their names; the command line and --set win over it.
    overrides
        key=value: set one option or setting, the value in YAML; dots go deeper (counts.mean=8). May be repeated.
    quiet
        Print nothing but errors.
    as_json
        Print the result as one JSON object, and no progress.
    """

    config: Path | None = None
    overrides: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = ()
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=(), show_default=False)] = False
    as_json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False

    @property
    def shows_progress(self) -> bool:
        """Whether progress goes to stderr."""
        return not self.quiet and not self.as_json

    @property
    def say(self) -> Callable[[str], None]:
        """What prints one line of progress on stderr, or nothing."""
        if self.shows_progress:
            return lambda line: print(line, file=sys.stderr, flush=True)
        return lambda line: None

    def answer(self, result: Any, text: str) -> None:
        """Print a command's result on stdout: as one JSON object, or in words, or not at all."""
        if self.as_json:
            from experiments.run_folder import plain

            print(json.dumps(plain(result), indent=2))
        elif not self.quiet:
            print(text)


#: What a command gets where it takes none of the options of every command.
DEFAULTS = Common()


@dataclass(frozen=True)
class Settings:
    """What `--config` and `--set` gave beyond the options of a command: the settings of its experiment.

    Parameters
    ----------
    file
        The configuration, where one was given.
    values
        What it holds.
    overrides
        Of `--set`; keys with dots go deeper.
    """

    file: Path | None = None
    values: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)


#: Marks the parameter of a command that receives the settings.
Injected = Annotated[Settings, Parameter(parse=False)]


def use_threads(threads: int | None = None) -> None:
    """Let torch compute on so many threads: on one, where neither the option nor the environment says otherwise.

    The matrices are small: more threads gain little, and two busy processes of two threads slow each other tenfold.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
