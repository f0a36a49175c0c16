"""The report of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from experiments.report import plots
from experiments.report.explorer import explorer, variable_genes
from experiments.report.explorer import some_cells as some_cells
from experiments.report.page import figure, page
from experiments.report.prior import sampler_section
from experiments.report.values import number
from experiments.run_folder import plain
from qbmvae.data.label_names import keys_of

if TYPE_CHECKING:
    from anndata import AnnData

PANELS = {
    "ELBO (negative, nats a cell)": ("elbo_train", "elbo_validation"),
    "reconstruction": ("reconstruction_loss_train", "reconstruction_loss_validation"),
    "rate and KL": ("rate", "kl_local_train", "kl_local_validation"),
    "KL weight": ("kl_weight",),
    "active bits": ("active_bits",),
}
#: Names under which files often keep types, to colour by where no labels were registered.
TYPE_COLUMNS = ("cell_type", "celltype", "cell_types", "labels")


def training_report(
    name: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: pd.DataFrame,
    embedding: np.ndarray,
    shown: AnnData,
) -> str:
    """Return the page of one training run.

    Parameters
    ----------
    name
        Of the run.
    config, metrics
        What its folder holds.
    history
        Curves by epoch.
    embedding
        `(n_cells, n_dimensions)`, of the cells that the page shows.
    shown
        Those cells, see `explorer.some_cells`.
    """
    setup = config["setup"]
    guess = [c for c in TYPE_COLUMNS if c in shown.obs][:1]
    views = explorer(
        {"QBM-VAE": plots.plane(embedding, seed=0)},
        shown.obs,
        variable_genes(shown, setup.get("layer")),
        [*keys_of(setup.get("labels_key")), *guess, setup.get("batch_key")],
        f"UMAP of the embedding of {shown.n_obs:,} cells; genes are the most variable ones",
    )
    cards = {
        text: number(int(metrics[key]) if key in ("cells", "genes", "epochs", "active_bits") else metrics[key])
        for key, text in (
            ("cells", "cells"),
            ("genes", "genes"),
            ("epochs", "epochs"),
            ("held_out_elbo", "held-out ELBO, nats a cell"),
            ("held_out_iwae", "held-out IWAE bound (20 draws), nats"),
            ("rate", "rate, nats"),
            ("active_bits", "active bits"),
        )
        if key in metrics
    }
    sections: list[dict[str, Any]] = [
        {"title": "Training curves", "figures": figure(plots.curves(history, PANELS), "by epoch")},
        *sampler_section(history, metrics, str(config["model"].get("sampler", "persistent"))),
        {
            "title": "Configuration",
            "details_title": "config.yaml",
            "details": yaml.safe_dump(plain(dict(config)), sort_keys=False),
        },
    ]
    lead = {"texts": [_answer(metrics)], "explorer": [views], "cards": cards}
    return page(f"Training run {name}", str(config["data"]), sections, lead)


def _answer(metrics: Mapping[str, Any]) -> str:
    text = f"{metrics['cells']:,} cells were embedded after {metrics['epochs']:,} epochs of training."
    if "held_out_elbo" in metrics:
        text += f" The model explains a cell that it has not seen with {-metrics['held_out_elbo']:,.1f} nats"
        text += " (the negative ELBO: less is better, and only models of the same data compare)."
    if "active_bits" in metrics:
        text += f" {metrics['active_bits']:.0f} of {metrics['latent_dimensions']} bits carry information."
    return text
