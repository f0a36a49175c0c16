"""log Z of a prior over bits: in closed form where there is one, else from populations of its own."""

from __future__ import annotations

from qbmvae.core.priors.base import DiscretePrior, Prior

#: Sweeps of the first estimate, and its largest standard error, in nats, for which it is the last.
QUICK_SWEEPS, LOG_Z_ERROR = 64, 0.003


def log_partition(prior: Prior, seed: int = 0) -> tuple[float, float]:
    """Return log Z of a prior and its standard error, in nats; (0, 0) for a prior that is normalised.

    Parameters
    ----------
    prior
        Any prior.
    seed
        Of the estimate, which uses none of the training chains.
    """
    if not isinstance(prior, DiscretePrior):
        return 0.0, 0.0
    if (closed := prior.log_partition()) is not None:
        return float(closed.detach()), 0.0
    from samplers import partition_function

    problem = prior.problem()
    value, error = partition_function.log_partition(problem, seed=seed, num_sweeps=QUICK_SWEEPS)
    if error > LOG_Z_ERROR:
        value, error = partition_function.log_partition(problem, seed=seed)
    return float(value), float(error)
