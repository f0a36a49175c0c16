"""Annealed importance sampling (Neal 2001), forward and in reverse: stochastic lower and upper bounds of log Z."""

from __future__ import annotations

import numpy as np

from samplers.kernels.dispatch import Kernel
from samplers.problem import Ising


def forward(
    problem: Ising, num_chains: int, num_sweeps: int, beta: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Anneal fair coins from beta 0 to `beta` in equal steps.

    Parameters
    ----------
    problem
        The Ising problem.
    num_chains, num_sweeps
        Chains, and steps of beta with one sweep each.
    beta
        The final inverse temperature.
    rng
        The generator.

    Returns
    -------
    tuple
        Log-weights `(num_chains,)`, whose exponentials average to Z without bias, and the final states.
    """
    kernel = Kernel(problem)
    chains = kernel.random(num_chains, rng)
    kernel.measure(chains)
    step = beta / num_sweeps
    log_weights = np.full(num_chains, problem.n * np.log(2.0))
    for k in range(1, num_sweeps + 1):
        log_weights -= step * chains.energy()
        kernel.sweep(chains, k * step)
    return log_weights, chains.states()


def reverse(problem: Ising, states: np.ndarray, num_sweeps: int, beta: float, rng: np.random.Generator) -> np.ndarray:
    """Anneal exact samples at `beta` back to beta 0 (Grosse, Ancha and Roy 2016).

    Parameters
    ----------
    states
        `(num, n)` samples of exp(-beta E); the better they are, the truer the bound.
    problem, beta
        The Ising problem, and the inverse temperature of the states.
    num_sweeps
        Temperatures on the way, one sweep each.
    rng
        The generator.

    Returns
    -------
    numpy.ndarray
        Log-weights `(num,)`, whose negated exponentials average to 1 / Z without bias.
    """
    kernel = Kernel(problem)
    chains = kernel.start(states, rng)
    kernel.measure(chains)
    step = beta / num_sweeps
    log_weights = np.full(len(states), problem.n * np.log(2.0))
    for k in range(num_sweeps, 0, -1):
        kernel.sweep(chains, k * step)
        log_weights -= step * chains.energy()
    return log_weights
