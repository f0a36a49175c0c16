"""The log-partition function of a problem, with its standard error."""

from __future__ import annotations

import numpy as np

from samplers.errors import InputError, nearest
from samplers.kernels.dispatch import Kernel
from samplers.problem import Ising
from samplers.sampler import Seed, check_request
from samplers.strategies import annealed_importance
from samplers.strategies.exact import exact_log_z
from samplers.strategies.options import whole
from samplers.strategies.population_annealing import cool
from samplers.strategies.weights import log_mean_exp, resample_rows

METHODS = ("auto", "exact", "population-annealing", "ais", "reverse-ais")

#: Independent populations, whose spread gives the standard error.
POPULATIONS = 8


def log_partition(
    problem: Ising,
    beta: float = 1.0,
    seed: Seed = 0,
    *,
    method: str = "auto",
    num_chains: int = 2048,
    num_sweeps: int = 256,
) -> tuple[float, float]:
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
        Chains in all; population annealing splits them into 8 populations.
    num_sweeps
        Steps of beta, each with one sweep.

    Raises
    ------
    InputError
        For an unknown method, or "exact" where no exact method serves.
    """
    check_request(problem, num_chains, beta)
    if method not in METHODS:
        raise InputError(f"log_partition knows no method {method!r}{nearest(method, METHODS)}")
    whole("num_chains", num_chains, least=2 * POPULATIONS)
    whole("num_sweeps", num_sweeps)
    rng = np.random.default_rng(seed)
    if method in ("auto", "exact"):
        exact = exact_log_z(problem, beta)
        if exact is not None:
            return exact, 0.0
        if method == "exact":
            raise InputError(
                f"log Z of {problem.n} spins without a narrow tree decomposition is not exact here: use method='auto'"
            )
    if method == "ais":
        return _mean(annealed_importance.forward(problem, num_chains, num_sweeps, beta, rng)[0])
    if method == "reverse-ais":
        cooled = cool(Kernel(problem), num_chains, beta, num_sweeps, rng)
        states = cooled.chains.states()[resample_rows(cooled.log_weights, num_chains, rng)]
        log_weights = annealed_importance.reverse(problem, states, num_sweeps, beta, rng)
        value, error = _mean(-log_weights)
        return -value, error
    kernel = Kernel(problem)
    each = -(-num_chains // POPULATIONS)
    return _mean(np.array([cool(kernel, each, beta, num_sweeps, rng).log_z for _ in range(POPULATIONS)]))


def _mean(log_weights: np.ndarray) -> tuple[float, float]:
    """Return the log of the mean weight and its standard error, to first order."""
    weights = np.exp(log_weights - log_weights.max())
    error = weights.std(ddof=1) / np.sqrt(len(weights)) / weights.mean()
    return log_mean_exp(log_weights), float(error)
