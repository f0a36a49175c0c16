"""Bits drawn from the prior, and synthetic cells decoded from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData

import samplers
from qbmvae.core.labels.machine import with_bit_fields
from qbmvae.core.networks import Covariates
from qbmvae.core.priors.base import DiscretePrior
from qbmvae.model.bounds import seeded
from qbmvae.model.module import QBMVAEModule
from samplers.errors import InputError
from samplers.problem import Ising

#: Draws of independent prior bits: a population cooled from beta 0, then resampled.
SAMPLER = "population-annealing?num_sweeps=128"


def prior_codes(
    prior: Any,
    n: int,
    rng: np.random.Generator,
    sampler: Any = None,
    clamp: Mapping[int, int] | None = None,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Draw codes of a prior, `(n, n_latent)`; parameters as in `QBMVAE.sample_prior`.

    Parameters
    ----------
    prior
        The model's.
    n
        How many.
    rng
        The generator.
    sampler, clamp, bias
        As in `QBMVAE.sample_prior`.

    Raises
    ------
    InputError
        For a number below 1, or a clamp or bias that the prior does not take.
    """
    if n < 1:
        raise InputError(f"n must be at least 1, not {n}")
    if not isinstance(prior, DiscretePrior):
        if clamp or bias is not None:
            raise InputError("clamp and bias need a prior over bits; this model's prior is continuous")
        with torch.no_grad(), seeded(int(rng.integers(2**31))):
            return prior.sample(n).cpu().numpy()
    problem = biased(prior.problem(), bias, prior.n_latent)
    clamped = {bit: 2 * value - 1 for bit, value in checked_clamp(clamp, prior.n_latent).items()}
    draws = samplers.get(sampler or SAMPLER).draw(problem, n, 1.0, clamped=clamped or None, seed=rng)
    # resampling leaves copies side by side
    states = rng.permutation(draws.resample(n, seed=rng).states)
    return ((states[:, : prior.n_latent] + 1) // 2).astype(np.int8)


def checked_sizes(library_size: float | np.ndarray, n_cells: int) -> np.ndarray:
    """Return library sizes that were asked for, `(n_cells,)`; refuse what is not finite and positive.

    Raises
    ------
    InputError
        For sizes of another number, or that are not finite and positive.
    """
    library = np.broadcast_to(library_size, n_cells)
    if not (np.isfinite(library).all() and (library > 0).all()):
        raise InputError("library_size must be finite and positive")
    return library


@torch.inference_mode()
def decoded(
    module: QBMVAEModule,
    codes: np.ndarray,
    library: np.ndarray,
    covariates: np.ndarray,
    continuous: np.ndarray | None,
    seed: int,
) -> sp.csr_matrix:
    """Draw counts of cells with these codes, CSR `(n_cells, n_genes)`.

    Parameters
    ----------
    module
        The trained model.
    codes
        `(n_cells, n_latent)`.
    library
        Total counts, `(n_cells,)`.
    covariates
        Codes of the categorical covariates, the batch first, `(n_cells, n_covariates)`.
    continuous
        Continuous covariates, `(n_cells, n_continuous)`, or None.
    seed
        Of the counts.
    """
    counts, device = [], module.device
    module.eval()
    with seeded(seed):
        for part in np.array_split(np.arange(len(codes)), max(1, len(codes) // 1024)):
            categories = torch.from_numpy(covariates[part].astype(np.int64)).to(device)
            z = torch.from_numpy(codes[part].astype(np.float32)).to(device)
            size = torch.from_numpy(np.asarray(library[part], dtype=np.float32)).to(device)
            numbers = None if continuous is None else torch.from_numpy(np.float32(continuous[part])).to(device)
            px = module.likelihood(z, size.log().unsqueeze(-1), Covariates(tuple(categories.T), numbers))
            counts.append(sp.csr_matrix(px.sample().cpu().numpy()))
    return sp.vstack(counts, format="csr")


def annotated(
    counts: sp.csr_matrix,
    codes: np.ndarray,
    library: np.ndarray,
    batches: Sequence[str],
    genes: Sequence[str] | np.ndarray,
) -> AnnData:
    """Return generated cells as an AnnData: codes in `.obsm["X_bits"]`, batch and library size in `.obs`.

    Parameters
    ----------
    counts
        `(n_cells, n_genes)`.
    codes
        `(n_cells, n_latent)`.
    library
        `(n_cells,)`.
    batches
        Name of each cell's batch.
    genes
        Their names.
    """
    obs = pd.DataFrame(
        {"batch": pd.Categorical(list(batches)), "library_size": library},
        index=[f"generated_{i}" for i in range(len(codes))],
    )
    generated = AnnData(counts, obs=obs, var=pd.DataFrame(index=list(genes)))
    generated.obsm["X_bits"] = codes
    return generated


def biased(problem: Ising, bias: np.ndarray | None, n_latent: int) -> Ising:
    """Return the problem with `bias` nats added to the field of each latent bit in {0, 1}.

    Parameters
    ----------
    problem
        The prior's.
    bias
        `(n_latent,)` nats, or None.
    n_latent
        Bits, the first spins of the problem.
    """
    return problem if bias is None else with_bit_fields(problem, checked_bias(bias, n_latent))


def checked_clamp(clamp: Mapping[int, int] | None, n_latent: int) -> dict[int, int]:
    """Return bits and the values to which they are clamped; refuse bits and values that do not exist.

    Raises
    ------
    InputError
        For a bit or a value that does not exist.
    """
    clamped = {}
    for bit, value in (clamp or {}).items():
        if not 0 <= int(bit) < n_latent:
            raise InputError(f"clamp names bit {bit}, but the model has bits 0 to {n_latent - 1}")
        if value not in (0, 1):
            raise InputError(f"clamp sets bit {bit} to {value}: bits take 0 or 1")
        clamped[int(bit)] = int(value)
    return clamped


def checked_bias(bias: np.ndarray, n_latent: int) -> np.ndarray:
    """Return fields to add to those of the bits, `(n_latent,)`; refuse others.

    Raises
    ------
    InputError
        For another shape, or values that are not finite.
    """
    bias = np.asarray(bias, dtype=np.float64)
    if bias.shape != (n_latent,) or not np.isfinite(bias).all():
        raise InputError(f"bias must be {n_latent} finite numbers, one a bit, not shape {bias.shape}")
    return bias
