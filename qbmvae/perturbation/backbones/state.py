"""STATE as a backbone: a light loader of its transition checkpoints, without `arc-state`.

A run directory holds config.yaml, var_dims.pkl, pert_onehot_map.pt and checkpoints/final.ckpt, as `state tx train`
writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp
import torch

from qbmvae.perturbation.audit import match_genes
from qbmvae.perturbation.backbones.base import Backbone
from qbmvae.perturbation.backbones.checkpoint import load_plain, load_tensors
from qbmvae.perturbation.backbones.state_network import StateNetwork
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData

    from qbmvae.perturbation.features import Features


class StateBackbone(Backbone):
    """The pooled output of STATE's transformer over a set of control cells, (batch, hidden_dim).

    Parameters
    ----------
    dims, kwargs, embed_key, output_space
        See `StateNetwork`.
    """

    tunable = True

    def __init__(self, dims: dict[str, Any], kwargs: dict[str, Any], embed_key: str | None, output_space: str):
        super().__init__()
        self._spec: dict[str, Any] = {
            "dims": dims,
            "kwargs": kwargs,
            "embed_key": embed_key,
            "output_space": output_space,
        }
        self.network = StateNetwork(dims, kwargs, embed_key, output_space)
        self.width, self.embed_key = int(kwargs["hidden_dim"]), embed_key
        self.genes = [str(g) for g in dims["gene_names"]] if dims.get("gene_names") is not None else None
        self.set_size = int(kwargs.get("cell_set_len", 256))
        self.map: dict[str, torch.Tensor] = {}
        # with it, forward also returns the checkpoint's own predicted shift of every gene
        self.head = False
        self.eval()

    def basal(self, adata: AnnData, x: sp.csr_matrix | np.ndarray) -> torch.Tensor:
        """Return the cells as STATE takes them: its genes, or the embedding `obsm[embed_key]`.

        Raises
        ------
        InputError
            For data without the genes or the embedding of the checkpoint.
        """
        inputs = int(self._spec["dims"]["input_dim"])
        if self.embed_key not in (None, "X_hvg"):
            if self.embed_key not in adata.obsm:
                raise InputError(
                    f"STATE backbone: it takes the embedding obsm[{self.embed_key!r}], which the data lack"
                    f"{nearest(self.embed_key, adata.obsm.keys())}: embed the cells with STATE first"
                )
            z: Any = np.asarray(adata.obsm[self.embed_key], dtype=np.float32)
        elif self.genes is not None and len(self.genes) == inputs:
            columns = match_genes(adata, self.genes, wanted_by="the STATE backbone")
            z = x[:, columns]
        else:
            z = x
        if z.shape[1] != inputs:
            raise InputError(
                f"STATE backbone: it takes {inputs} values a cell, the data have {z.shape[1]}: genes do not match the backbone"
            )
        return torch.from_numpy(np.asarray(z.todense() if sp.issparse(z) else z, dtype=np.float32))

    def forward(self, basal: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return (batch, hidden_dim) from (batch, set, input_dim) and (batch, pert_dim); with `head` (batch, hidden_dim + genes)."""
        tokens = features[:, None].expand(-1, basal.shape[1], -1)
        hidden, cells = self.network.hidden(basal, tokens)
        if not self.head:
            return hidden.mean(1)
        own = self.network.predict(basal, hidden, cells).mean(1) - basal.mean(1)
        return torch.cat([hidden.mean(1), own], 1)

    def add_head(self, genes: list[str]) -> None:
        """Let the checkpoint's own prediction take part, which its project_out and final_down_then_up make.

        Raises
        ------
        InputError
            It does not predict these genes in this order.
        """
        if self.genes != genes or int(self._spec["dims"]["output_dim"]) != len(genes):
            raise InputError(
                "STATE backbone: tuning project_out needs a checkpoint that predicts the data's genes in their order; "
                "tune last_layers alone, or give the checkpoint's gene list with --genes"
            )
        self.head = True

    def train(self, mode: bool = True) -> StateBackbone:
        """Keep dropout off: the backbone is a feature map, tuned or not."""
        return super().train(False)

    def perturbation_inputs(self, features: Features, labels: Iterable[str]) -> torch.Tensor:
        """Return the checkpoint's own vector of each perturbation, or `features` of the same width.

        Raises
        ------
        InputError
            For a perturbation without a vector, or vectors of another width.
        """
        labels = list(labels)
        wanted = int(self._spec["dims"]["pert_dim"])
        if features.kind == "file":
            if features.width != wanted:
                raise InputError(
                    f"STATE backbone: it takes perturbation vectors of {wanted} values, the features have {features.width}"
                )
            return torch.from_numpy(features.lookup(labels))
        rows = []
        for label in labels:
            for part in features.parts(label) if label not in self.map else [label]:
                if part not in self.map:
                    raise InputError(
                        f"perturbation {str(label)!r} has no features: {str(part)!r} is not in the checkpoint's pert_onehot_map"
                        f"{nearest(part, self.map)}: give --features with vectors of {wanted} values"
                    )
            parts = [label] if label in self.map else features.parts(label)
            rows.append(torch.stack([self.map[part] for part in parts]).sum(0))
        return torch.stack(rows) if rows else torch.zeros(0, wanted)

    def gene_map(self) -> torch.Tensor | None:
        """Return the last weights of project_out, (output_dim, hidden_dim)."""
        return cast(torch.nn.Linear, self.network.project_out[-1]).weight.detach()

    def parts(self, name: str) -> list[torch.nn.Parameter]:
        """Return the weights of "project_out", "final_down_then_up" or "last_layers" (a quarter of the layers)."""
        if name == "last_layers":
            layers = self.network.transformer_backbone.layers
            return [p for layer in layers[-max(1, len(layers) // 4) :] for p in layer.parameters()]
        module = getattr(self.network, name, None)
        return list(module.parameters()) if module is not None else []

    def spec(self) -> dict[str, Any]:
        """Return the constructor's arguments and the perturbation map's names."""
        return {
            "backbone": "state",
            **self._spec,
            "head": self.head,
            "map": {k: v.tolist() for k, v in self.map.items()},
        }


def load_state(directory: str | Path) -> StateBackbone:
    """Load a run directory of STATE.

    Raises
    ------
    InputError
        A file is missing, would need unsafe loading (the message has the conversion command), or its weights do not
        fit the network that config.yaml describes.
    """
    import yaml

    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"STATE backbone: no directory {directory}")
    config_file = directory / "config.yaml"
    if not config_file.is_file():
        raise InputError(
            f"STATE backbone: no config.yaml in {directory}: give the directory that `state tx train` wrote"
        )
    config = yaml.safe_load(config_file.read_text())
    try:
        kwargs, data = dict(config["model"]["kwargs"]), dict(config["data"]["kwargs"])
    except (KeyError, TypeError):
        raise InputError(f"STATE backbone: {config_file} lacks model.kwargs or data.kwargs") from None
    dims = {
        k: np.asarray(v).tolist() if isinstance(v, np.ndarray) else v
        for k, v in load_plain(directory / "var_dims.pkl").items()
    }
    backbone = StateBackbone(dims, kwargs, data.get("embed_key"), data.get("output_space", "gene"))
    weights = load_tensors(_checkpoint(directory))
    result = backbone.network.load_state_dict(weights, strict=False)
    if result.missing_keys or result.unexpected_keys:
        raise InputError(
            f"STATE backbone: the checkpoint does not fit config.yaml: missing {result.missing_keys[:3]}, "
            f"unexpected {result.unexpected_keys[:3]}"
        )
    backbone.map = {k: v.float().reshape(-1) for k, v in load_tensors(_perturbation_map(directory)).items()}
    return backbone


def _checkpoint(directory: Path) -> Path:
    for name in ("checkpoints/final.ckpt", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "final.ckpt"):
        path = directory / name
        if path.is_file() or Path(f"{path}.safetensors").is_file():
            return path
    raise InputError(f"STATE backbone: no checkpoints/final.ckpt in {directory}")


def _perturbation_map(directory: Path) -> Path:
    for name in ("pert_onehot_map.pt", "pert_onehot_map.torch"):
        path = directory / name
        if path.is_file() or Path(f"{path}.safetensors").is_file():
            return path
    raise InputError(f"STATE backbone: no pert_onehot_map.pt in {directory}")
