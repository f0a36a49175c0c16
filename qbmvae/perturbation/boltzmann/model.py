"""Perturbed cells: QBM-VAE's bits, a conditional machine over them, and the decoder back to counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

import samplers
from qbmvae.perturbation import audit
from qbmvae.perturbation.boltzmann import gibbs
from qbmvae.perturbation.boltzmann.conditions import Conditions
from qbmvae.perturbation.boltzmann.counts import count_matrix
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine
from qbmvae.perturbation.boltzmann.options import HOWS, KIND, BoltzmannOptions
from qbmvae.perturbation.features import Features
from samplers.checks import number, one_of
from samplers.errors import InputError
from samplers.files import write_bytes, write_json

if TYPE_CHECKING:
    from anndata import AnnData

VAE, WEIGHTS, HEADER = "vae.safetensors", "model.safetensors", "model.json"
# independent draws: a population cooled from beta 0
SAMPLER = "population-annealing?num_sweeps=64"


@dataclass
class BoltzmannPerturbation:
    """A trained predictor of perturbed cells; make one with `fit` or `load`.

    Attributes
    ----------
    vae
        A `QBMVAE`.
    machine, conditions
        The conditional prior, and its features.
    genes, pert_key, control, target_sum
        Of the training data; `target_sum` is the median total to which the scores normalise.
    """

    vae: Any
    machine: ConditionalMachine
    conditions: Conditions
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
        m = self.machine
        pairs = m.n * (m.n - 1) // 2
        own = sum(
            p.numel() for name, p in self.vae.module.named_parameters() if p.requires_grad and "prior" not in name
        )
        return own + m.n + pairs + m.left.size + m.right.size

    def counts(self, adata: AnnData, which: str = "data") -> AnnData:
        """Return the cells' counts with the model's genes, matched by name."""
        return count_matrix(audit.of_genes(adata, self.genes, which), which)

    def expression(self, adata: AnnData, which: str = "data") -> tuple[AnnData, sp.csr_matrix | np.ndarray]:
        """Return the cells with the model's genes, and their log1p-normalised expression."""
        adata = audit.of_genes(adata, self.genes, which)
        return adata, audit.log_normalised(adata, which, target_sum=self.target_sum)

    def encode(self, adata: AnnData, which: str = "data") -> np.ndarray:
        """Return the bit probabilities of cells, `(n_cells, n_latent)`."""
        return self.vae.get_latent_representation(self.counts(adata, which), representation="probabilities")

    def bits(
        self,
        labels: Sequence[str],
        n_cells: Sequence[int],
        controls: np.ndarray,
        rng: np.random.Generator,
        *,
        how: str,
        dose: float = 1.0,
        clamp: Mapping[int, int] | None = None,
    ) -> np.ndarray:
        """Return bits of perturbed cells, `(sum(n_cells), n_latent)` uint8.

        Parameters
        ----------
        labels, n_cells
            Perturbations and cells of each.
        controls
            Bit probabilities of the control cell that each perturbed cell starts from (transport only),
            `(sum(n_cells), n_latent)`.
        rng
            The generator.
        how
            "generate" or "transport".
        dose
            Factor on the shift of the fields: 0 gives control cells, 1 the perturbation.
        clamp
            Bit to 0 or 1.
        """
        shifted = self.machine.fields(self.conditions.rows(labels), dose)
        owner = np.repeat(np.arange(len(labels)), n_cells)
        from qbmvae.model.generation import checked_clamp

        clamp = checked_clamp(clamp, self.machine.n)
        if how == "transport":
            z = (rng.random(controls.shape) < controls).astype(np.uint8)
            gibbs.transport(
                z, self.machine.bias, shifted, owner, self.machine.couplings, self.options.transport_sweeps, rng
            )
            if clamp:
                fixed = np.zeros(self.machine.n, bool)
                for bit, value in clamp.items():
                    z[:, bit], fixed[bit] = value, True
                gibbs.sweep(z, shifted, owner, self.machine.couplings, self.options.transport_sweeps, rng, fixed)
            return z
        sampler, out = samplers.get(SAMPLER), []
        clamped = {bit: 2 * value - 1 for bit, value in clamp.items()} or None
        for row, n in zip(shifted, n_cells, strict=True):
            draws = sampler.draw(self.machine.problem(row), int(n), 1.0, clamped=clamped, seed=rng)
            out.append((rng.permutation(draws.resample(int(n), seed=rng).states) + 1) // 2)
        return np.concatenate(out).astype(np.uint8)

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
    ) -> AnnData:
        """Predict perturbed cells.

        Parameters
        ----------
        n_cells
            Cells to make of each perturbation; a combination's label joins its parts.
        controls
            Control cells of counts: the depth of a predicted cell is that of a control cell, and transport starts from
            its bits. They are copied into the answer, at most `n_control` of them.
        seed
            Of everything drawn.
        how
            "generate" or "transport"; the model's option by default.
        dose
            Factor on the shift of the fields: between 0 and 1 interpolates, above 1 extrapolates.
        clamp
            Bit to 0 or 1: the others follow.
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
        import pandas as pd

        how = how or self.options.how
        one_of("how", how, HOWS)
        number("dose", dose)
        rng, labels = np.random.default_rng(seed), list(n_cells)
        cells = self.counts(controls, "controls")
        totals = np.asarray(cells.X.sum(1)).ravel()
        usable = np.flatnonzero(totals > 0)
        if not len(usable):
            raise InputError("controls: no cell holds a count")
        sizes = [int(n_cells[name]) for name in labels]
        rows = usable[_spread(len(usable), sum(sizes), rng)]
        q = self.encode(cells, "controls")[rows] if how == "transport" else np.zeros((len(rows), self.machine.n))
        bits = self.bits(labels, sizes, q, rng, how=how, dose=dose, clamp=clamp)
        counts = self.decode(bits, totals[rows], int(rng.integers(2**31)))
        kept = np.arange(cells.n_obs)
        if n_control is not None and n_control < len(kept):
            kept = np.sort(rng.choice(kept, n_control, replace=False))
        names = [name for name, n in zip(labels, sizes, strict=True) for _ in range(n)] + [self.control] * len(kept)
        obs = pd.DataFrame({self.pert_key: pd.Categorical(names)}, index=[f"predicted-{i}" for i in range(len(names))])
        out = ad.AnnData(sp.vstack([counts, cells.X[kept]], format="csr"), obs=obs, var=pd.DataFrame(index=self.genes))
        out.obsm["X_bits"] = np.vstack([bits, np.zeros((len(kept), bits.shape[1]), np.uint8)])
        return out

    def decode(self, bits: np.ndarray, totals: np.ndarray, seed: int) -> sp.csr_matrix:
        """Return counts drawn for cells of these bits and total counts.

        Parameters
        ----------
        bits
            `(n_cells, n_latent)`.
        totals
            Total counts, `(n_cells,)`.
        seed
            Of the counts.
        """
        from qbmvae.model.generation import decoded

        return decoded(self.vae.module, bits, totals, np.zeros((len(bits), 1), np.int64), None, seed)

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
        arrays = {name: np.ascontiguousarray(getattr(self.machine, name)) for name in ARRAYS}
        arrays |= {"mean": self.conditions.mean, "basis": np.ascontiguousarray(self.conditions.basis)}
        arrays["features"] = np.ascontiguousarray(self.features.values)
        write_bytes(directory / WEIGHTS, save(arrays))
        table = self.features
        header = {
            "format": 1,
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
        table = header["features"]
        features = Features(tuple(table["names"]), arrays["features"], table["kind"], table["separator"])
        conditions = Conditions(features, header["control"], arrays["mean"], arrays["basis"])
        return cls(
            QBMVAE.from_export(directory / VAE),
            ConditionalMachine(**{name: arrays[name] for name in ARRAYS}),
            conditions,
            options=BoltzmannOptions.from_dict(header["options"]),
            **{k: header[k] for k in KEPT},
        )


KEPT = ("genes", "pert_key", "control", "target_sum", "seed", "history", "notes")
ARRAYS = tuple(f.name for f in fields(ConditionalMachine))


def _spread(n: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Return `wanted` positions among n, each as often as any other, in random order."""
    rounds = [rng.permutation(n) for _ in range(-(-wanted // n))] or [np.zeros(0, np.int64)]
    return np.concatenate(rounds)[:wanted]
