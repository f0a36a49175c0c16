"""The log-partition function of a problem, with its standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from samplers.batch import BatchRequest
from samplers.checks import integer
from samplers.draws import Seed
from samplers.errors import InputError, require
from samplers.kernels.dispatch import Kernel
from samplers.problem import Ising
from samplers.strategies import annealed_importance
from samplers.strategies.exact import exact_log_z
from samplers.strategies.population_annealing import cool
from samplers.strategies.weights import log_mean_exp, resample_rows

METHODS = ("auto", "exact", "population-annealing", "ais", "reverse-ais")

#: Independent populations, whose spread gives the standard error.
POPULATIONS = 8


@overload
def log_partition(
    problem: Ising,
    beta: float = ...,
    seed: Seed = ...,
    *,
    method: str = ...,
    num_chains: int = ...,
    num_sweeps: int = ...,
    fields: None = ...,
    clamped: Mapping[Any, int] | None = ...,
) -> tuple[float, float]: ...


@overload
def log_partition(
    problem: Ising,
    beta: float = ...,
    seed: Seed = ...,
    *,
    method: str = ...,
    num_chains: int = ...,
    num_sweeps: int = ...,
    fields: ArrayLike | None = ...,
    clamped: Mapping[Any, int] | Sequence[Mapping[Any, int]] | None = ...,
) -> tuple[np.ndarray, np.ndarray]: ...


def log_partition(
    problem: Ising,
    beta: float = 1.0,
    seed: Seed = 0,
    *,
    method: str = "auto",
    num_chains: int = 2048,
    num_sweeps: int = 256,
    fields: ArrayLike | None = None,
    clamped: Mapping[Any, int] | Sequence[Mapping[Any, int]] | None = None,
) -> tuple[float, float] | tuple[np.ndarray, np.ndarray]:
    r"""Return log Z = log sum over spins of exp(-beta E(s)), offset included, and its standard error.

    Parameters
    ----------
    problem
        The Ising problem.
    beta
        Inverse temperature.
    seed
        Seed or generator.
    method
        "auto" (exact where enumeration or a narrow tree decomposition serves, else population annealing), "exact",
        "population-annealing", "ais" (annealed importance sampling: log Z low in the mean), "reverse-ais" (high in the
        mean, as far as its starting states are right: they come from population annealing).
    num_chains
        Chains of each problem; population annealing splits them into 8 populations.
    num_sweeps
        Steps of beta, each with one sweep.
    fields
        Fields of k problems that share the couplings, `(k, n)`: then values and errors are arrays `(k,)`, and
        population annealing cools all of them in one kernel call.
    clamped
        Spin, by index or label, to -1 or +1: the sum runs over the other spins. One mapping, or a sequence of k.

    Returns
    -------
    log Z in nats and its standard error; 0 where it is exact.

    Raises
    ------
    InputError
        For an unknown method, or "exact" where no exact method serves.
    """
    require(method, METHODS, "log_partition knows no method")
    integer("num_chains", num_chains, least=2 * POPULATIONS)
    integer("num_sweeps", num_sweeps)
    single = fields is None and (clamped is None or isinstance(clamped, Mapping))
    if single and isinstance(problem, Ising):
        fields = problem.h[None]
    request = BatchRequest.checked(problem, fields, num_chains, beta, None, clamped, seed)
    rng = request.rng
    found = np.zeros((len(request), 2))
    for rows, _, part in request.conditioned():
        found[rows] = _log_z(part, method, num_sweeps, rng)
    return (float(found[0, 0]), float(found[0, 1])) if single else (found[:, 0], found[:, 1])


def _log_z(request: BatchRequest, method: str, num_sweeps: int, rng: np.random.Generator) -> np.ndarray:
    """Return value and error of each problem of a request without clamped spins, `(k, 2)`."""
    problems, beta, num_chains = [request.one(k) for k in range(len(request))], request.beta, request.num_reads
    if method in ("auto", "exact"):
        first = exact_log_z(problems[0], beta)
        if first is not None:
            # they share the couplings: what serves one serves all
            return np.array([[first, 0.0], *([exact_log_z(problem, beta), 0.0] for problem in problems[1:])])
        if method == "exact":
            raise InputError(
                f"log Z of {request.problem.n} spins without a narrow tree decomposition is not exact here: "
                "use method='auto'"
            )
    if method == "ais":
        return np.array([_mean(annealed_importance.forward(p, num_chains, num_sweeps, beta, rng)[0]) for p in problems])
    if method == "reverse-ais":
        return np.array([_reverse(problem, num_chains, num_sweeps, beta, rng) for problem in problems])
    each = -(-num_chains // POPULATIONS)
    fields = request.fields if len(problems) > 1 else None
    kernel = Kernel(request.couplings if len(problems) > 1 else problems[0])
    log_z = np.stack([cool(kernel, each, beta, num_sweeps, rng, fields).log_z for _ in range(POPULATIONS)])
    if fields is not None:
        log_z -= beta * request.offsets
    return np.array([_mean(values) for values in log_z.T])


def _reverse(problem: Ising, num: int, num_sweeps: int, beta: float, rng: np.random.Generator) -> tuple[float, float]:
    cooled = cool(Kernel(problem), num, beta, num_sweeps, rng)
    states = cooled.chains.states()[resample_rows(cooled.log_weights[0], num, rng)]
    value, error = _mean(-annealed_importance.reverse(problem, states, num_sweeps, beta, rng))
    return -value, error


def _mean(log_weights: np.ndarray) -> tuple[float, float]:
    """Return the log of the mean weight and its standard error, to first order."""
    weights = np.exp(log_weights - log_weights.max())
    error = weights.std(ddof=1) / np.sqrt(len(weights)) / weights.mean()
    return log_mean_exp(log_weights), float(error)
