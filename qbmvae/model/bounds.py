"""Likelihood bounds and energies of cells, in nats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qbmvae.core.batch import Batch
from qbmvae.core.priors.base import DiscretePrior, entropy
from qbmvae.model.module import QBMVAEModule
from samplers.errors import InputError


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run torch's draws from `seed` and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@torch.inference_mode()
def reconstruction_and_kl(module: QBMVAEModule, batches: Iterable[Batch], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return -log p(x | z) and KL(q || p) of each cell at hard bits, `(n_cells,)` each, in nats.

    Parameters
    ----------
    module
        The trained model.
    batches
        The cells.
    seed
        Of the draw of the bits.
    """
    reconstruction, kl = [], []
    with seeded(seed):
        for batch in batches:
            r, k, _ = module.vae.evaluate(batch)
            reconstruction.append(r.cpu())
            kl.append(k.cpu())
    return torch.cat(reconstruction).numpy(), torch.cat(kl).numpy() + float(module.log_partition)


@torch.inference_mode()
def importance_weighted(module: QBMVAEModule, batches: Iterable[Batch], n_samples: int, seed: int) -> np.ndarray:
    """Return the importance-weighted bound on log p(x) of each cell (Burda et al. 2016), `(n_cells,)` in nats.

    Parameters
    ----------
    module
        The trained model.
    batches
        The cells.
    n_samples
        Draws of the code a cell; the bound tightens with more.
    seed
        Of the draws.
    """
    vae, log_z = module.vae, module.log_partition.float()
    bounds = []
    with seeded(seed):
        for batch in batches:
            parameters = vae.encode(batch.x, batch.covariates)
            log_weights = []
            for _draw in range(n_samples):
                z = vae.sample_code(parameters)
                if isinstance(vae.prior, DiscretePrior):
                    log_q = (z * parameters - torch.nn.functional.softplus(parameters)).sum(-1)
                    log_p = -vae.prior.energy(z) - log_z
                else:
                    log_q = vae.normal(parameters).log_prob(z).sum(-1)
                    log_p = vae.prior.log_prob(z)
                log_weights.append(vae.log_likelihood(batch, z)[1] + log_p - log_q)
            bounds.append((torch.stack(log_weights).logsumexp(0) - np.log(n_samples)).cpu())
    return torch.cat(bounds).numpy()


@torch.inference_mode()
def prior_energy(prior: DiscretePrior, logits: Tensor, free: bool, seed: int) -> np.ndarray:
    """Return the prior's expected energy of each cell's code, `(n_cells,)` in nats: -log p(z) up to log Z.

    Parameters
    ----------
    prior
        A prior over bits.
    logits
        The posterior's, `(n_cells, n_latent)`.
    free
        Subtract the posterior's entropy, which leaves KL(q || p) up to log Z.
    seed
        Of the draw of the bits, where the energy is no quadratic form (hidden units).
    """
    with seeded(seed):
        z = torch.bernoulli(torch.sigmoid(logits))
    energy = prior.expected_energy(torch.sigmoid(logits), z)
    return (energy - entropy(logits) if free else energy).cpu().numpy()


def over_bits(prior: Any, what: str) -> DiscretePrior:
    """Return the prior if it is one over bits; `what` (a method's name) needs that.

    Raises
    ------
    InputError
        For a continuous prior.
    """
    if not isinstance(prior, DiscretePrior):
        raise InputError(f"{what} needs a prior over bits; this model's prior is continuous")
    return prior
