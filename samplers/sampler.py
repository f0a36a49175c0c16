"""The contract: a `Sampler` draws `Draws` of an `Ising` problem at a stated beta; every `Sampler` is a `dimod.Sampler`."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import dimod
import numpy as np

from samplers.errors import BadAnswerError, InputError, nearest
from samplers.problem import Ising

Seed = int | np.random.Generator | None

#: Arguments of `draw` that a backend may leave out: the contract then serves them itself, or refuses them by name.
OPTIONAL = ("initial_states", "clamped", "seed")


@dataclass
class Draws:
    """Reads of a Boltzmann distribution.

    Attributes
    ----------
    states
        `(num_reads, n)` int8 in {-1, +1}.
    log_weights
        `(num_reads,)` float64, or None where all reads weigh the same.
    energies
        `(num_reads,)` float64, the problem's energy of each read.
    beta
        The inverse temperature that was asked for.
    info
        Timing in seconds, sweeps, acceptance, provenance, `effective_beta` where it was measured, ledger row.
    """

    states: np.ndarray
    log_weights: np.ndarray | None = None
    # a backend may leave it out: the contract fills it in
    energies: np.ndarray = None  # type: ignore[assignment]
    beta: float = 1.0
    info: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def weights(self) -> np.ndarray:
        """Normalised weights, `(num_reads,)`, summing to 1."""
        if self.log_weights is None:
            return np.full(len(self), 1.0 / max(1, len(self)))
        weights = np.exp(self.log_weights - self.log_weights.max())
        return weights / weights.sum()

    @property
    def effective_sample_size(self) -> float:
        """Kish's effective sample size, (sum w)^2 / sum w^2, in reads."""
        return float(1.0 / np.square(self.weights).sum())

    def mean(self) -> np.ndarray:
        """Return the weighted mean of each spin, `(n,)`."""
        return self.weights @ self.states

    def second_moments(self) -> np.ndarray:
        """Return the weighted E[s_i s_j], `(n, n)`."""
        spins = self.states.astype(np.float64)
        return spins.T @ (spins * self.weights[:, None])

    def resample(self, num_reads: int | None = None, seed: Seed = None) -> Draws:
        """Return equally weighted reads by systematic resampling (Douc and Cappe 2005).

        Parameters
        ----------
        num_reads
            How many; as many as there are by default.
        seed
            Seed or generator.
        """
        if self.log_weights is None and num_reads in (None, len(self)):
            return self
        rows = systematic(self.weights, num_reads or len(self), np.random.default_rng(seed))
        energies = None if self.energies is None else self.energies[rows]
        return Draws(self.states[rows], None, energies, self.beta, {**self.info, "resampled": True})

    def to_sampleset(self, problem: Ising, vartype: str = "SPIN") -> dimod.SampleSet:
        """Return a `dimod.SampleSet` with the problem's labels; weights, where there are any, as a data vector."""
        vectors = {} if self.log_weights is None else {"log_weight": self.log_weights}
        samples = dimod.SampleSet.from_samples(
            (self.states, list(problem.labels)), "SPIN", energy=self.energies, info=dict(self.info),
            sort_labels=False, **vectors,
        )  # fmt: skip
        return samples if vartype == "SPIN" else samples.change_vartype(vartype, inplace=False)


def systematic(weights: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Return `num` row indices drawn by systematic resampling from normalised `weights`."""
    edges = np.cumsum(weights)
    edges[-1] = 1.0
    return np.searchsorted(edges, (rng.random() + np.arange(num)) / num, side="right").clip(max=len(weights) - 1)


class Sampler(dimod.Sampler):
    """Base of every backend: a subclass writes one method, `draw`.

    A subclass's `draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, clamped=None, seed=None)` returns
    `Draws`, or the states alone. It is wrapped: arguments are checked before, and energies, timing and provenance are
    filled in after. It may leave out the keyword arguments that it does not need: `clamped` is then served by
    conditioning the problem on the clamped spins, `seed` is ignored, and `initial_states` is refused.

    Attributes
    ----------
    name
        The name under which it is registered.
    kind
        "sampler" if the reads follow the Boltzmann distribution at `beta`, "optimiser" if they only seek low energies.
    remote
        Whether reads come from another machine.
    keeps_chains
        Whether a draw goes on from the draw before: then an integer seed starts afresh, a generator or no seed goes on,
        and `state_dict` holds the chains.
    """

    name: ClassVar[str] = "sampler"
    kind: Literal["sampler", "optimiser"] = "sampler"
    remote: ClassVar[bool] = False
    keeps_chains: bool = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "draw" in cls.__dict__ and not getattr(cls.__dict__["draw"], "__isabstractmethod__", False):
            cls.draw = _checked(cls.__dict__["draw"])  # type: ignore[method-assign]

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        clamped: Mapping[int, int] | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw reads of exp(-beta E(s)).

        Parameters
        ----------
        problem
            The Ising problem.
        num_reads
            How many reads.
        beta
            Inverse temperature, >= 0.
        initial_states
            `(num_reads, n)` spins to start from, where the backend takes them.
        clamped
            Spin index to -1 or +1: these spins keep their value, the rest is drawn given them.
        seed
            Seed or `numpy.random.Generator`; the same seed gives the same reads on the same machine.

        Raises
        ------
        InputError
            For arguments out of range, shapes that do not fit, or an option that the backend does not take.
        """
        raise TypeError(f"{type(self).__name__} must write the method `draw`")

    def state_dict(self) -> dict[str, Any]:
        """Return what the sampler keeps from draw to draw, as arrays and plain values; empty where it keeps nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        if state:
            raise InputError(
                f"{type(self).__name__} keeps nothing from draw to draw, but the state holds {', '.join(map(str, state))}: "
                "resume with the sampler that the state was taken of"
            )

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Keyword arguments of `sample`, as `dimod` asks."""
        accepted = _accepted(type(self).draw)
        names = ["num_reads", "beta", "clamped", "seed"]
        if "initial_states" in accepted:
            names.append("initial_states")
        return {name: [] for name in names}

    @property
    def properties(self) -> dict[str, Any]:
        """Facts about the backend; kind, remote, and the limits of the machine where there are any."""
        return {"kind": self.kind, "remote": self.remote}

    def sample(self, bqm: dimod.BinaryQuadraticModel, **kwargs: Any) -> dimod.SampleSet:
        """Draw from a `dimod` model of either vartype; keyword arguments are those of `draw`."""
        unknown = set(kwargs) - set(self.parameters)
        if unknown:
            name = sorted(unknown)[0]
            raise InputError(f"{type(self).__name__} takes no option {name!r}{nearest(name, self.parameters)}")
        problem = Ising.from_bqm(bqm)
        if clamped := kwargs.get("clamped"):
            index = {label: i for i, label in enumerate(problem.labels)}
            kwargs["clamped"] = {index[v]: int(s) for v, s in clamped.items()}
        return self.draw(problem, **kwargs).to_sampleset(problem, bqm.vartype.name)


def _accepted(draw: Any) -> set[str]:
    parameters = inspect.signature(inspect.unwrap(draw)).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return set(OPTIONAL)
    return set(OPTIONAL) & set(parameters)


def _checked(draw: Any) -> Any:
    accepted = _accepted(draw)

    @functools.wraps(draw)
    def wrapper(
        self: Sampler,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: Any = None,
        clamped: Mapping[int, int] | None = None,
        seed: Seed = None,
    ) -> Draws:
        check_request(problem, num_reads, beta)
        if clamped and "clamped" not in accepted:
            return _draw_conditioned(
                self, problem, num_reads, beta, initial_states=initial_states, clamped=clamped, seed=seed
            )
        options: dict[str, Any] = {}
        if initial_states is not None:
            if "initial_states" not in accepted:
                raise InputError(f"{type(self).__name__} takes no initial_states: it chooses its own start")
            options["initial_states"] = check_states(initial_states, problem.n)
        if clamped:
            options["clamped"] = clamped
        if "seed" in accepted:
            options["seed"] = seed
        start = time.perf_counter()
        result = draw(self, problem, int(num_reads), float(beta), **options)
        draws = result if isinstance(result, Draws) else Draws(np.asarray(result))
        return _complete(self, problem, draws, float(beta), time.perf_counter() - start)

    return wrapper


def _draw_conditioned(
    sampler: Sampler, problem: Ising, num_reads: int, beta: float, *, initial_states: Any, clamped: Any, seed: Seed
) -> Draws:
    rest, free = problem.condition(clamped)
    states = np.empty((num_reads, problem.n), dtype=np.int8)
    for spin, value in clamped.items():
        states[:, int(spin)] = value
    if not len(free):
        return _complete(sampler, problem, Draws(states), beta, 0.0)
    if initial_states is not None:
        initial_states = check_states(initial_states, problem.n)[:, free]
    draws = sampler.draw(rest, num_reads, beta, initial_states=initial_states, seed=seed)
    states = np.repeat(states[:1], len(draws), axis=0)
    states[:, free] = draws.states
    # the conditioned problem carries the clamped spins' energy in its offset
    return Draws(states, draws.log_weights, draws.energies, draws.beta, draws.info)


def _complete(sampler: Sampler, problem: Ising, draws: Draws, beta: float, seconds: float) -> Draws:
    states = np.asarray(draws.states)
    if states.ndim != 2 or states.shape[1] != problem.n:
        raise BadAnswerError(
            f"{type(sampler).__name__} returned states of shape {states.shape} for a problem of {problem.n} spins"
        )
    if states.size and not (np.abs(states) == 1).all():
        raise BadAnswerError(f"{type(sampler).__name__} returned values other than -1 and +1")
    # after the check: a cast would turn 1.7 into 1, and NaN into anything
    states = states.astype(np.int8, copy=False)
    energies = problem.energies(states) if draws.energies is None else draws.energies
    info = {"sampler": sampler.name, "kind": sampler.kind, **draws.info}
    info.setdefault("timing", {}).setdefault("total", seconds)
    return Draws(states, draws.log_weights, energies, beta, info)


def check_request(problem: Any, num_reads: Any, beta: Any) -> None:
    """Raise `InputError` unless problem, number of reads and beta can be drawn from."""
    if not isinstance(problem, Ising):
        raise InputError(
            f"draw takes a samplers.Ising, not {type(problem).__name__}: use samplers.Ising(h, J) or Ising.from_bqm(bqm)"
        )
    if isinstance(num_reads, bool) or not isinstance(num_reads, int | np.integer) or num_reads < 1:
        raise InputError(f"num_reads must be a whole number >= 1, not {num_reads!r}")
    if not isinstance(beta, int | float | np.number) or not np.isfinite(beta) or beta < 0:
        raise InputError(f"beta must be a finite number >= 0, not {beta!r}")


def check_states(states: Any, n: int) -> np.ndarray:
    """Return states as a `(num, n)` int8 array of -1/+1; a single state `(n,)` becomes one row."""
    array = np.atleast_2d(np.asarray(states))
    if array.ndim != 2 or array.shape[1] != n:
        raise InputError(f"initial_states have shape {np.shape(states)}: give (num_reads, {n})")
    bad = np.argwhere(np.abs(array) != 1)
    if len(bad):
        read, spin = bad[0]
        raise InputError(f"initial_states[{read}, {spin}] is {array[read, spin]}: spins take -1 or +1")
    return array.astype(np.int8)
