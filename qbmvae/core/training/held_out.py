"""What is measured on held-out cells after an epoch, and log Z as precisely as a curve needs it."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from qbmvae.core.batch import Batch
from qbmvae.core.priors.base import DiscretePrior, Prior
from qbmvae.core.training.distributed import Ranks
from qbmvae.core.vae import VAE
from samplers.partition_function import log_partition
from samplers.strategies.population_annealing import PopulationAnnealing

#: Spins up to which log Z is enumerated every epoch.
ENUMERATED = 16
#: Chains and sweeps of the estimate of log Z at each epoch, and where epochs are compared by early stopping.
CURVE, PRECISE_CURVE = (256, 16), (512, 64)
#: Variance over cells above which a bit counts as active (Burda et al. 2016).
ACTIVE = 0.01


def log_partition_now(prior: Prior, seed: int, precise: bool) -> float:
    """Return log Z of a prior as it is, from a fresh estimate that never sees the training chains.

    Parameters
    ----------
    prior
        Any prior; 0 for one that is normalised.
    seed
        Of the estimate.
    precise
        Whether epochs are compared by it; a curve needs less.
    """
    if not isinstance(prior, DiscretePrior):
        return 0.0
    if (closed := prior.log_partition()) is not None:
        return float(closed.detach())
    problem = prior.problem()
    if problem.n <= ENUMERATED:
        return log_partition(problem)[0]
    chains, sweeps = PRECISE_CURVE if precise else CURVE
    return PopulationAnnealing(num_sweeps=sweeps).draw(problem, chains, seed=seed).info["log_z"]


def measure(vae: VAE, batches: Iterable[Batch], log_z: float, seed: int, ranks: Ranks) -> dict[str, float]:
    """Return the losses of held-out cells at hard bits and KL weight 1, in nats a cell, and the active bits.

    Parameters
    ----------
    vae
        The model; left in evaluation mode.
    batches
        This rank's share of the cells.
    log_z
        Of the prior.
    seed
        Of the draws of the code, the same at every call; torch's generator is left as it was.
    ranks
        The processes among which the cells are shared.
    """
    vae.eval()
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    totals = torch.zeros(3, dtype=torch.float64)
    moments = torch.zeros(2, vae.n_latent, dtype=torch.float64)
    for batch in batches:
        r, k, code = vae.evaluate(batch)
        code = code.double().cpu()
        totals += torch.tensor([float(r.sum()), float(k.sum()), len(batch)], dtype=torch.float64)
        moments += torch.stack([code.sum(0), code.square().sum(0)])
    torch.set_rng_state(state)
    reconstruction, kl, n = ranks.sum(totals).tolist()
    first, second = ranks.sum(moments) / n
    return {
        "elbo_validation": (reconstruction + kl) / n + log_z,
        "reconstruction_loss_validation": reconstruction / n,
        "kl_local_validation": kl / n + log_z,
        "rate": kl / n + log_z,
        "active_bits": int((second - first.square() > ACTIVE).sum()),
    }
