"""The public methods that say something of the prior: its log Z, draws from it, synthetic cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

import samplers
from qbmvae.core.priors.log_partition import log_partition
from qbmvae.model import bounds, cells, generation, label_draws, library_sizes, refit
from qbmvae.model import labels as label_units
from qbmvae.model.bits import as_bits
from qbmvae.model.cell_methods import CellMethods
from samplers.problem import Ising


class PriorMethods(CellMethods):
    """Methods of `QBMVAE` about its prior and about cells generated from it."""

    #: what the last fit of the prior alone did, see `refine_prior`
    refinement_: dict[str, float] | None = None
    #: programmes by name: the values of their bits, see `name_programme`
    programmes_: dict[str, dict[int, int]] | None = None
    #: coordinates and label codes of labelled training cells
    label_reference_: tuple[np.ndarray, np.ndarray] | None = None
    #: library sizes, covariate codes, continuous covariates and labels of training cells
    label_libraries_: tuple[np.ndarray, ...] | None = None
    #: of the model of a query: its label units are its reference's
    keeps_labels_: bool = False
    #: library sizes, covariate codes and continuous covariates of training cells, once they have been asked for
    library_table_: tuple[Any, ...] | None = None

    def get_log_partition(self, fresh: bool = False, seed: int = 0) -> tuple[float, float]:
        """Return log Z of the prior over the bits and its standard error, in nats.

        Parameters
        ----------
        fresh
            Estimate it anew instead of returning the value measured at the end of training.
        seed
            Of a fresh estimate.
        """
        prior = bounds.over_bits(self.module.vae.prior, "get_log_partition")
        if fresh or not self.is_trained_:
            return log_partition(prior, seed)
        return float(self.module.log_partition), float(self.module.log_partition_error)

    def refine_prior(
        self,
        *,
        seed: int = 0,
        sampler: Any = None,
        steps: int = 1500,
        learning_rate: float = 0.05,
        num_chains: int = 1024,
    ) -> dict[str, float]:
        """Fit the prior alone to the codes of the training cells, by maximum likelihood; encoder and decoder stay.

        Training leaves the prior short of its optimum, for its rate is that of a network. The KL of the held-out cells
        decides which step is kept, and the prior that was there stays where none is better. log Z is measured anew.
        `train` ends with it by default.

        Parameters
        ----------
        seed
            Of chains, draws of codes and log Z.
        sampler
            Of the negative phase; the model's own by default. "persistent" takes seconds, one that starts from nothing
            at each step minutes.
        steps, learning_rate
            Of Adam; the rate falls to 0 over the second half.
        num_chains
            Reads a step.

        Returns
        -------
        In nats a cell, of the held-out cells: "kl_before" and "kl_after" with "kl_before_error" and "kl_after_error",
        "improvement" paired by cells with "improvement_error"; and the "step" that is kept. Standard errors count the
        cells and log Z.

        Raises
        ------
        InputError
            For a model without data, or one of fewer than two training cells.
        """
        self._check_if_trained(warn=False)
        options = {"steps": steps, "learning_rate": learning_rate, "num_chains": num_chains}
        self.refinement_ = refit.refine(self, samplers.get(sampler or self.sampler), seed, **options)
        return dict(self.refinement_)

    def prior_problem(self, labels: bool | None = None) -> Ising:
        """Return the trained prior as a `samplers.Ising` at beta 1.

        Parameters
        ----------
        labels
            Whether label units are spins too, after the bits (and hidden units): those of a trained model with labels are by
            default. Such a spin is named by its label ("labels_key=label" of two columns; three are no pairwise problem), +1
            means that the cell has it; a penalty keeps the labels one-hot, so sample with labels clamped. Its log Z is 0 up to the errors of `get_label_log_partition`; that of the bits alone
            is `get_log_partition`'s.

        Raises
        ------
        InputError
            For a continuous prior, or labels of a model that has none.
        """
        prior = bounds.over_bits(self.module.vae.prior, "prior_problem")
        if labels is None:
            labels = self.module.labels is not None and self.is_trained_
        if not labels:
            return prior.problem()
        known = cells.label_units(self.registry_)
        names = [name if len(known) == 1 else f"{key}={name}" for key, every in known.items() for name in every]
        return label_units.units_of(self).machine.joint_problem(names)

    def sample_prior(
        self,
        n: int = 1000,
        *,
        seed: int | np.random.Generator | None = None,
        sampler: Any = None,
        clamp: Mapping[int | str, int] | None = None,
        bias: np.ndarray | None = None,
        label: str | Mapping[str, str] | None = None,
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
            Bit, or name of a programme, to 0 or 1: the rest is drawn given these.
        bias
            `(n_latent,)` added to the prior's fields, in nats.
        label
            Draw the codes of cells of this label, from the machine with label units; of several columns of labels a mapping
            of columns to labels, those that it leaves out are summed out.

        Returns
        -------
        `(n, n_latent)` int8 in {0, 1}; float32 for a continuous prior.

        Raises
        ------
        InputError
            For a clamp or bias that does not fit the bits, or an unknown programme or label.
        """
        rng = np.random.default_rng(seed)
        return self._codes(label_draws.drawn(self, label, n, rng), rng, sampler, clamp, bias)

    def _codes(
        self, asked: label_draws.Asked, rng: np.random.Generator, sampler: Any, clamp: Any, bias: Any
    ) -> np.ndarray:
        """Return codes of cells with these combinations of labels, `(n, n_latent)`; parameters as in `sample_prior`."""
        bits, parts = as_bits(clamp, self.programmes_ or {}), []
        for combination, rows in asked:
            prior, fields = self.module.vae.prior, bias
            if combination is not None:
                prior, fields = label_draws.given(self, combination)
                fields = fields if bias is None else fields + generation.checked_bias(bias, len(fields))
            parts.append(generation.prior_codes(prior, len(rows), rng, sampler, bits, fields))
        return np.concatenate(parts)[label_draws.order(asked)]

    def generate(
        self,
        n_cells: int = 1000,
        *,
        label: str | Mapping[str, str] | None = None,
        batch: str | None = None,
        seed: int | np.random.Generator | None = None,
        clamp: Mapping[int | str, int] | None = None,
        bias: np.ndarray | None = None,
        library_size: float | np.ndarray | None = None,
        sampler: Any = None,
    ) -> AnnData:
        """Generate cells: bits of the prior, decoded into counts.

        Parameters
        ----------
        n_cells
            How many.
        label
            Label of the cells, of a model with label units: bits are drawn with its unit clamped; a mapping where there are
            several columns, see `sample_prior`. None: of the prior.
        batch
            Category of the batch to generate; by default that of the training cell that gives the library size.
        seed
            Seed or generator.
        clamp, bias, sampler
            Of the bits, see `sample_prior`.
        library_size
            Total counts of each cell; by default those of a training cell of the same batch, and label, drawn in proportion to
            the density of its posterior at the bits: depth, batch and bits go together as in the data.

        Returns
        -------
        AnnData of counts (CSR), with the bits in `.obsm["X_bits"]`; batch, library size, and the label in `.obs`: under
        "label", or under each labels_key where a mapping asked for it.

        Raises
        ------
        InputError
            For an unknown batch, label or programme, a clamp or bias that does not fit the bits, or library sizes that are not positive.
        """
        self._check_if_trained(warn=False)
        rng, names = np.random.default_rng(seed), cells.batch_names(self.registry_)
        asked = label_draws.drawn(self, label, n_cells, rng)
        codes, order = self._codes(asked, rng, sampler, clamp, bias), label_draws.order(asked)
        like = [
            library_sizes.training_like(
                label_draws.libraries(self, combination, batch) or self._libraries(), names, codes[rows], batch, rng
            )
            for combination, rows in asked
        ]
        library, categories = (np.concatenate([part[k] for part in like])[order] for k in (0, 1))
        found = [part[2] for part in like if part[2] is not None]
        numbers = np.concatenate(found)[order] if found else None
        if library_size is not None:
            library = generation.checked_sizes(library_size, n_cells)
        counts = generation.decoded(self.module, codes, library, categories, numbers, int(rng.integers(2**31)))
        batches = [names[c] for c in categories[:, 0]]
        generated = generation.annotated(counts, codes, library, batches, self.get_var_names())
        if isinstance(label, Mapping):
            for key, own in label_draws.names_of(self, asked).items():
                generated.obs[key] = pd.Categorical(own)
        elif label is not None:
            generated.obs["label"] = pd.Categorical([str(label)] * n_cells)
        return generated

    def _libraries(self) -> library_sizes.Libraries:
        """Return library sizes, covariates and posteriors of some training cells, read once a training."""
        if self.library_table_ is None:
            self.library_table_ = library_sizes.libraries(self, self.train_indices_)
        # models saved before their continuous covariates and posteriors were kept have none
        sizes, codes, numbers, posteriors = (*self.library_table_, None, None)[:4]
        n = cells.sizes(self)["n_continuous"]
        if numbers is None and n:
            numbers = np.zeros((len(sizes), n), dtype=np.float32)
        return np.asarray(sizes), np.asarray(codes), numbers, posteriors
