"""Options of commands: those of the model and its training, made from their signatures, files and overrides."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
import yaml
from typer.core import TyperCommand

from samplers.errors import InputError, nearest

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file of options, by the names below; the command line wins.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override an option: key=value (YAML). May be repeated.")]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads of torch; OMP_NUM_THREADS, or else 1, by default.", min=1, show_default=False),
]

# given by the command itself, or of no use on a command line
LEFT_OUT = {
    "self", "cls", "adata", "registry", "kwargs", "seed", "external_indexing", "on_epoch", "progress_bar",
    "stream", "checkpoint_dir", "resume_from",
}  # fmt: skip
PARTS = ("setup", "model", "train")


def signatures() -> dict[str, Callable[..., Any]]:
    """Return the functions whose arguments are options of `train`."""
    from qbmvae import QBMVAE

    return {"setup": QBMVAE.setup_anndata, "model": QBMVAE.__init__, "train": QBMVAE.train}


def arguments() -> dict[str, tuple[str, inspect.Parameter]]:
    """Return every argument of data registration, model and training: name to (part, parameter); the first part wins."""
    found: dict[str, tuple[str, inspect.Parameter]] = {}
    for part, function in signatures().items():
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            if name not in LEFT_OUT and parameter.kind is not parameter.VAR_KEYWORD:
                found.setdefault(name, (part, parameter))
    return found


def use_threads(threads: int | None = None) -> None:
    """Let torch compute on so many threads: on one, where neither the option nor the environment says otherwise.

    The matrices are small: more threads gain little, and two busy processes of two threads slow each other tenfold.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def progress_lines(quiet: bool) -> Callable[[str], None]:
    """Return what prints lines of progress on stderr, or nothing."""
    return (lambda line: None) if quiet else lambda line: print(line, file=sys.stderr, flush=True)


def answer(result: Any, text: str, *, quiet: bool, as_json: bool) -> None:
    """Print a command's result on stdout: as one JSON object, or in words, or not at all."""
    from experiments.run_folder import plain

    if as_json:
        print(json.dumps(plain(result), indent=2))
    elif not quiet:
        print(text)


class ModelCommand(TyperCommand):
    """A command that also takes every argument of the model and of its training.

    The options are made when the command runs or shows its help, not when the program starts: reading the signatures
    imports scvi-tools, which costs seconds.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the command's own parameters, then those of the signatures."""
        own = super().get_params(ctx)
        return [*own[:-1], *_generated(), own[-1]]

    def invoke(self, ctx: Any) -> Any:
        """Run the command, the generated options put into `ctx.meta`."""
        names = {p.name for p in _generated()}
        ctx.meta["options"] = {k: v for k, v in ctx.params.items() if k in names and v is not None}
        ctx.params = {k: v for k, v in ctx.params.items() if k not in names}
        return super().invoke(ctx)


_CACHE: list[Any] = []


def _generated() -> list[Any]:
    if not _CACHE:
        panels = {"setup": "Data", "model": "Model", "train": "Training"}
        texts = {part: parameter_texts(inspect.getdoc(f) or "") for part, f in signatures().items()}
        import qbmvae

        texts["model"] = parameter_texts(inspect.getdoc(qbmvae.QBMVAE) or "")
        parameters = []
        for name, (part, parameter) in arguments().items():
            default = "" if parameter.default in (None, parameter.empty) else f" (default: {parameter.default})"
            option = typer.Option(
                help=texts[part].get(name, "") + default, rich_help_panel=panels[part], show_default=False
            )
            kind: Any = Annotated[_option_type(parameter.annotation) | None, option]  # type: ignore[valid-type]
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))

        def holder(**_: Any) -> None: ...

        holder.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        holder.__annotations__ = {p.name: p.annotation for p in parameters}
        app = typer.Typer(add_completion=False)
        app.command()(holder)
        _CACHE.extend(typer.main.get_command(app).params)
    return _CACHE


def _option_type(annotation: Any) -> Any:
    """Return the type of a command-line option for an annotation: bool, int, float, or text."""
    kinds = [a for a in _members(annotation) if a is not type(None)]
    for kind in (bool, int, float):
        if kinds == [kind]:
            return kind
    return str


def _members(annotation: Any) -> tuple[Any, ...]:
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def parameter_texts(docstring: str) -> dict[str, str]:
    """Return the first sentence of each parameter of a numpydoc docstring; "a, b" share one."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}|\Z)", docstring, re.M | re.S)
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section.group(1).splitlines() if section else []:
        if line and not line[0].isspace():
            names = [n.strip().lstrip("*") for n in line.split(":")[0].split(",")]
        elif line.strip():
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip()
    return texts


def resolve(ctx: typer.Context, config: Path | None, overrides: Iterable[str] | None) -> dict[str, dict[str, Any]]:
    """Return the options of data registration, model and training from file, `--set` and command line, the last winning.

    Raises
    ------
    InputError
        For an option that none of them takes, or a value of the wrong type.
    """
    from experiments import config as overriding
    from experiments.run_folder import read_yaml

    known = arguments()
    given: dict[str, Any] = {}
    if config is not None:
        for key, value in read_yaml(config).items():
            nested = value if key in PARTS and isinstance(value, dict) else {key: value}
            given |= {k.replace("-", "_"): v for k, v in nested.items()}
    given |= {k.replace("-", "_"): v for k, v in overriding.parse(overrides).items()}
    given |= ctx.meta.get("options", {})
    parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"there is no option {name!r}{nearest(name, known)}")
        part, parameter = known[name]
        parts[part][name] = convert(name, value, parameter.annotation)
    return parts


def convert(name: str, value: Any, annotation: Any) -> Any:
    """Return a value as its annotation wants it; text for a list is split at commas, text for a union read as YAML."""
    kinds = _members(annotation)
    shown = name.replace("_", "-")
    if value is None and type(None) in kinds:
        return None
    choices = [c for k in kinds if get_origin(k) is Literal for c in get_args(k)]
    if choices and value not in choices:
        raise InputError(f"--{shown} takes {', '.join(map(str, choices))}, not {value!r}")
    plain_kinds = [k for k in kinds if k in (bool, int, float)]
    if any(get_origin(k) is list for k in kinds):
        if isinstance(value, str) and int in {a for k in kinds for a in get_args(k)}:
            return yaml.safe_load(value)
        return [v.strip() for v in value.split(",")] if isinstance(value, str) else value
    if plain_kinds and str not in kinds and not choices:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = any(
            (k is bool and isinstance(value, bool))
            or (k is int and number and float(value).is_integer())
            or (k is float and number)
            for k in plain_kinds
        )
        if not fits:
            wanted = (
                "true or false" if bool in plain_kinds else "a whole number" if plain_kinds == [int] else "a number"
            )
            raise InputError(f"--{shown} takes {wanted}, not {value!r}")
        return int(value) if plain_kinds == [int] else value
    return value
