"""The arguments of data registration, model and training as options of `qbmvae train`.

They are read from the source of `QBMVAE` without importing it, which would cost seconds of torch and scvi-tools before a
help page or a misspelt option could be answered.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cyclopts import Parameter
from docstring_parser import DocstringStyle, parse

from experiments.cli.common import DATA, MODEL, TRAINING, by_commas

#: Given by the command itself, or of no use on a command line.
LEFT_OUT = {
    "self", "cls", "adata", "registry", "kwargs", "seed", "external_indexing", "on_epoch", "progress_bar",
    "stream", "source_registry", "extend_categories", "checkpoint_dir", "resume_from", "logger", "callbacks", "plan_kwargs",
}  # fmt: skip
#: What the command line says of options that take objects in Python.
WORDS = {
    "sampler": 'Sampler of the prior\'s bits while training: a name of `qbmvae samplers list`, or "name?option=value&...".',
    "topology": "Which bits of the Boltzmann prior are coupled: dense, bipartite (a restricted Boltzmann machine), or the "
    "graph of a machine: pegasus, zephyr, chimera.",
    "precision": 'Precision of matrix products: "32", or "bf16" (inputs rounded to bfloat16, sums in float32) on processors that have it.',
    "train_size": "Share of the cells that train; 0.9 by default.",
    "validation_size": "Share of the cells that are held out; the rest by default.",
    "accelerator": "Where to compute: auto, cpu or gpu.",
    "devices": "How many devices, or which, as in [0,1]; several train one model together.",
    "learning_rate": "Learning rate of Adam for the network.",
    "prior_learning_rate": "Learning rate of Adam for the prior.",
    "weight_decay": "Weight decay of Adam for the network.",
    "early_stopping_patience": "Validations without an improvement before it stops.",
    "early_stopping_min_delta": "What counts as an improvement, in nats.",
    "categorical_covariate_keys": "Columns of obs with categories that the decoder sees, besides the batch.",
    "continuous_covariate_keys": "Columns of obs with numbers that the decoder sees.",
}
PANELS = {"setup": DATA, "model": MODEL, "train": TRAINING}
#: part: (class, function) in `qbmvae/model`; the first class that has the function is read.
WHERE = {"setup": "setup_anndata", "model": "__init__", "train": "train"}


@dataclass(frozen=True)
class Option:
    """One argument of data registration, model or training.

    Attributes
    ----------
    name
        As in Python.
    part
        "setup", "model" or "train".
    annotation, default
        As they are written.
    text
        Its description.
    """

    name: str
    part: str
    annotation: str
    default: str
    text: str

    @property
    def kind(self) -> Any:
        """The type of the option: bool, int, float, a choice, words by commas, or text."""
        members = {m.strip() for m in self.annotation.split("|")} - {"None"}
        if members in ({"bool"}, {"int"}, {"float"}):
            return {"bool": bool, "int": int, "float": float}[members.pop()]
        if len(members) == 1 and (words := _words().get(next(iter(members)))):
            return Literal[words]
        if "list[str]" in members:
            return Annotated[tuple[str, ...], Parameter(converter=by_commas, n_tokens=1, negative=())]
        return str


@functools.cache
def options() -> dict[str, Option]:
    """Return every argument of data registration, model and training by its name; the first part wins."""
    found: dict[str, Option] = {}
    for part, name in WHERE.items():
        function, doc = _function(name)
        texts = {
            n.strip(): p.description for p in parse(doc, DocstringStyle.NUMPYDOC).params for n in p.arg_name.split(",")
        }
        for argument, default in _arguments(function):
            if argument.arg in LEFT_OUT or argument.arg in found:
                continue
            annotation = ast.unparse(argument.annotation) if argument.annotation else "str"
            text = WORDS.get(argument.arg) or " ".join((texts.get(argument.arg) or "").split())
            found[argument.arg] = Option(argument.arg, part, annotation, default, text)
    return found


@functools.cache
def model_options() -> type:
    """Return a dataclass with a field for each option, None where it was not given; cyclopts makes options of it."""
    fields = []
    for option in options().values():
        default = "" if option.default in ("None", "") else f" [default: {option.default}]"
        note = Parameter(help=f"{option.text}{default}", group=PANELS[option.part], show_default=False)
        fields.append((option.name, Annotated[option.kind | None, note], None))
    # the module's name: cyclopts takes classes of the standard library, where `make_dataclass` lives, as plain values
    made = make_dataclass("ModelOptions", fields, frozen=True, kw_only=True, namespace={"__module__": __name__})
    return Parameter(name="*")(made)


def divide(given: Any) -> dict[str, dict[str, Any]]:
    """Return the options that were given as arguments of data registration, model and training."""
    parts: dict[str, dict[str, Any]] = {part: {} for part in WHERE}
    for name, option in options().items():
        value = getattr(given, name, None)
        if value is None:
            continue
        if isinstance(value, tuple):
            value = list(value)
        elif option.kind is str and "int" in option.annotation:
            # "auto", a number, or a list of numbers
            value = yaml.safe_load(value)
        parts[option.part][name] = value
    return parts


@functools.cache
def _words() -> dict[str, tuple[str, ...]]:
    """Return the words of each `Literal` that the options are annotated with, by its name."""
    found = {}
    for node in ast.parse((_package() / "core" / "options.py").read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Subscript)
            and isinstance(node.targets[0], ast.Name)
        ):
            words = ast.literal_eval(node.value.slice)
            found[node.targets[0].id] = words if isinstance(words, tuple) else (words,)
    return found


def _package() -> Path:
    return Path(str(importlib.util.find_spec("qbmvae").origin)).parent  # type: ignore[union-attr]


def _function(name: str) -> tuple[ast.FunctionDef, str]:
    """Return a method of `QBMVAE` or of one of its bases, and the docstring that describes its arguments."""
    folder = _package() / "model"
    files = [folder / "model.py", *sorted(folder.glob("*.py"))]
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef) or (name == "__init__" and node.name != "QBMVAE"):
                continue
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == name:
                    return inner, ast.get_docstring(node if name == "__init__" else inner) or ""
    raise LookupError(f"no class in {folder} defines {name}")


def _arguments(function: ast.FunctionDef) -> Iterator[tuple[ast.arg, str]]:
    """Yield the arguments of a function with their defaults as text, "" where there is none."""
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    missing = [None] * (len(positional) - len(spec.defaults))
    for argument, default in zip(
        [*positional, *spec.kwonlyargs], [*missing, *spec.defaults, *spec.kw_defaults], strict=True
    ):
        yield argument, "" if default is None else _shown(default)


def _shown(default: ast.expr) -> str:
    """Return a default as a reader wants it: the value, also of a field of a class of options."""
    if isinstance(default, ast.Constant):
        return str(default.value)
    if isinstance(default, ast.Attribute) and isinstance(default.value, ast.Name):
        import qbmvae.core.training.config as written

        owner = getattr(written, default.value.id, None)
        return str(getattr(owner, default.attr, ast.unparse(default)))
    return ast.unparse(default)
