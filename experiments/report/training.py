"""The report of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from experiments.report import plots
from experiments.report.page import colourings, figure, number, page, some_cells
from experiments.report.prior import sampler_section
from experiments.run_folder import plain

if TYPE_CHECKING:
    from anndata import AnnData

PANELS = {
    "ELBO (negative, nats a cell)": ("elbo_train", "elbo_validation"),
    "reconstruction": ("reconstruction_loss_train", "reconstruction_loss_validation"),
    "rate and KL": ("rate", "kl_local_train", "kl_local_validation"),
    "KL weight": ("kl_weight",),
    "active bits": ("active_bits",),
}


def training_report(
    name: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: pd.DataFrame,
    embedding: np.ndarray,
    adata: AnnData,
) -> str:
    """Return the page of one training run."""
    cards: dict[str, Any] = {
        "cells": number(metrics["cells"]),
        "genes": number(metrics["genes"]),
        "epochs": metrics["epochs"],
    }
    for key, text in (
        ("held_out_elbo", "held-out ELBO, nats a cell"),
        ("held_out_iwae", "held-out IWAE bound (20 draws)"),
        ("rate", "rate, nats"),
        ("active_bits", "active bits"),
    ):
        if key in metrics:
            cards[text] = number(metrics[key])
    rows = some_cells(adata.n_obs)
    setup = config["setup"]
    guess = [c for c in ("cell_type", "celltype", "cell_types", "labels") if c in adata.obs][:1]
    colours = colourings(adata[rows], [setup.get("labels_key"), *guess, setup.get("batch_key")])
    sections: list[dict[str, Any]] = [{"title": "Summary", "cards": cards}]
    if colours:
        image = plots.scatters({"QBM-VAE": plots.plane(embedding[rows], seed=0)}, colours)
        sections.append({"title": "Embedding", "figures": figure(image, f"UMAP of {len(rows):,} cells")})
    sections.append({"title": "Training", "figures": figure(plots.curves(history, PANELS), "by epoch")})
    sections += sampler_section(history, metrics, str(config["model"].get("sampler", "persistent")))
    sections.append(
        {
            "title": "Configuration",
            "details_title": "config.yaml",
            "details": yaml.safe_dump(plain(dict(config)), sort_keys=False),
        }
    )
    return page(f"Training run {name}", str(config["data"]), sections)
