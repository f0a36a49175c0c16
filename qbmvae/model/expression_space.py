"""Coordinates of cells in the space of decoded expression: principal components that are fixed when training ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qbmvae.core.networks import Covariates
from qbmvae.core.vae import VAE

#: Training cells whose decoded expression fixes the components, and the cells decoded at once.
CELLS, CHUNK = 3000, 512


@torch.inference_mode()
def decoded(vae: VAE, code: Tensor, categories: Sequence[int], device: torch.device | str) -> Tensor:
    """Return log1p of 1e4 times the expected frequencies, `(n_cells, n_genes)`, each covariate averaged out.

    The rows of the first `categories` of each covariate are averaged in every layer (one decoding a cell, however many
    batches there are); a Gaussian likelihood's means are returned as they are.
    """
    nowhere = Covariates((), averaged=tuple(categories))
    out = torch.empty(len(code), vae.n_input)
    for part, rows in zip(code.split(CHUNK), out.split(CHUNK), strict=True):
        scale = vae.scale(vae.decode_logits(part.to(device), nowhere)[0])
        rows.copy_(scale if vae.gene_likelihood == "gaussian" else scale.mul_(1e4).log1p_())
    return out


@torch.inference_mode()
def principal_components(expression: Tensor, n_components: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the mean, `(n_genes,)`, and the leading components, `(n_components, n_genes)`, rows of norm 1.

    Components beyond what the cells span are zero. A component's sign makes its largest entry positive.
    """
    mean = expression.mean(0)
    rank = min(n_components, *expression.shape)
    components = torch.zeros(n_components, expression.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # a few more than asked for: the last ones of a randomised decomposition are rough. One power iteration will
        # do: what a decoder of so many hidden units says has hardly more dimensions than these
        wide = min(rank + 10, *expression.shape)
        found = torch.pca_lowrank(expression - mean, q=wide, center=False, niter=1)[2].T[:rank]
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    components[:rank] = found * torch.where(largest < 0, -1.0, 1.0)
    return mean, components


@torch.inference_mode()
def coordinates(expression: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    """Return the coordinates of expression, `(n_cells, n_components)`."""
    return (expression - mean.cpu()) @ components.cpu().T
