"""Perturbed cells: QBM-VAE's bits, a conditional machine over them, and the decoder back to counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.perturbation import audit
from qbmvae.perturbation.boltzmann.codes import Wanted, machine_codes
from qbmvae.perturbation.boltzmann.conditions import Conditions
from qbmvae.perturbation.boltzmann.counts import count_matrix, normalised
from qbmvae.perturbation.boltzmann.gaussian import ConditionalGaussian
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine
from qbmvae.perturbation.boltzmann.mean_shift import MeanShift
from qbmvae.perturbation.boltzmann.mixture import mixed
from qbmvae.perturbation.boltzmann.options import HOWS, KIND, MEANS, BoltzmannOptions
from qbmvae.perturbation.boltzmann.source import Source, encoded, spread
from qbmvae.perturbation.features import Features
from samplers.checks import number, one_of
from samplers.errors import InputError
from samplers.files import write_bytes, write_json

if TYPE_CHECKING:
    from anndata import AnnData

VAE, WEIGHTS, HEADER = "vae.safetensors", "model.safetensors", "model.json"


@dataclass
class BoltzmannPerturbation:
    """A trained predictor of perturbed cells; make one with `fit` or `load`.

    Attributes
    ----------
    vae
        A `QBMVAE`.
    machine, conditions
        The conditional prior, and its features.
    shift
        Mean shift of expression that the features predict.
    genes, pert_key, control, target_sum
        Of the training data; `target_sum` is the median total to which the scores normalise.
    """

    vae: Any
    machine: ConditionalMachine | ConditionalGaussian
    conditions: Conditions
    shift: MeanShift
    genes: list[str]
    pert_key: str
    control: str
    target_sum: float
    options: BoltzmannOptions
    seed: int
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> Features:
        """The table of vectors of single perturbations."""
        return self.conditions.table

    def use_features(self, table: Features) -> None:
        """Take the vectors of perturbations from another table of the same width.

        Raises
        ------
        InputError
            For vectors of another width.
        """
        if table.width != self.features.width:
            raise InputError(f"features have {table.width} columns, those of training {self.features.width}")
        self.conditions = replace(self.conditions, table=table)

    @property
    def n_trainable(self) -> int:
        """Trainable weights of the VAE's networks and of the conditional machine."""
        weights = self.vae.module.named_parameters()
        own = sum(p.numel() for name, p in weights if p.requires_grad and "prior" not in name)
        return own + self.machine.n_parameters

    def counts(self, adata: AnnData, which: str = "data") -> AnnData:
        """Return the cells' counts with the model's genes, matched by name."""
        return count_matrix(audit.of_genes(adata, self.genes, which), which)

    def expression(self, adata: AnnData, which: str = "data") -> tuple[AnnData, sp.csr_matrix | np.ndarray]:
        """Return the cells with the model's genes, and their log1p-normalised expression."""
        adata = audit.of_genes(adata, self.genes, which)
        return adata, audit.log_normalised(adata, which, target_sum=self.target_sum)

    def encode(self, adata: AnnData, which: str = "data") -> np.ndarray:
        """Return the bit probabilities of cells, or their means in a Gaussian latent, `(n_cells, n_latent)`."""
        return encoded(self.vae, self.counts(adata, which), self.options)

    def _drawn(self, q: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return q if self.options.latent == "gaussian" else (rng.random(q.shape) < q).astype(np.uint8)

    def codes(self, labels: Sequence[str], wanted: Wanted, rng: np.random.Generator) -> np.ndarray:
        """Return codes of perturbed cells, `(sum(n_cells), n_latent)`: bits (uint8), or the Gaussian twin's values.

        Parameters
        ----------
        labels
            Perturbations.
        wanted
            What is asked for.
        rng
            The generator.

        Raises
        ------
        InputError
            A perturbation without features, a bit that there is not.
        """
        rows = self.conditions.rows(labels)
        if not isinstance(self.machine, ConditionalGaussian):
            return machine_codes(self.machine, rows, wanted, rng, self.options.transport_sweeps)
        if wanted.clamp:
            raise InputError("clamp holds bits: a Gaussian latent has none")
        return self.machine.codes(rows, wanted, rng)

    def predict(
        self,
        n_cells: Mapping[str, int],
        controls: AnnData,
        *,
        n_control: int | None = None,
        seed: int = 0,
        how: str | None = None,
        dose: float = 1.0,
        clamp: Mapping[int, int] | None = None,
        mean: str | None = None,
    ) -> AnnData:
        """Predict perturbed cells.

        Parameters
        ----------
        n_cells
            Cells to make of each perturbation; a combination's label joins its parts.
        controls
            Control cells of counts: the depth of a predicted cell is that of a control cell, and transport starts from
            its bits and counts. They are copied into the answer, at most `n_control` of them.
        seed
            Of everything drawn.
        how
            "generate", "transport", "shift" or "mixture", see `BoltzmannOptions`; the model's option by default.
        dose
            Factor on the shift of the fields and of the mean: between 0 and 1 interpolates, above 1 extrapolates.
        clamp
            Bit to 0 or 1: the others follow.
        mean
            "ridge": rates are multiplied, gene by gene, so that the cells' mean expression is that of the controls plus
            the shift that ridge regression on the features predicts. "decoder": the decoder's mean stays. By default the
            model's option, else "decoder" for generate and "ridge" for the others.
        n_control
            Control cells in the answer; all by default.

        Returns
        -------
        AnnData
            Counts, CSR float32, with obs[pert_key], controls last; obsm["X_bits"] holds the bits of predicted cells.

        Raises
        ------
        InputError
            A perturbation without features, controls without counts, an unknown `how`, a dose that is no number, or a
            bit that there is not.
        """
        import anndata as ad

        how = one_of("how", how or self.options.how or "", HOWS)
        mean = mean or self.options.mean
        number("dose", dose)
        if how == "mixture":
            if self.options.shares is None:
                raise InputError(
                    "this model has no shares for a mixture: fit it with a context column, or with options.shares"
                )
            shares = self.options.shares
            return mixed(self.predict, n_cells, controls, shares, n_control, seed, dose=dose, clamp=clamp, mean=mean)
        mean = one_of("mean", mean or ("decoder" if how == "generate" else "ridge"), MEANS)
        rng, labels = np.random.default_rng(seed), list(n_cells)
        cells = self.counts(controls, "controls")
        totals = np.asarray(cells.X.sum(1)).ravel()
        usable = np.flatnonzero(totals > 0)
        if not len(usable):
            raise InputError("controls: no cell holds a count")
        sizes = [int(n_cells[name]) for name in labels]
        rows = usable[spread(len(usable), sum(sizes), rng)]
        start, is_moved = np.zeros((len(rows), self.machine.n), np.uint8), how != "generate"
        if is_moved:
            start = self._drawn(self.encode(cells, "controls")[rows], rng)
        # a shift leaves the bits as transport at dose 0 does
        wanted = Wanted(sizes, "transport" if is_moved else how, start, 0.0 if how == "shift" else dose)
        free = self.codes(labels, wanted, rng)
        bits = self.codes(labels, replace(wanted, clamp=clamp), rng) if clamp else free
        shifts = dose * self.shift(self.conditions.rows(labels))
        source = Source(self.vae, self.genes, self.target_sum, cells.X, totals)
        base = source.normalised(usable).mean(0)
        blocks = []
        for shift, part in zip(shifts, np.split(np.arange(len(rows)), np.cumsum(sizes)[:-1]), strict=True):
            own = start[part] if is_moved else None
            # a dose of 0 leaves transported cells as they are
            is_still = mean == "decoder" or (own is not None and not shift.any() and (free[part] == own).all())
            target = None if is_still else base + shift
            blocks.append(source.cells(rows[part], own, free[part], bits[part], target, int(rng.integers(2**31))))
        counts = sp.vstack(blocks, format="csr")
        kept = np.arange(cells.n_obs)
        if n_control is not None and n_control < len(kept):
            kept = np.sort(rng.choice(kept, n_control, replace=False))
        names = [name for name, n in zip(labels, sizes, strict=True) for _ in range(n)] + [self.control] * len(kept)
        obs = pd.DataFrame({self.pert_key: pd.Categorical(names)}, index=[f"predicted-{i}" for i in range(len(names))])
        out = ad.AnnData(sp.vstack([counts, cells.X[kept]], format="csr"), obs=obs, var=pd.DataFrame(index=self.genes))
        key = "X_bits" if self.options.latent == "bits" else "X_latent"
        out.obsm[key] = np.vstack([bits, np.zeros((len(kept), bits.shape[1]), bits.dtype)])
        return out

    def log1p(self, adata: AnnData) -> np.ndarray:
        """Return the normalised expression of cells with the model's genes, dense."""
        return normalised(self.counts(adata).X, self.target_sum)

    def predict_delta(
        self, labels: Sequence[str], controls: AnnData, *, n_cells: int = 200, seed: int = 0
    ) -> np.ndarray:
        """Return the mean shift of log1p-normalised expression, (n_labels, n_genes): generated less generated controls.

        Parameters
        ----------
        labels
            Perturbations.
        controls
            Control cells of counts.
        n_cells
            Cells generated of each.
        seed
            Of the draws.
        """
        wanted = {self.control: n_cells, **dict.fromkeys(labels, n_cells)}
        predicted = self.predict(wanted, controls, n_control=0, seed=seed)
        _, x = self.expression(predicted, "predicted")
        means = np.asarray(x if isinstance(x, np.ndarray) else x.toarray())
        means = means.reshape(len(wanted), n_cells, -1).mean(1)
        order = {name: i for i, name in enumerate(wanted)}
        return np.stack([means[order[name]] - means[0] for name in labels]).astype(np.float32)

    def save(self, directory: str | Path) -> None:
        """Write vae.safetensors, model.safetensors and model.json, without pickle, each atomically."""
        from safetensors.numpy import save

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.vae.export(directory / VAE)
        arrays = {f.name: np.ascontiguousarray(getattr(self.machine, f.name)) for f in fields(self.machine)}
        arrays |= {f"shift.{name}": np.ascontiguousarray(a) for name, a in self.shift._asdict().items()}
        arrays |= {"mean": self.conditions.mean, "basis": np.ascontiguousarray(self.conditions.basis)}
        arrays["features"] = np.ascontiguousarray(self.features.values)
        write_bytes(directory / WEIGHTS, save(arrays))
        table = self.features
        header = {
            "format": 2,
            "kind": KIND,
            **{k: getattr(self, k) for k in KEPT},
            "options": self.options.to_dict(),
            "features": {"names": list(table.names), "kind": table.kind, "separator": table.separator},
        }
        write_json(directory / HEADER, header)

    @classmethod
    def load(cls, directory: str | Path) -> BoltzmannPerturbation:
        """Load what `save` wrote.

        Raises
        ------
        InputError
            Where the folder holds none.
        """
        from safetensors.numpy import load_file

        from qbmvae import QBMVAE

        directory = Path(directory)
        for name in (HEADER, WEIGHTS, VAE):
            if not (directory / name).is_file():
                raise InputError(f"no conditional machine in {directory}: {name} is missing")
        header, arrays = json.loads((directory / HEADER).read_text()), load_file(directory / WEIGHTS)
        if header.get("format") != 2:
            raise InputError(f"{directory} holds a conditional machine of an earlier version: train it again")
        table = header["features"]
        features = Features(tuple(table["names"]), arrays["features"], table["kind"], table["separator"])
        conditions = Conditions(features, header["control"], arrays["mean"], arrays["basis"])
        options = BoltzmannOptions.from_dict(header["options"])
        latent = LATENTS[options.latent]
        return cls(
            QBMVAE.from_export(directory / VAE),
            latent(**{f.name: arrays[f.name] for f in fields(latent)}),
            conditions,
            MeanShift(**{name: arrays[f"shift.{name}"] for name in MeanShift._fields}),
            options=options,
            **{k: header[k] for k in KEPT},
        )


KEPT = ("genes", "pert_key", "control", "target_sum", "seed", "history", "notes")
LATENTS = {"bits": ConditionalMachine, "gaussian": ConditionalGaussian}
