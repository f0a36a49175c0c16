"""The transition network of STATE (Adduri et al., bioRxiv 2025.06.26.661135) with the parameter names of its checkpoints.

Parameters
----------
basal
    Sets of cells as the checkpoint takes them, `(batch, set, inputs)`.
perturbation
    Vectors, `(batch, set, width)`.
batch
    Codes of the experimental batch, where the checkpoint has them.
hidden, cells
    What `StateNetwork.hidden` returns.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from qbmvae.perturbation.backbones.transformer import GPT2, Llama
from samplers.errors import InputError

ACTIVATIONS = {"relu": nn.ReLU, "leakyrelu": nn.LeakyReLU, "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU}


def _mlp(
    inputs: int, outputs: int, hidden: int, layers: int, activation: type[nn.Module], dropout: float
) -> nn.Sequential:
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        if i:
            modules += [activation(), nn.Dropout(dropout)]
        modules.append(nn.Linear(a, b))
    return nn.Sequential(*modules)


class _LatentToGene(nn.Module):
    """STATE's decoder from its latent space to counts."""

    def __init__(self, inputs: int, genes: int, hidden: list[int], dropout: float, residual: bool):
        super().__init__()
        blocks = [
            [nn.Linear(a, b), nn.LayerNorm(b), nn.GELU(), nn.Dropout(dropout)]
            for a, b in zip([inputs, *hidden], hidden, strict=False)
        ]
        last = [nn.Linear(([inputs, *hidden])[-1], genes), nn.ReLU()]
        self.residual = residual
        if residual:
            self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks)
            self.final_layer = nn.Sequential(*last)
        else:
            self.decoder = nn.Sequential(*(m for block in blocks for m in block), *last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., inputs) to (..., genes)."""
        if not self.residual:
            return self.decoder(x)
        outputs: list[torch.Tensor] = []
        for i, block in enumerate(self.blocks):
            y = block(x)
            if i % 2:
                y = y + outputs[-1]
            outputs.append(y)
            x = y
        return self.final_layer(x)


class _ConfidenceToken(nn.Module):
    """A learned token at the end of each set; only carried along here."""

    def __init__(self, width: int):
        super().__init__()
        self.confidence_token = nn.Parameter(torch.randn(1, 1, width))
        self.confidence_projection = nn.Sequential(
            *(nn.Linear(width, width // 2), nn.LayerNorm(width // 2), nn.GELU(), nn.Dropout(0.1)),
            *(nn.Linear(width // 2, width // 4), nn.LayerNorm(width // 4), nn.GELU(), nn.Dropout(0.1)),
            *(nn.Linear(width // 4, 1), nn.ReLU()),
        )


class StateNetwork(nn.Module):
    """The transition network: (batch, set, input_dim) cells and (batch, set, pert_dim) perturbations.

    Parameters
    ----------
    dims
        var_dims: input_dim, output_dim, pert_dim, batch_dim, gene_dim, hvg_dim.
    kwargs
        `model.kwargs` of config.yaml.
    embed_key, output_space
        `data.kwargs` of config.yaml.
    """

    def __init__(self, dims: dict[str, Any], kwargs: dict[str, Any], embed_key: str | None, output_space: str):
        super().__init__()
        hidden, dropout = int(kwargs["hidden_dim"]), float(kwargs.get("dropout", 0.1))
        activation = ACTIVATIONS[str(kwargs.get("activation", "gelu")).lower()]
        encoder, decoder = int(kwargs.get("n_encoder_layers", 2)), int(kwargs.get("n_decoder_layers", 2))
        inputs, self.outputs = int(dims["input_dim"]), int(dims["output_dim"])
        self.residual, self.output_space = bool(kwargs.get("predict_residual", True)), output_space
        self.in_genes = embed_key in (None, "X_hvg")
        self.pert_encoder = _mlp(int(dims["pert_dim"]), hidden, hidden, encoder, activation, dropout)
        if kwargs.get("use_basal_projection", True):
            self.basal_encoder: nn.Module = _mlp(inputs, hidden, hidden, encoder, activation, dropout)
        else:
            self.basal_encoder = nn.Linear(inputs, hidden)
        self.transformer_backbone = _transformer(kwargs)
        self.project_out = _mlp(hidden, self.outputs, hidden, decoder, activation, dropout)
        if output_space == "all":
            narrow = self.outputs // 8
            self.final_down_then_up = nn.Sequential(
                nn.Linear(self.outputs, narrow), nn.GELU(), nn.Linear(narrow, self.outputs)
            )
        batches = dims.get("batch_dim")
        self.batch_encoder = nn.Embedding(int(batches), hidden) if kwargs.get("batch_encoder") and batches else None
        self.confidence_token = _ConfidenceToken(hidden) if kwargs.get("confidence_token") else None
        self.gene_decoder = _gene_decoder(kwargs)

    def hidden(
        self, basal: torch.Tensor, perturbation: torch.Tensor, batch: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the transformer's output and the encoded cells, both (batch, set, hidden)."""
        cells = self.basal_encoder(basal)
        tokens = self.pert_encoder(perturbation) + cells
        if self.batch_encoder is not None and batch is not None:
            tokens = tokens + self.batch_encoder(batch.long())
        if self.confidence_token is None:
            return self.transformer_backbone(tokens), cells
        last = self.confidence_token.confidence_token.expand(len(tokens), -1, -1)
        return self.transformer_backbone(torch.cat([tokens, last], 1))[:, :-1], cells

    def forward(
        self, basal: torch.Tensor, perturbation: torch.Tensor, batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return STATE's own prediction, (batch, set, output_dim)."""
        return self.predict(basal, *self.hidden(basal, perturbation, batch))

    def predict(self, basal: torch.Tensor, hidden: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Return the prediction from what `hidden` returns, (batch, set, output_dim)."""
        if self.residual and self.output_space == "all":
            out = self.final_down_then_up(self.project_out(hidden) + basal)
        else:
            out = self.project_out(hidden + cells if self.residual else hidden)
        return torch.relu(out) if self.in_genes or self.gene_decoder is None else out


def _transformer(kwargs: dict[str, Any]) -> Llama | GPT2:
    key, config = kwargs.get("transformer_backbone_key", "GPT2"), dict(kwargs.get("transformer_backbone_kwargs") or {})
    config = {
        k: kwargs.get(v[16:-1].split(".")[-1], v) if isinstance(v, str) and v.startswith("${model.kwargs.") else v
        for k, v in config.items()
    }
    if key == "llama":
        return Llama(config)
    if key == "GPT2":
        config["n_positions"] = int(kwargs.get("cell_set_len", 256)) + int(kwargs.get("extra_tokens", 0))
        return GPT2(config)
    raise InputError(f"STATE backbone: transformer_backbone_key={key!r} is not known; known: 'llama', 'GPT2'")


def _gene_decoder(kwargs: dict[str, Any]) -> nn.Module | None:
    config = kwargs.get("decoder_cfg")
    if kwargs.get("gene_decoder_bool") is False or not config:
        return None
    return _LatentToGene(
        int(config["latent_dim"]),
        int(config["gene_dim"]),
        list(config.get("hidden_dims", [512, 1024])),
        float(config.get("dropout", 0.1)),
        bool(config.get("residual_decoder", False)),
    )
