"""What the contract does around a backend: clamped spins by conditioning, and the check of what it returns."""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np

from samplers.draws import Draws
from samplers.errors import BadAnswerError, InputError
from samplers.problem import Ising
from samplers.request import Request

#: Arguments that a backend may leave out: they are then served for it, or refused by name.
OPTIONAL = ("initial_states", "clamped", "seed")

Write = Callable[[Request], Draws | np.ndarray]


class Named(Protocol):
    """A backend, as its answers name it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def kind(self) -> str:
        """Whether it samples or optimises."""


def serve(backend: Named, request: Request, takes: Collection[str], write: Write) -> Draws:
    """Return the checked and completed draws of a request.

    Parameters
    ----------
    backend
        Who draws.
    request
        What was asked for.
    takes
        Which of `OPTIONAL` the backend takes itself.
    write
        The backend's own method.

    Raises
    ------
    InputError
        For initial states that the backend does not take.
    BadAnswerError
        For an answer of another shape, or with values other than -1 and +1.
    """
    problem = request.problem
    if request.initial_states is not None and "initial_states" not in takes:
        raise InputError(f"{backend.name} takes no initial_states: it chooses its own start")
    if not problem.n:
        return complete(backend, request, Draws(np.empty((request.num_reads, 0), dtype=np.int8)), 0.0)
    if request.clamped and "clamped" not in takes:
        return _conditioned(backend, request, request.clamped, takes, write)
    start = time.perf_counter()
    answer = write(request)
    draws = answer if isinstance(answer, Draws) else Draws(np.asarray(answer))
    return complete(backend, request, draws, time.perf_counter() - start)


def _conditioned(
    backend: Named, request: Request, clamped: Mapping[int, int], takes: Collection[str], write: Write
) -> Draws:
    """Serve clamped spins by drawing the others given them."""
    rest, free = request.problem.condition(clamped)
    states = np.empty((request.num_reads, request.problem.n), dtype=np.int8)
    states[:, list(clamped)] = list(clamped.values())
    if not len(free):
        return complete(backend, request, Draws(states), 0.0)
    start = None if request.initial_states is None else request.initial_states[:, free]
    draws = serve(backend, request.replace(problem=rest, initial_states=start, clamped=None), takes, write)
    states[:, free] = draws.states
    return Draws(states, draws.log_weights, beta=draws.beta, info=draws.info).of(request.problem)


def complete(backend: Named, request: Request, draws: Draws, seconds: float) -> Draws:
    """Return draws that were checked, with energies, provenance and timing.

    Parameters
    ----------
    backend, request
        Who drew, and for what.
    draws
        The answer; energies in it must be the problem's, and are replaced by those to full precision.
    seconds
        How long it took.

    Raises
    ------
    BadAnswerError
        For another shape or number of reads, values other than -1 and +1, NaN weights, or other energies.
    """
    problem = request.problem
    states = checked_reads(draws, problem, request.num_reads, f"{type(backend).__name__} returned")
    info = {"sampler": backend.name, "kind": backend.kind, **draws.info}
    info.setdefault("timing", {}).setdefault("total", seconds)
    return Draws(states, draws.log_weights, beta=request.beta, info=info).of(problem)


def checked_spins(answer: Any, n: int, who: str) -> np.ndarray:
    """Return the states of an answer as int8, `(reads, n)`, if they are spins.

    Parameters
    ----------
    answer
        What a backend gave.
    n
        Spins of a read.
    who
        The message's beginning: "X returned".

    Raises
    ------
    BadAnswerError
        For another width, or values other than -1 and +1.
    """
    states = np.asarray(answer)
    if states.ndim != 2 or states.shape[1] != n:
        raise BadAnswerError(f"{who} states of shape {states.shape}, asked for {n} spins")
    if states.size and not (np.abs(states) == 1).all():
        read, spin = np.argwhere(~(np.abs(states) == 1))[0]
        raise BadAnswerError(f"{who} {states[read, spin]} for spin {spin} of read {read}: not -1 or +1")
    # after the check: a cast would turn 1.7 into 1, and NaN into anything
    return states.astype(np.int8, copy=False)


def checked_reads(draws: Draws, problem: Ising, num_reads: int, who: str) -> np.ndarray:
    """Return the states of an answer as int8, if answer and problem fit.

    Parameters
    ----------
    draws
        The answer; energies in it must be the problem's, to float32.
    problem, num_reads
        What was asked for.
    who
        The message's beginning: "X returned".

    Raises
    ------
    BadAnswerError
        For a wrong number of reads or spins, values other than -1 and +1, weights or energies that are NaN or belong to
        other states.
    """
    states, energies = checked_spins(draws.states, problem.n, who), draws.given_energies
    if len(states) != num_reads:
        raise BadAnswerError(f"{who} {len(states)} reads, asked for {num_reads}")
    if draws.log_weights is not None:
        weights = np.asarray(draws.log_weights)
        # the largest of weights with a NaN is NaN
        if weights.shape != (len(states),) or not math.isfinite(weights.max()):
            raise BadAnswerError(f"{who} weights of shape {weights.shape} that are NaN, infinite, all zero or too few")
    if energies is not None:
        if np.shape(energies) != (len(states),) or not np.isfinite(energies).all():
            raise BadAnswerError(f"{who} energies that are NaN, infinite or of the wrong number")
        off = np.abs(problem.energies(states) - energies)
        # a backend may compute energies in float32
        if off.max(initial=0.0) > 1e-5 * problem.magnitude + 1e-3:
            raise BadAnswerError(f"{who} the energy of another state or problem for read {int(off.argmax())}")
    return states


def served_draw(write: Callable[..., Any]) -> Callable[..., Draws]:
    """Return a subclass's own `draw`, checked and completed as `Sampler.draw` is.

    Parameters
    ----------
    write
        `draw(self, problem, num_reads, beta, ...)` with those of `OPTIONAL` that it takes as keyword arguments.
    """
    parameters = inspect.signature(write).parameters
    everything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    takes = frozenset(name for name in OPTIONAL if everything or name in parameters)

    @functools.wraps(write)
    def draw(
        self: Any,
        problem: Any,
        num_reads: Any = 1,
        beta: Any = 1.0,
        *,
        initial_states: Any = None,
        clamped: Any = None,
        seed: Any = None,
    ) -> Draws:
        def written(request: Request) -> Any:
            given = {"initial_states": request.initial_states, "clamped": request.clamped, "seed": request.seed}
            # what was not asked for is left to the method's own default, but for the seed
            options = {k: v for k, v in given.items() if k in takes and (v is not None or k == "seed")}
            return write(self, request.problem, request.num_reads, request.beta, **options)

        request = Request.checked(problem, num_reads, beta, initial_states, clamped, seed)
        return serve(self, request, takes, written)

    draw.takes = takes  # type: ignore[attr-defined]
    return draw
