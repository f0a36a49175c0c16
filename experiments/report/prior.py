"""The prior and its sampler in a report: what the Boltzmann machine has learned of the codes, and how well it is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.report import plots
from experiments.report.page import figure

PANELS = {"effective sample size of the chains": ("sampler_ess",), "log Z of the prior": ("log_partition",)}


@dataclass(frozen=True)
class BitMoments:
    """Moments of the bits of encoded cells and of the prior.

    Attributes
    ----------
    cell_means, prior_means
        Mean of each bit, `(n_latent,)`.
    cell_covariances, prior_covariances
        Covariance of each pair of bits, `(n_latent (n_latent - 1) / 2,)`.
    """

    cell_means: np.ndarray
    prior_means: np.ndarray
    cell_covariances: np.ndarray
    prior_covariances: np.ndarray

    @property
    def correlation(self) -> float:
        """Correlation of the two sets of pair covariances; 1 where the prior has learned them all."""
        return float(np.corrcoef(self.cell_covariances, self.prior_covariances)[0, 1])


def bit_moments(model: Any, n_draws: int = 4000, seed: int = 0) -> BitMoments:
    """Return the moments that the prior is trained to match, of the encoded cells and of draws from the prior.

    Parameters
    ----------
    model
        A trained `QBMVAE` with a prior over bits.
    n_draws
        Draws from the prior.
    seed
        Of the draws.

    Notes
    -----
    The bits of a cell are independent given the cell, with probabilities q. So the mean of bit i over cells is the mean of
    q_i, and the covariance of two different bits is that of q_i and q_j: no bits need to be drawn.
    """
    q = np.asarray(model.get_latent_representation(representation="probabilities"), dtype=np.float64)
    drawn = model.sample_prior(n_draws, seed=seed).astype(np.float64)
    upper = np.triu_indices(q.shape[1], 1)
    return BitMoments(q.mean(axis=0), drawn.mean(axis=0), np.cov(q.T)[upper], np.cov(drawn.T)[upper])


def bits_figure(model: Any) -> list[dict[str, str]]:
    """Return the figure that compares the prior's bits with those of the encoded cells; none for a continuous prior."""
    if not model.module.vae.prior.discrete:
        return []
    found = bit_moments(model)
    image = plots.agreement(
        {
            "mean of each bit": (found.cell_means, found.prior_means),
            "covariance of each pair": (found.cell_covariances, found.prior_covariances),
        },
        "encoded cells",
        "prior",
    )
    text = "What the Boltzmann machine has learned of the codes: on the dotted line the prior equals the encoded cells."
    return figure(image, f"{text} Pair covariances correlate by {found.correlation:.2f}.")


def sampler_section(history: pd.DataFrame, metrics: Mapping[str, Any], sampler: str) -> list[dict[str, Any]]:
    """Return the section about the prior and its sampler; none for a prior that needs no sampler.

    Parameters
    ----------
    history
        Training curves by epoch.
    metrics
        "log_partition" with "log_partition_error", and "sampler_ess", each where it is known.
    sampler
        Its name.
    """
    image = plots.curves(history, PANELS)
    if not image:
        return []
    cards = {"sampler": sampler}
    if "log_partition" in metrics:
        error = metrics.get("log_partition_error", 0)
        cards["log Z of the prior, nats"] = f"{metrics['log_partition']:.2f} ± {error:.1g}"
    if "sampler_ess" in metrics:
        cards["effective sample size at the end"] = f"{metrics['sampler_ess']:,.0f}"
    texts = ["log Z comes from a fresh estimate that never sees the training chains."]
    return [{"title": "Sampler", "texts": texts, "cards": cards, "figures": figure(image, "by epoch")}]
