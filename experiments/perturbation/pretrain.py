"""A small STATE network trained here, for experiments on what a pretrained backbone gives: none can be downloaded.

Parameters
----------
n_genes, n_features, genes
    Of the screen.
hidden, layers, set_size
    Size of the network, and cells that it sees at once.
screen, epochs, seed, batch_size
    What it is trained on, and how.
"""

from __future__ import annotations

import numpy as np
import torch

from experiments.perturbation.synthetic import SyntheticScreen
from qbmvae.perturbation.backbones.state import StateBackbone
from qbmvae.perturbation.fitting import training_groups


def small_state(
    n_genes: int, n_features: int, genes: list[str], hidden: int = 48, layers: int = 2, set_size: int = 16
) -> StateBackbone:
    """Build an untrained STATE network (LLaMA, both directions) of the given size, on genes."""
    dims = {
        "input_dim": n_genes,
        "output_dim": n_genes,
        "pert_dim": n_features,
        "gene_names": genes,
        "gene_dim": n_genes,
        "batch_dim": None,
    }
    transformer = {
        "bidirectional_attention": True,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": hidden // 4,
        "vocab_size": 8,
    }
    kwargs = {
        "hidden_dim": hidden,
        "cell_set_len": set_size,
        "n_encoder_layers": 1,
        "n_decoder_layers": 1,
        "predict_residual": True,
        "dropout": 0.0,
        "transformer_backbone_key": "llama",
        "transformer_backbone_kwargs": transformer,
    }
    return StateBackbone(dims, kwargs, "X_hvg", "gene")


def pretrained_state(
    screen: SyntheticScreen, epochs: int, seed: int, set_size: int = 16, batch_size: int = 32
) -> StateBackbone:
    """Train a small STATE network on the seen perturbations' pseudobulks by squared error."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _pretrained(screen, epochs, seed, set_size, batch_size)


def _pretrained(screen: SyntheticScreen, epochs: int, seed: int, set_size: int, batch_size: int) -> StateBackbone:
    adata = screen.adata
    labels = adata.obs["target_gene"].astype(str).to_numpy()
    train = adata[~np.isin(labels, screen.unseen)]
    groups = training_groups(train, train.X, "target_gene", "non-targeting", None, seed)
    backbone = small_state(adata.n_vars, screen.features.width, list(adata.var_names), set_size=set_size)
    backbone.requires_grad_(True)
    controls = {name: torch.from_numpy(train.X[rows].toarray()) for name, rows in groups.control_rows.items()}
    inputs = torch.from_numpy(screen.features.lookup(groups.labels))
    means = torch.stack([controls[str(c)].mean(0) for c in groups.contexts]) + torch.from_numpy(groups.delta)
    optimiser = torch.optim.AdamW(backbone.parameters(), lr=2e-3)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            cells = torch.stack(
                [
                    controls[str(groups.contexts[i])][
                        torch.from_numpy(rng.choice(len(controls[str(groups.contexts[i])]), set_size))
                    ]
                    for i in part
                ]
            )
            tokens = inputs[part][:, None].expand(-1, set_size, -1)
            loss = (backbone.network(cells, tokens).mean(1) - means[part]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return backbone.requires_grad_(False)
