"""Depth, batch and covariates of generated cells: those of training cells whose posteriors fit the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.vae import VAE
from qbmvae.model import cells
from samplers.errors import InputError, nearest

#: Training cells whose library sizes are kept for generation.
LIBRARIES = 5000
#: Library sizes, `(n,)`, covariate codes, continuous covariates or None, and parameters of the posteriors, `(n, ...)`, or
#: None in models that were saved without.
Libraries = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


def libraries(model: Model, training: np.ndarray | None) -> Libraries:
    """Return library sizes, covariates and posteriors of some training cells.

    Parameters
    ----------
    model
        The model.
    training
        Rows of the training cells; all cells by default.
    """
    source = cells.source(model)
    rows = source.rows if training is None else training
    # a few thousand cells describe the sizes: an export carries them
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:LIBRARIES])
    codes = np.stack([c[rows] for c in source.categories], axis=1)
    with torch.inference_mode():
        own = cells.posterior(model, None, rows)
    numbers = None if source.continuous is None else source.continuous[rows]
    return np.asarray(source.library)[rows], codes, numbers, halved(own)


def halved(parameters: torch.Tensor) -> np.ndarray:
    """Return posteriors' parameters in half precision, as files keep them."""
    return parameters.clamp(-60_000, 60_000).half().numpy()


def training_like(
    libraries: Libraries, names: Sequence[str], codes: np.ndarray, batch: str | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Draw library sizes, `(n_cells,)`, covariate codes and continuous covariates, `(n_cells, ...)`, given codes.

    All three are a training cell's, drawn with probability in proportion to q(code | cell): given the code, the shares of
    the cells in the mixture of all their posteriors. So depth and batch go with the code as they do in the data.

    Parameters
    ----------
    libraries
        Of some training cells, see `libraries`; without posteriors every cell is as likely.
    names
        Of the batches.
    codes
        `(n_cells, n_latent)`.
    batch
        Name of the batch; in the proportions of the training cells by default.
    rng
        The generator.

    Raises
    ------
    InputError
        For an unknown batch, one without training cells, or library sizes that are not positive.
    """
    sizes, covariates, numbers, posteriors = libraries
    pool = np.arange(len(sizes))
    if batch is not None:
        if str(batch) not in names:
            raise InputError(f"the model knows no batch {batch!r}{nearest(batch, names)}")
        pool = np.flatnonzero(covariates[:, 0] == names.index(str(batch)))
        if not len(pool):
            raise InputError(f"no training cell belongs to batch {batch!r}: give library_size= and another batch")
    rows = pool[
        rng.integers(len(pool), size=len(codes)) if posteriors is None else likely(codes, posteriors[pool], rng)
    ]
    return np.asarray(sizes[rows]), covariates[rows], None if numbers is None else numbers[rows]


@torch.inference_mode()
def likely(codes: np.ndarray, posteriors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw for each code a cell, in proportion to the density of its posterior at the code, `(n_cells,)` positions.

    Parameters
    ----------
    codes
        `(n_cells, n_latent)`.
    posteriors
        Bit logits, or locations and log variances, of the cells to draw from, `(n, n_latent)` or `(n, 2 * n_latent)`.
    rng
        The generator.
    """
    own, rows = torch.from_numpy(np.asarray(posteriors, dtype=np.float32)), []
    for part in np.array_split(np.asarray(codes, dtype=np.float32), max(1, len(codes) // 1024)):
        z = torch.from_numpy(part)
        if own.shape[1] == z.shape[1]:
            log_q = z @ own.T - torch.nn.functional.softplus(own).sum(1)
        else:
            normal = VAE.normal(own)
            precision = normal.scale**-2
            log_q = z @ (normal.loc * precision).T - (z**2 @ precision.T) / 2
            log_q -= (normal.loc**2 * precision / 2 + normal.scale.log()).sum(1)
        reached = torch.softmax(log_q.double(), 1).cumsum(1).numpy()
        rows.append((reached < rng.random((len(z), 1)) * reached[:, -1:]).sum(1))
    return np.concatenate(rows)
