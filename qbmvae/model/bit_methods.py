"""The public methods that say what bits mean: their effects on genes, labels, couplings, and programmes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from qbmvae.core.priors.boltzmann import BernoulliPrior, BoltzmannPrior
from qbmvae.data import audit
from qbmvae.data.label_names import keys_of
from qbmvae.model import bits, bounds, cells, generation
from qbmvae.model.label_methods import LabelMethods
from samplers.errors import InputError

if TYPE_CHECKING:
    import networkx as nx


class BitMethods(LabelMethods):
    """Methods of `QBMVAE` about the meaning of its bits."""

    def bit_effects(self, *, n_cells: int = bits.CELLS, seed: int = 0, spread: bool = False) -> pd.DataFrame:
        """Return how the expected log expression of each gene changes when a bit turns on.

        Each of some training cells is decoded with the bit on and off, its other bits as they are and the covariates
        averaged out; the change of the natural logarithm of the expected frequency is averaged over the cells. Cells are
        drawn from the prior where the model has no data.

        Parameters
        ----------
        n_cells
            How many cells.
        seed
            Which cells.
        spread
            Return the standard deviation over cells instead of the mean: large where a bit's effect depends on the others.

        Returns
        -------
        DataFrame, bits by genes.

        Raises
        ------
        InputError
            For a continuous prior.
        """
        bounds.over_bits(self.module.vae.prior, "bit_effects")
        codes = torch.from_numpy((self._some_codes(n_cells, seed) > 0.5).astype(np.float32))
        found = bits.effects(self.module, codes)[int(spread)]
        return pd.DataFrame(found, index=pd.Index(range(len(found)), name="bit"), columns=self.get_var_names())

    def bit_table(
        self, *, labels: str | Sequence[Any] | None = None, n_cells: int = 5000, threshold: float = 3.0, seed: int = 0
    ) -> pd.DataFrame:
        """Return one row a bit: how often it is on, what it does to genes, which label it tells, its partners.

        Parameters
        ----------
        labels
            Labels of the model's cells: a column of `adata.obs`, or one value a cell; by default those that the model was
            registered with, cells without a label left out.
        n_cells
            Cells for activities and labels, at most.
        threshold
            See `coupling_graph`.
        seed
            Which cells.

        Returns
        -------
        DataFrame by bit: "name" of its programme; "activity", mean probability over cells, and its "spread"; "effect", root
        mean square over genes of `bit_effects`; the genes that rise ("up") and fall ("down") most; with labels, the "label"
        in which its log odds differ most from those in other cells, and by how much ("label_log_odds"); for a pairwise prior
        the "partners" with the largest couplings.

        Raises
        ------
        InputError
            For a continuous prior, or labels that are not there.
        """
        prior = bounds.over_bits(self.module.vae.prior, "bit_table")
        effect = self.bit_effects(seed=seed)
        odds = None
        known = self._labels_of_cells(labels)
        if known is not None:
            rows = self._some_rows(n_cells, seed)
            q = self.get_latent_representation(indices=rows, representation="probabilities")
            odds = bits.log_odds(np.asarray(q), known[rows])
        else:
            q = self._some_codes(n_cells, seed)
        found = self.coupling_graph(threshold=threshold, seed=seed) if isinstance(prior, BoltzmannPrior) else None
        return bits.table(effect, np.asarray(q), found, odds, self._bit_names())

    def coupling_graph(self, *, threshold: float = 3.0, seed: int = 0) -> nx.Graph:
        """Return the prior's couplings that exceed their standard errors as a graph over the bits.

        The errors are those that the number of training cells leaves, see `qbmvae.model.bits.coupling_errors`.

        Parameters
        ----------
        threshold
            Standard errors that a coupling must exceed.
        seed
            Of the draws from the prior that measure the errors.

        Returns
        -------
        networkx.Graph: nodes 0 to n_latent - 1 with "name" and "activity" (the prior's mean), edges with "weight" (the
        coupling, in nats) and "error".

        Raises
        ------
        InputError
            For a prior whose bits are not coupled in pairs.
        """
        prior = bounds.over_bits(self.module.vae.prior, "coupling_graph")
        if not isinstance(prior, BoltzmannPrior | BernoulliPrior):
            raise InputError(
                "coupling_graph shows couplings of pairs of bits; these bits are coupled by hidden units: see prior_problem()"
            )
        states = self.sample_prior(bits.DRAWS, seed=seed)
        errors = None
        if isinstance(prior, BoltzmannPrior):
            n = 0 if self.train_indices_ is None else len(self.train_indices_)
            errors = bits.coupling_errors(prior, states, n or len(self._libraries()[0]))
        return bits.graph(prior, errors, states.mean(0), threshold, self._bit_names())

    def name_programme(self, name: str, values: Mapping[int, int]) -> None:
        """Give a name to bits that belong together: `generate(clamp={name: 1})` then sets them.

        Parameters
        ----------
        name
            The programme's name.
        values
            Bit to the value, 0 or 1, that it has when the programme is on.

        Raises
        ------
        InputError
            For bits or values that do not exist, or none.
        """
        n = bounds.over_bits(self.module.vae.prior, "name_programme").n_latent
        if not values:
            raise InputError(f"programme {name!r} has no bits: give {{bit: 1}}")
        for bit, value in values.items():
            if isinstance(bit, bool) or not isinstance(bit, int | np.integer) or not 0 <= bit < n:
                raise InputError(f"programme {name!r} names bit {bit!r}, but the model has bits 0 to {n - 1}")
            if value not in (0, 1):
                raise InputError(f"programme {name!r} sets bit {bit} to {value!r}: bits take 0 or 1")
        own = {int(bit): int(value) for bit, value in values.items()}
        self.programmes_ = {**(self.programmes_ or {}), str(name): own}

    def score_bits(self, genes: Sequence[str], *, seed: int = 0) -> pd.Series:
        """Return how much more each bit moves these genes than the others: a known programme's bits stand out.

        Parameters
        ----------
        genes
            Genes of the programme; those that the model lacks are left out.
        seed
            Which cells, see `bit_effects`.

        Returns
        -------
        Series by bit: the mean effect on these genes, in root mean squares of the bit's effects on all genes; the largest
        first, negative where the genes rise when the bit turns off.

        Raises
        ------
        InputError
            Where the model has none of the genes, or a continuous prior.
        """
        known = [gene for gene in dict.fromkeys(genes) if gene in set(self.get_var_names())]
        if not known:
            raise InputError(
                f"the model has none of these {len(list(genes))} genes: {', '.join(map(str, list(genes)[:3]))}, ..."
            )
        effect = self.bit_effects(seed=seed)
        size = np.sqrt((effect**2).mean(axis=1)).clip(lower=1e-12)
        score = (effect[known].mean(axis=1) / size).rename("score")
        return score.iloc[np.argsort(-score.abs().to_numpy(), kind="stable")]

    @torch.inference_mode()
    def clamp_cells(
        self, adata: AnnData | None = None, indices: Any = None, *, clamp: Mapping[int | str, int], seed: int = 0
    ) -> AnnData:
        """Return these cells as they would be with some bits set: codes drawn, bits clamped, counts drawn.

        Parameters
        ----------
        adata, indices
            Cells, see `get_latent_representation`.
        clamp
            Bit, or name of a programme, to 0 or 1; the other bits stay as each cell has them. Empty: the cells as the model
            sees them.
        seed
            Of codes and counts.

        Returns
        -------
        AnnData of counts (CSR) by `obs_names`, at each cell's own library size and covariates, bits in `.obsm["X_bits"]`.

        Raises
        ------
        InputError
            For bits or programmes that do not exist, a continuous prior, or minified data.
        """
        n = bounds.over_bits(self.module.vae.prior, "clamp_cells").n_latent
        self._check_if_trained(warn=False)
        wanted = generation.checked_clamp(bits.as_bits(clamp, self.programmes_ or {}), n)
        entered = cells.enter(self, adata)
        rows = cells.rows_of(entered, indices)
        source = cells.source(self, entered, indices)
        parameters = cells.posterior(self, entered, indices)
        codes = (np.random.default_rng(seed).random(parameters.shape) < torch.sigmoid(parameters).numpy()).astype(
            np.int8
        )
        for bit, value in wanted.items():
            codes[:, bit] = value
        chosen = np.arange(entered.n_obs) if rows is None else rows
        covariates = np.stack(source.categories, axis=1)[chosen]
        numbers = None if source.continuous is None else np.asarray(source.continuous)[chosen]
        library = np.asarray(source.library)[chosen]
        counts = generation.decoded(self.module, codes, library, covariates, numbers, seed)
        names = cells.batch_names(self.registry_)
        found = generation.annotated(counts, codes, library, [names[c] for c in covariates[:, 0]], self.get_var_names())
        found.obs_names = entered.obs_names[chosen]
        return found

    # -- the cells of these methods ---------------------------------------------------------------------------------

    def _bit_names(self) -> dict[int, str]:
        """Return the names of the bits that are a programme of their own."""
        return {bit: name for name, own in (self.programmes_ or {}).items() if len(own) == 1 for bit in own}

    def _some_rows(self, n: int, seed: int) -> np.ndarray:
        assert self.adata is not None
        rows = np.arange(self.adata.n_obs) if self.train_indices_ is None else np.asarray(self.train_indices_)
        return np.sort(np.random.default_rng(seed).permutation(rows)[:n])

    def _some_codes(self, n: int, seed: int) -> np.ndarray:
        """Return bit probabilities of training cells, or bits drawn from the prior where there are no cells."""
        if self.adata is None:
            return self.sample_prior(n, seed=seed).astype(np.float32)
        rows = self._some_rows(n, seed)
        return np.asarray(self.get_latent_representation(indices=rows, representation="probabilities"))

    def _labels_of_cells(self, labels: str | Sequence[Any] | None) -> np.ndarray | None:
        setup = self.registry_["setup_args"]
        if self.adata is None:
            if labels is not None:
                raise InputError("this model has no data: labels belong to cells, attach them with adata=")
            return None
        key = next(iter(keys_of(setup["labels_key"])), None)
        if labels is None and (key is None or key not in self.adata.obs):
            return None
        column = key if labels is None else labels
        if isinstance(column, str):
            audit.keys(self.adata, [column], "labels", missing=True)
            values = self.adata.obs[column].astype(object).to_numpy()
        else:
            values = np.asarray(column, dtype=object)
            if len(values) != self.adata.n_obs:
                raise InputError(f"labels holds {len(values)} values, but the model has {self.adata.n_obs} cells")
        unlabelled = setup.get("unlabeled_category")
        return np.asarray([None if v is None or v == unlabelled or v != v else v for v in values], dtype=object)
