from __future__ import annotations

import sys

import numpy as np
import pytest

from experiments.comparison.sweep import divide, sweep, trial
from experiments.data.synthetic import synthetic
from samplers import InputError


def test_a_trial_reports_every_validation():
    adata = synthetic(n_cells=150, n_genes=40, seed=0)
    reports: list[dict[str, float]] = []
    settings = {"n_latent": 8, "n_hidden": 16, "max_epochs": 4, "check_val_every_n_epoch": 2, "num_chains": 64}
    trial(settings, adata, reports.append, batch_key="batch")
    assert [r["epoch"] for r in reports] == [2, 4]
    assert all(np.isfinite(r["elbo_validation"]) and 0 <= r["active_bits"] <= 8 for r in reports)


def test_settings_go_where_they_belong_and_unknown_ones_are_named():
    assert divide({"n_latent": 8, "kl_weight": 1.0, "topology": "bipartite"}) == (
        {"n_latent": 8, "topology": "bipartite"}, {"kl_weight": 1.0},
    )  # fmt: skip
    with pytest.raises(InputError, match="'n_latents'; nearest: 'n_latent'"):
        divide({"n_latents": 8})


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"qbmvae\[tune\]"):
        sweep(tmp_path / "a.h5ad", {"n_latent": 8})
