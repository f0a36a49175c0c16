from __future__ import annotations

import json
import sys

import pytest

from experiments.comparison import priors
from experiments.comparison.config import DataSpec, ModelSpec, load_config
from experiments.data.synthetic import synthetic


def test_the_shipped_configuration_names_every_prior():
    names = {model.name for model in load_config("priors").models}
    assert {
        "boltzmann",
        "bernoulli",
        "uniform",
        "shuffled-couplings",
        "rbm",
        "pegasus",
        "zephyr",
        "gaussian",
        "vamp",
    } <= names


def test_a_prior_is_scored_before_and_after_its_refit(tmp_path):
    synthetic(n_cells=150, n_genes=60, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    data = DataSpec("cells", "cells.h5ad", batch_key="batch", label_key="cell_type")
    cells = priors.prepared(data, str(tmp_path))
    options = {"n_latent": 8, "train": {"kl_weight": 1.0}}
    rows = priors.run(cells, data, ModelSpec("boltzmann", "qbmvae", options), 0, max_epochs=3)
    assert [row["model"] for row in rows] == ["boltzmann, unrefined", "boltzmann"]
    assert rows[1]["refinement"]["kl_after"] <= rows[1]["refinement"]["kl_before"]
    for row in rows:
        assert row["rate"] > 0
        assert row["iwae"] > row["elbo"]
        assert 0 <= row["two_sample"] <= 1
        assert 0 <= row["ceiling"] <= 1
        assert 0 <= row["at_means"] <= 1
    rows += priors.run(cells, data, ModelSpec("bernoulli", "bernoulli", options), 0, max_epochs=3)
    rows += priors.run(cells, data, ModelSpec("gaussian", "vae", options), 0, max_epochs=2)
    assert "ceiling" not in rows[-1]
    assert "at_means" not in rows[-2]
    table = priors.table(rows)
    assert f"| {rows[2]['elbo'] - rows[1]['elbo']:.2f} |" in table
    assert f"| {round(rows[1]['two_sample'] - rows[1]['ceiling'], 3):g} |" in table
    # the refit of each prior that has one, held-out KL before and after
    assert "| boltzmann, cells | 1 |" in table
    assert "| gaussian, cells" not in table


def test_the_command_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    done = [
        {"dataset": d, "model": m, "seed": 0, "elbo": 0.0}
        for d in ("sc-mixology", "kang-ifnb") for m in ("bernoulli", "uniform")
    ]  # fmt: skip
    (tmp_path / "priors.jsonl").write_text("".join(json.dumps(row) + "\n" for row in done))
    monkeypatch.setattr(priors, "prepared", lambda *_: pytest.fail("nothing is left to do"))
    arguments = ["priors", "priors", "--out", str(tmp_path / "priors.jsonl"), "--seeds", "0"]
    monkeypatch.setattr(
        sys, "argv", [*arguments, "--datasets", "sc-mixology", "kang-ifnb", "--models", "bernoulli", "uniform"]
    )
    priors.main()
    assert "| bernoulli | 1 |" in capsys.readouterr().out
