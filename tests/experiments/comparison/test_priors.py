from __future__ import annotations

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
        assert 0 <= row["apart"] <= 1
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
    cells = synthetic(n_cells=60, n_genes=20, seed=0)
    for name in ("scmix_celllines_5batches", "kang_pbmc_ifnb_1975"):
        (tmp_path / "integration").mkdir(exist_ok=True)
        cells.write_h5ad(tmp_path / "integration" / f"{name}.h5ad")
    asked = []

    def run(adata, data, model, seed, max_epochs):
        asked.append((data.name, model.name))
        if len(asked) == 3:
            raise ValueError("no luck")
        return [{"dataset": data.name, "model": model.name, "seed": seed, "elbo": 0.0}]

    monkeypatch.setattr(priors, "run", run)
    words = f"priors priors --data-root {tmp_path} --out {tmp_path / 'priors'} --seeds 0 --models uniform bernoulli"
    words += " --datasets sc-mixology kang-ifnb onek1k"
    monkeypatch.setattr(sys, "argv", words.split())
    with pytest.raises(RuntimeError, match="kang-ifnb/uniform__0: failed: ValueError: no luck"):
        priors.main()
    shown = capsys.readouterr().out
    # the other fits of the grid are there; a set without its file is left out, as in other comparisons
    assert shown.count("| bernoulli | 1 |") == 2
    assert "onek1k is left out" in shown
    assert shown.index("| uniform") < shown.index("| bernoulli")
    priors.main()
    assert asked == [*[(d, m) for d in ("sc-mixology", "kang-ifnb") for m in ("uniform", "bernoulli")], asked[2]]
