"""Backends by name: the built-in ones, those registered at run time, and those of the entry point `qbmvae.samplers`."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import yaml

from samplers.errors import InputError, nearest
from samplers.sampler import Sampler

GROUP = "qbmvae.samplers"
#: Options of "name?option=value" that are never read as numbers.
TEXTS = ("token", "url")


@dataclass(frozen=True)
class Backend:
    """What `available` returns for a backend.

    Attributes
    ----------
    description
        One line.
    kind
        "sampler" or "optimiser".
    remote
        Whether it calls another machine.
    usable
        Whether it can be used here.
    why_not
        What to install, and which variables of the environment to set, where it cannot; "" where it can.
    """

    description: str
    kind: str = "sampler"
    remote: bool = False
    usable: bool = True
    why_not: str = ""


@dataclass(frozen=True)
class _Builtin:
    target: str  # "module:Class"
    description: str
    kind: str = "sampler"
    remote: bool = False
    package: str = ""  # import that it needs beyond the dependencies
    extra: str = ""
    install: str = ""  # what to do where no extra installs it
    credentials: tuple[str, ...] = ()  # environment variables without which it answers nobody


_BUILTIN: dict[str, _Builtin] = {
    "exact": _Builtin("samplers.strategies.exact:Exact", "independent exact samples by enumeration (n <= 24) or along a narrow tree decomposition"),
    "gibbs": _Builtin("samplers.strategies.gibbs:Gibbs", "independent chains of blocked Gibbs sweeps at constant beta"),
    "persistent": _Builtin("samplers.strategies.persistent:Persistent", "chains kept from draw to draw, reweighted as the problem drifts (the training default)"),
    "population-annealing": _Builtin("samplers.strategies.population_annealing:PopulationAnnealing", "a weighted population cooled from beta 0, with resampling; gives log Z"),
    "parallel-tempering": _Builtin("samplers.strategies.parallel_tempering:ParallelTempering", "replica exchange over a ladder of betas: the reference for hard problems"),
    "simulated-annealing": _Builtin("samplers.machines.simulated_annealing:SimulatedAnnealing", "dwave-samplers' annealing, scheduled to sample at beta"),
    "path-integral-annealing": _Builtin("samplers.machines.path_integral:PathIntegralAnnealing", "simulated quantum annealing (transverse-field path integral)", "optimiser"),
    "coherent-ising": _Builtin("samplers.machines.coherent_ising:CoherentIsing", "simulated coherent Ising machine, finished by correction sweeps", "optimiser"),
    "simulated-bifurcation": _Builtin("samplers.machines.bifurcation:SimulatedBifurcation", "heated, discrete or ballistic simulated bifurcation, finished by correction sweeps", "optimiser"),
    "simulated-bifurcation-package": _Builtin("samplers.machines.bifurcation_package:SimulatedBifurcationPackage", "the simulated-bifurcation package", "optimiser", False, "simulated_bifurcation", "machines"),
    "openjij": _Builtin("samplers.machines.openjij:OpenJij", "OpenJij's simulated (quantum) annealing", "optimiser", False, "openjij", "machines"),
    "mock-machine": _Builtin("samplers.machines.mock:MockMachine", "a stand-in for hardware: hidden gain, coefficient bits, ranges, readout flips"),
    "dwave": _Builtin("samplers.remote.dwave:DWave", "a D-Wave QPU over a fixed cached embedding", "sampler", True, "dwave.system", "dwave", "", ("DWAVE_API_TOKEN",)),
    "kaiwu": _Builtin("samplers.remote.kaiwu:Kaiwu", "QBoson's coherent Ising machine", "optimiser", True, "kaiwu", "", "install QBoson's Kaiwu SDK (closed, from its vendor)", ("KAIWU_USER_ID", "KAIWU_SDK_CODE")),
    "amplify": _Builtin("samplers.remote.amplify:Amplify", "Fixstars Amplify's annealing engine", "optimiser", True, "amplify", "amplify", "", ("AMPLIFY_TOKEN",)),
    "http": _Builtin("samplers.remote.http:Http", "a server of `qbmvae samplers serve`", "sampler", True, "httpx", "http"),
}  # fmt: skip

_REGISTERED: dict[str, Callable[..., Sampler]] = {}


def register(name: str, factory: Callable[..., Sampler]) -> None:
    """Add a backend under `name`, for `get`, `QBMVAE(sampler=name)` and the command line of this process.

    Parameters
    ----------
    name
        The name; a later registration replaces an earlier one, built-in names are refused.
    factory
        A `Sampler` subclass, or any callable that returns a `Sampler`.

    Raises
    ------
    InputError
        For a built-in name, and for what is no callable.
    """
    if name in _BUILTIN:
        raise InputError(f"{name!r} is a built-in sampler: register yours under another name")
    if not callable(factory):
        raise InputError(f"register {name!r} with a Sampler subclass or a callable, not {type(factory).__name__}")
    _REGISTERED[name] = factory


def names() -> list[str]:
    """Return every name that `get` knows."""
    return [*_BUILTIN, *sorted({*_REGISTERED, *_entry_points()} - set(_BUILTIN))]


def available() -> dict[str, Backend]:
    """Return every backend with one line, its kind, local or remote, and whether it is usable here or why not."""
    backends = {}
    for name in names():
        if name in _BUILTIN:
            b = _BUILTIN[name]
            why_not = (
                [] if not b.package or _importable(b.package) else [b.install or f"pip install 'qbmvae[{b.extra}]'"]
            )
            why_not += [f"set {variable}" for variable in b.credentials if not os.environ.get(variable, "").strip()]
            backends[name] = Backend(b.description, b.kind, b.remote, not why_not, "; ".join(why_not))
            continue
        try:
            factory = _REGISTERED[name] if name in _REGISTERED else _entry_points()[name].load()
        except Exception as error:  # noqa: BLE001 - a third party's import may fail in any way; the listing must not
            backends[name] = Backend(
                "a third party's backend", usable=False, why_not=f"{type(error).__name__}: {error}"
            )
            continue
        line = (inspect.getdoc(factory) or "a third party's backend").splitlines()[0]
        backends[name] = Backend(line, getattr(factory, "kind", "sampler"), getattr(factory, "remote", False))
    return backends


def get(spec: str | Sampler, **options: Any) -> Sampler:
    """Return a sampler by name.

    Parameters
    ----------
    spec
        A name, `"name?option=value&..."`, or a `Sampler`, which is returned as it is; any other `dimod.Sampler` is
        adapted.
    **options
        Options of the backend; they win over those in `spec`.

    Raises
    ------
    InputError
        For an unknown name (the message lists what there is) or an option that the backend does not take.
    """
    if isinstance(spec, Sampler):
        if options:
            raise InputError("options go with a sampler's name; this sampler is already made")
        return spec
    if not isinstance(spec, str):
        from samplers.dimod_adapter import from_dimod

        return from_dimod(spec, **options)
    name, _, query = spec.partition("?")
    written = {k.replace("-", "_"): v for k, v in parse_qsl(query)}
    # a token of digits is still a text
    options = {**{k: v if k in TEXTS else yaml.safe_load(v) for k, v in written.items()}, **options}
    factory = _factory(name)
    allowed = _options(factory)
    for option in options:
        if allowed is not None and option not in allowed:
            raise InputError(f"sampler {name!r} takes no option {option!r}{nearest(option, allowed)}")
    sampler = factory(**options)
    if name not in _BUILTIN and sampler.name == type(sampler).__name__:
        # a class that gives itself no name goes by the one that it was registered under
        sampler.name = name
    return sampler


def _factory(name: str) -> Callable[..., Sampler]:
    if name in _BUILTIN:
        module, _, attribute = _BUILTIN[name].target.partition(":")
        return getattr(importlib.import_module(module), attribute)
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name in _entry_points():
        return _entry_points()[name].load()
    raise InputError(f"there is no sampler {name!r}: there are {', '.join(names())}")


def _options(factory: Callable[..., Any]) -> list[str] | None:
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]


def _importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@functools.cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
