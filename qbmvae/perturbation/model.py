"""The delta predictor on a user's Perturb-seq data: fit, predict deltas and cells, save, load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from qbmvae import archive
from qbmvae.perturbation import audit
from qbmvae.perturbation.backbones import Backbone, build
from qbmvae.perturbation.backbones.local import LocalBackbone
from qbmvae.perturbation.cells import make_cells
from qbmvae.perturbation.delta import DeltaPredictor
from qbmvae.perturbation.features import Features
from qbmvae.perturbation.options import Options
from samplers.errors import InputError
from samplers.files import write_text

if TYPE_CHECKING:
    from anndata import AnnData

#: Kind of the archive.
KIND = "qbmvae-perturbation"
# control cells in a set
SET_SIZE = 64


@dataclass
class PerturbationModel:
    """A trained predictor; make one with `fitting.fit` or `load`."""

    predictor: DeltaPredictor
    backbone: Backbone
    features: Features
    genes: list[str]
    pert_key: str
    control: str
    target_sum: float | None
    options: Options
    seed: int
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def n_trainable(self) -> int:
        """Trainable weights of the predictor."""
        return sum(p.numel() for p in self.predictor.parameters() if p.requires_grad)

    def use_features(self, table: Features) -> None:
        """Take the vectors of perturbations from another table of the same width.

        Raises
        ------
        InputError
            For vectors of another width.
        """
        if table.width != self.features.width:
            raise InputError(f"features have {table.width} columns, those of training {self.features.width}")
        self.features = table

    def expression(self, adata: AnnData, which: str = "data") -> tuple[AnnData, sp.csr_matrix | np.ndarray]:
        """Return the cells with the model's genes, and their log1p-normalised expression."""
        adata = audit.of_genes(adata, self.genes, which)
        return adata, audit.log_normalised(adata, which, target_sum=self.target_sum)

    @torch.no_grad()
    def predict_delta(self, labels: Sequence[str], controls: AnnData, *, n_sets: int = 16, seed: int = 0) -> np.ndarray:
        """Return the predicted shifts of `labels` from these control cells, (n_labels, n_genes) float32.

        `n_sets` sets of control cells are drawn and their predictions averaged.

        Parameters
        ----------
        labels
            Perturbations.
        controls
            Control cells.
        n_sets
            Sets of control cells.
        seed
            Of the sets.
        """
        cells, x = self.expression(controls, "controls")
        basal = self.backbone.basal(cells, x)
        inputs = self.backbone.perturbation_inputs(self.features, labels)
        rng = np.random.default_rng(seed)
        size = min(SET_SIZE, len(basal))
        self.predictor.eval()
        out = np.zeros((len(labels), len(self.genes)), np.float32)
        for _ in range(n_sets):
            chosen = basal[torch.from_numpy(rng.choice(len(basal), size, replace=False))]
            for start in range(0, len(labels), 64):
                part = inputs[start : start + 64]
                h = self.backbone(chosen.expand(len(part), -1, -1), part)
                out[start : start + 64] += self.predictor(h).numpy() / n_sets
        return out

    def predict(
        self,
        n_cells: Mapping[str, int],
        controls: AnnData,
        *,
        n_control: int | None = None,
        seed: int = 0,
        deltas: np.ndarray | None = None,
        cells: str | None = None,
    ) -> AnnData:
        """Predict perturbed cells.

        Parameters
        ----------
        n_cells
            Cells to make of each perturbation.
        controls
            Control cells (the basal state); copied into the answer, at most `n_control` of them.
        seed
            Of the cells drawn.
        deltas
            (n_perturbations, n_genes) to use instead of the model's own, as a baseline does.
        cells
            How control cells become perturbed ones, "scale" or "shift"; the model's option by default.
        n_control
            Control cells in the answer; all by default.

        Returns
        -------
        AnnData
            Log1p-normalised CSR float32 cells with obs[pert_key], controls last.
        """
        import anndata as ad
        import pandas as pd

        rng = np.random.default_rng(seed)
        labels = list(n_cells)
        _, x = self.expression(controls, "controls")
        x = sp.csr_matrix(x, dtype=np.float32)
        mean = np.asarray(x.mean(axis=0, dtype=np.float64)).ravel()
        deltas = self.predict_delta(labels, controls, seed=seed) if deltas is None else deltas
        blocks = [
            make_cells(x, mean, d, n_cells[name], how=cells or self.options.cells, rng=rng)
            for name, d in zip(labels, deltas, strict=True)
        ]
        kept = (
            x
            if n_control is None or n_control >= x.shape[0]
            else x[np.sort(rng.choice(x.shape[0], n_control, replace=False))]
        )
        names = [name for name in labels for _ in range(n_cells[name])] + [self.control] * kept.shape[0]
        obs = pd.DataFrame({self.pert_key: pd.Categorical(names)}, index=[f"predicted-{i}" for i in range(len(names))])
        return ad.AnnData(sp.vstack([*blocks, kept], format="csr"), obs=obs, var=pd.DataFrame(index=self.genes))

    def save(self, directory: str | Path) -> None:
        """Write model.safetensors and model.json (and nothing that needs pickle), atomically."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        if isinstance(self.backbone, LocalBackbone) and self.backbone.kind == "qbmvae":
            self.backbone.embedder.save(directory)
        tensors = {f"predictor.{k}": v for k, v in self.predictor.state_dict().items()}
        tensors |= {f"backbone.{k}": v for k, v in self.backbone.state_dict().items()}
        tensors["features"] = torch.from_numpy(self.features.values)
        header = {
            "format": 1,
            "genes": self.genes,
            "pert_key": self.pert_key,
            "control": self.control,
            "target_sum": self.target_sum,
            "options": self.options.to_dict(),
            "seed": self.seed,
            "backbone": self.backbone.spec(),
            "width": self.predictor.width,
            "features": {
                "names": list(self.features.names),
                "kind": self.features.kind,
                "separator": self.features.separator,
            },
            "history": self.history,
            "notes": self.notes,
        }
        archive.write(directory / "model.safetensors", KIND, tensors, header)
        # the same header, to read by eye
        write_text(directory / "model.json", json.dumps(header))

    @classmethod
    def load(cls, directory: str | Path) -> PerturbationModel:
        """Load what `save` wrote."""
        directory = Path(directory)
        tensors, header = archive.read(directory / "model.safetensors", KIND, sidecar=directory / "model.json")
        options = Options.from_dict(header["options"])
        backbone = build(header["backbone"])
        predictor = DeltaPredictor(header["width"], len(header["genes"]), options)
        backbone.load_state_dict(archive.part(tensors, "backbone"))
        predictor.load_state_dict(archive.part(tensors, "predictor"))
        if isinstance(backbone, LocalBackbone) and backbone.kind == "qbmvae":
            from qbmvae.perturbation.backbones.embedding import QBMVAEEmbedder

            backbone.embedder = QBMVAEEmbedder.load(directory)
        table = header["features"]
        features = Features(tuple(table["names"]), tensors["features"].numpy(), table["kind"], table["separator"])
        predictor.eval()
        return cls(
            predictor,
            backbone,
            features,
            options=options,
            **{k: header[k] for k in ("genes", "pert_key", "control", "target_sum", "seed", "history", "notes")},
        )
