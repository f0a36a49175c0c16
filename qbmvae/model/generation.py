"""What the prior makes: bits and synthetic cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS

import samplers
from qbmvae.core.networks import Covariates
from qbmvae.core.priors.base import DiscretePrior
from qbmvae.model.bounds import seeded
from qbmvae.model.host import Host
from samplers.errors import InputError, nearest
from samplers.problem import Ising

#: Draws of independent prior bits: a population cooled from beta 0, then resampled.
SAMPLER = "population-annealing?num_sweeps=128"


class GenerationMixin(Host):
    """Generation by `QBMVAE`."""

    def prior_problem(self) -> Ising:
        """Return the trained prior as a `samplers.Ising` at beta 1; its log Z is that of the prior over bits."""
        return self._boltzmann("prior_problem").problem()

    def sample_prior(
        self,
        n: int = 1000,
        *,
        seed: int | np.random.Generator | None = None,
        sampler: Any = None,
        clamp: Mapping[int, int] | None = None,
        bias: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw codes of the prior.

        Parameters
        ----------
        n
            How many.
        seed
            Seed or generator.
        sampler
            Which sampler draws them; population annealing by default. The training chains are never reused.
        clamp
            Bit to 0 or 1: the rest is drawn given these.
        bias
            `(n_latent,)` added to the prior's fields, in nats.

        Returns
        -------
        `(n, n_latent)` uint8 in {0, 1}; float32 for a continuous prior.
        """
        if n < 1:
            raise InputError(f"n must be at least 1, not {n}")
        prior = self.module.vae.prior
        rng = np.random.default_rng(seed)
        if not isinstance(prior, DiscretePrior):
            if clamp or bias is not None:
                raise InputError("clamp and bias need a prior over bits; this model's prior is continuous")
            with torch.no_grad(), seeded(int(rng.integers(2**31))):
                return prior.cpu().sample(n).numpy()
        problem = biased(prior.problem(), bias, prior.n_latent)
        clamped = {}
        for bit, value in (clamp or {}).items():
            if not 0 <= int(bit) < prior.n_latent:
                raise InputError(f"clamp names bit {bit}, but the model has bits 0 to {prior.n_latent - 1}")
            if value not in (0, 1):
                raise InputError(f"clamp sets bit {bit} to {value}: bits take 0 or 1")
            clamped[int(bit)] = 2 * int(value) - 1
        draws = samplers.get(sampler or SAMPLER).draw(problem, n, 1.0, clamped=clamped or None, seed=rng)
        # resampling leaves copies side by side
        states = rng.permutation(draws.resample(n, seed=rng).states)
        return ((states[:, : prior.n_latent] + 1) // 2).astype(np.uint8)

    @torch.inference_mode()
    def generate(
        self,
        n_cells: int = 1000,
        *,
        batch: str | None = None,
        seed: int | np.random.Generator | None = None,
        clamp: Mapping[int, int] | None = None,
        bias: np.ndarray | None = None,
        library_size: float | np.ndarray | None = None,
        sampler: Any = None,
    ) -> AnnData:
        """Generate cells: bits of the prior, decoded into counts.

        Parameters
        ----------
        n_cells
            How many.
        batch
            Category of the batch to generate; drawn in the proportions of the training data by default.
        seed
            Seed or generator.
        clamp, bias, sampler
            Of the bits, see `sample_prior`.
        library_size
            Total counts of each cell; drawn from the training cells of the same batch by default.

        Returns
        -------
        AnnData of counts (CSR), with the bits in `.obsm["X_bits"]`, and batch and library size in `.obs`.
        """
        self._check_if_trained(warn=False)
        rng = np.random.default_rng(seed)
        bits = self.sample_prior(n_cells, seed=rng, clamp=clamp, bias=bias, sampler=sampler)
        library_table, codes_table, names = self._library_table()
        if batch is None:
            rows = rng.integers(len(library_table), size=n_cells)
        else:
            known = [str(name) for name in names]
            if str(batch) not in known:
                raise InputError(f"the model knows no batch {batch!r}{nearest(batch, known)}")
            pool = np.flatnonzero(codes_table[:, 0] == known.index(str(batch)))
            if not len(pool):
                raise InputError(f"no training cell belongs to batch {batch!r}: give library_size= and another batch")
            rows = rng.choice(pool, size=n_cells)
        library = library_table[rows] if library_size is None else np.broadcast_to(library_size, n_cells)
        if not (np.isfinite(library).all() and (library > 0).all()):
            raise InputError("library_size must be finite and positive")
        counts = []
        device = self.device
        self.module.eval()
        with seeded(int(rng.integers(2**31))):
            for part in np.array_split(np.arange(n_cells), max(1, n_cells // 1024)):
                codes = torch.from_numpy(codes_table[rows[part]].astype(np.int64)).to(device)
                z = torch.from_numpy(bits[part].astype(np.float32)).to(device)
                size = torch.from_numpy(np.asarray(library[part], dtype=np.float32)).to(device)
                px = self.module.likelihood(z, size.log().unsqueeze(-1), Covariates(tuple(codes.T)))
                counts.append(sp.csr_matrix(px.sample().cpu().numpy()))
        obs = pd.DataFrame(
            {
                "batch": pd.Categorical([str(names[c]) for c in codes_table[rows, 0]]),
                "library_size": np.asarray(library),
            },
            index=[f"generated_{i}" for i in range(n_cells)],
        )
        generated = AnnData(sp.vstack(counts, format="csr"), obs=obs, var=pd.DataFrame(index=self.get_var_names()))
        generated.obsm["X_bits"] = bits
        return generated

    def _library_table(self) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Return library sizes and covariate codes of the training cells, and the names of the batches."""
        names = list(
            self.registry_["field_registries"][REGISTRY_KEYS.BATCH_KEY]["state_registry"]["categorical_mapping"]
        )
        if self.library_table_ is None:
            source = self._source()
            rows = source.rows if self.train_indices_ is None else self.train_indices_
            # a few thousand cells describe the sizes: an export carries them
            rows = np.random.default_rng(0).permutation(rows)[:5000]
            codes = np.stack([c[rows] for c in source.categories], axis=1)
            self.library_table_ = (np.asarray(source.library)[rows], codes)
        library, codes = self.library_table_
        return np.asarray(library), np.asarray(codes), names


def biased(problem: Ising, bias: np.ndarray | None, n_latent: int) -> Ising:
    """Return the problem with `bias` nats added to the field of each latent bit in {0, 1}."""
    if bias is None:
        return problem
    bias = np.asarray(bias, dtype=np.float64)
    if bias.shape != (n_latent,) or not np.isfinite(bias).all():
        raise InputError(f"bias must be {n_latent} finite numbers, one a bit, not shape {bias.shape}")
    shift = np.zeros(problem.n)
    shift[:n_latent] = -bias / 2
    if problem.layout == "bipartite":
        h = problem.h + shift
        nv = problem.n_visible
        return Ising.bipartite(h[:nv], h[nv:], problem.block, offset=problem.offset - bias.sum() / 2)
    return Ising(problem.h + shift, problem.J, offset=problem.offset - bias.sum() / 2)
