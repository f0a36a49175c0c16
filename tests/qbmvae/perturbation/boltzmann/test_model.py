"""Cells of a bimodal screen, whose mean shift is a cell that does not exist."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.perturbation.distribution_table import CEILING, cells_of, controls, distribution_scores
from experiments.perturbation.splits import split
from experiments.perturbation.synthetic import bimodal_screen
from qbmvae.perturbation.boltzmann import BoltzmannOptions, BoltzmannPerturbation, fit
from qbmvae.perturbation.boltzmann.codes import Wanted
from qbmvae.perturbation.boltzmann.conditions import reduced
from qbmvae.perturbation.boltzmann.gaussian import fit_gaussian
from qbmvae.perturbation.features import Features
from qbmvae.perturbation.fitting import training_groups
from samplers.errors import InputError


@pytest.fixture(scope="module")
def screen():
    adata, share = bimodal_screen(n_perturbations=2, n_cells=400, n_control=500, n_genes=80, responders=(0.4, 0.6))
    parts = split(adata.obs["target_gene"].to_numpy().astype(str), "non-targeting", "cells", share=0.5, seed=0)
    return adata[parts.train].copy(), adata[parts.test].copy(), share


@pytest.fixture(scope="module")
def model(screen):
    before = torch.get_rng_state()
    model = fit(screen[0], options=BoltzmannOptions(n_latent=24, n_hidden=64, epochs=400, steps=1500), seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    return model


def test_a_mean_shift_fails_where_the_machine_does_not(screen, model):
    train, test, share = screen
    _, x = model.expression(train)
    _, y = model.expression(test)
    rows = np.flatnonzero(test.obs["target_gene"] == "non-targeting")
    names = [part.obs["target_gene"].to_numpy().astype(str) for part in (train, test)]
    groups = training_groups(train, x, "target_gene", "non-targeting")
    predictors = controls(x, names[0], y[rows], groups, model.features, "non-targeting", 0)
    predicted = model.predict(dict.fromkeys(share, 200), test[rows], n_control=1, seed=1)
    predictors["machine"] = cells_of(predicted, model.expression(predicted)[1], "target_gene")
    table = distribution_scores(predictors, y, names[1], "non-targeting")
    accuracy = table.groupby("predictor")["two_sample"].mean()
    assert accuracy["mean shift"] > 0.8
    # 200 cells a side: one draw has a standard deviation of .03
    assert accuracy["machine"] < max(accuracy[CEILING], 0.5) + 0.07
    # half of the cells respond: moving control cells is worse, and the fit has found that
    energy = model.notes["how"]["energy"]
    assert model.options.how == "generate" and min(energy, key=energy.get) == "generate"
    mmd = table.groupby("predictor")["mmd"].mean()
    assert mmd["machine"] < mmd["mean shift"] and mmd["machine"] < mmd["no change"] / 3


def responding(model, cells, screen):
    """Share of cells that express the programme of their perturbation, by the observed genes of responders."""
    train, _, _ = screen
    out = {}
    for name in np.unique(cells.obs["target_gene"].astype(str)):
        own = train[(train.obs["target_gene"] == name).to_numpy() & train.obs["responds"].to_numpy()]
        rest = train[~train.obs["responds"].to_numpy()]
        if own.n_obs:
            genes = np.argsort(np.asarray(rest.X.mean(0) - own.X.mean(0)).ravel())[:5]
            level = (np.asarray(own.X[:, genes].mean()) + np.asarray(rest.X[:, genes].mean())) / 2
            made = cells[(cells.obs["target_gene"] == name).to_numpy()]
            out[str(name)] = float((np.asarray(made.X[:, genes].mean(1)).ravel() > level).mean())
    return out


def test_shares_of_responders_and_the_dose(screen, model):
    train, test, share = screen
    base = train[(train.obs["target_gene"] == "non-targeting").to_numpy()]
    # the same estimate on held-out cells: counts of five genes miss some responders
    seen = responding(model, test, screen)
    found = [
        responding(model, model.predict(dict.fromkeys(share, 400), base, n_control=0, seed=0, dose=dose), screen)
        for dose in (0.0, 1.0)
    ]
    for name in share:
        assert abs(found[1][name] - seen[name]) < 0.15
        assert found[0][name] < found[1][name] - 0.1


def test_transport_moves_cells_and_leaves_controls_alone(screen, model):
    train, _, share = screen
    base = train[(train.obs["target_gene"] == "non-targeting").to_numpy()]
    q, rng = model.encode(base), np.random.default_rng(0)
    n = len(q)
    own = (np.random.default_rng(1).random(q.shape) < q).astype(np.uint8)
    np.testing.assert_array_equal(model.codes(["non-targeting"], Wanted([n], "transport", own), rng), own)
    moved = model.codes(["P1"], Wanted([n], "transport", own), rng)
    # A bit flips where its own uniform number lies between its chances to be on before and after, and as long as none has
    # flipped, the chances are those of the start: a cell stays with the product of its bits' chances to stay. The couplings
    # hold each bit where its neighbours are, so that this is less than the .6 of the cells that respond.
    pushed = own @ model.machine.couplings
    shifted = model.machine.fields(model.conditions.rows(["P1"]))[0]
    before, after = (1 / (1 + np.exp(-(pushed + fields))) for fields in (model.machine.bias, shifted))
    off, on = np.maximum(before - after, 0) / before, np.maximum(after - before, 0) / (1 - before)
    expected = 1 - np.prod(1 - np.where(own, off, on), axis=1)
    error = np.sqrt((expected * (1 - expected)).sum()) / n
    assert abs((moved != own).any(1).mean() - expected.mean()) < 4 * error
    assert 0.05 < expected.mean() < share["P1"]
    still = model.predict({"P1": n}, base, how="transport", dose=0.0, n_control=0, seed=0)
    # every control cell once, in another order, its counts as they were
    found, expected = (np.sort(x.toarray().view([("", np.float32)] * base.n_vars).ravel()) for x in (still.X, base.X))
    np.testing.assert_array_equal(found, expected)
    cells = model.predict({"P1": 400}, base, how="transport", n_control=0, seed=0)
    assert abs(responding(model, cells, screen)["P1"] - share["P1"]) < 0.4


def test_moved_cells_have_the_mean_that_ridge_regression_predicts(screen, model):
    train, _, _ = screen
    base = train[(train.obs["target_gene"] == "non-targeting").to_numpy()]
    shift = model.shift(model.conditions.rows(["P0", "non-targeting"]))
    assert not shift[1].any()
    cells = model.predict({"P0": 500}, base, how="transport", mean="ridge", n_control=0, seed=0)
    expected = np.maximum(model.log1p(base).mean(0) + shift[0], 0)
    assert np.abs(model.log1p(cells).mean(0) - expected).max() < 0.15
    other = model.predict({"P0": 500}, base, how="transport", mean="decoder", n_control=0, seed=0)
    apart = [np.abs(model.log1p(c).mean(0) - expected).mean() for c in (cells, other)]
    assert apart[0] < apart[1] / 2


def test_genes_without_counts_in_training_keep_their_place(screen):
    train, _test, _ = screen
    silent = train.copy()
    x = silent.X.tolil()
    x[:, 3] = 0
    silent.X = x.tocsr()
    model = fit(silent, options=BoltzmannOptions(n_latent=8, n_hidden=16, epochs=3, steps=50), seed=0)
    for how in ("generate", "transport"):
        made = model.predict({"P0": 12}, silent, n_control=0, seed=0, how=how)
        assert made.shape == (12, train.n_vars) and not made.X[:, 3].sum() and made.X[:, 4:].sum() > 0


def test_clamped_bits_and_combinations(screen, model):
    train, _, _ = screen
    base = train[(train.obs["target_gene"] == "non-targeting").to_numpy()]
    for how in ("generate", "transport"):
        cells = model.predict({"P0+P1": 30}, base, n_control=2, seed=0, clamp={0: 1, 3: 0}, how=how)
        bits = cells.obsm["X_bits"][:30]
        assert bits[:, 0].all() and not bits[:, 3].any()
    rows = model.conditions.rows(["P0", "P1", "P0+P1", "non-targeting"])
    np.testing.assert_allclose(rows[2], rows[0] + rows[1])
    assert not rows[3].any()


def test_saved_models_predict_the_same(screen, model, tmp_path):
    _, test, _ = screen
    base = test[(test.obs["target_gene"] == "non-targeting").to_numpy()]
    model.save(tmp_path)
    again = BoltzmannPerturbation.load(tmp_path)
    for how in ("generate", "transport"):
        for mean in ("ridge", "decoder"):
            more = {"n_control": 5, "seed": 3, "how": how, "mean": mean}
            one, two = (m.predict({"P0": 20}, base[:, ::-1], **more) for m in (model, again))
            np.testing.assert_array_equal(one.X.toarray(), two.X.toarray())
    assert one.obs["target_gene"].value_counts().to_dict() == {"P0": 20, "non-targeting": 5}
    shifts = model.predict_delta(["P0", "P1"], base)
    assert shifts.shape == (2, 80) and np.isfinite(shifts).all()


def test_bad_input_is_named(screen, model):
    train, test, _ = screen
    with pytest.raises(InputError, match="'P9' has no features"):
        model.predict({"P9": 3}, test)
    with pytest.raises(InputError, match="bits 0 to 23"):
        model.predict({"P0": 3}, test, clamp={24: 1})
    with pytest.raises(InputError, match="bits take 0 or 1"):
        model.predict({"P0": 3}, test, clamp={1: 2})
    with pytest.raises(InputError, match="how must be one of .*not 'teleport'"):
        model.predict({"P0": 3}, test, how="teleport")
    with pytest.raises(InputError, match="mean must be one of .*not 'rigde'; nearest: 'ridge'"):
        model.predict({"P0": 3}, test, mean="rigde")
    with pytest.raises(InputError, match="dose must be a finite number, not nan"):
        model.predict({"P0": 3}, test, dose=float("nan"))
    fractions = train.copy()
    fractions.X = fractions.X * 0.5
    with pytest.raises(InputError, match="models counts"):
        fit(fractions)
    with pytest.raises(InputError, match="no option 'ranks'"):
        BoltzmannOptions.from_dict({"ranks": 3})
    with pytest.raises(InputError, match="rank must be > 0, not 0"):
        BoltzmannOptions(rank=0)


def test_the_gaussian_twin_is_conditioned_alike(screen, tmp_path):
    train, test, _share = screen
    base = test[(test.obs["target_gene"] == "non-targeting").to_numpy()]
    twin = fit(train, options=BoltzmannOptions(latent="gaussian", n_hidden=32, epochs=20), seed=0)
    twin.save(tmp_path)
    again = BoltzmannPerturbation.load(tmp_path)
    for how in ("generate", "transport"):
        one, two = (m.predict({"P0": 30}, base, n_control=1, seed=0, how=how) for m in (twin, again))
        np.testing.assert_array_equal(one.X.toarray(), two.X.toarray())
        assert one.obsm["X_latent"].shape == (31, 10)
    with pytest.raises(InputError, match="a Gaussian latent has none"):
        twin.predict({"P0": 3}, base, clamp={0: 1})


def test_slopes_of_the_twin_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    features, condition = np.vstack([np.zeros(2), np.eye(2)]), np.repeat([0, 1, 2], 400)
    z = rng.normal(size=(1200, 3)) @ np.diag([1, 2, 0.5]) + np.array([[0, 0, 0], [1, 0, 0], [0, 3, 1]])[condition]
    found = fit_gaussian(z, condition, features)
    expected = np.stack([z[condition == k].mean(0) - z[condition == 0].mean(0) for k in (1, 2)], 1)
    np.testing.assert_allclose(found.slopes, expected, rtol=0.01)
    np.testing.assert_allclose(np.diag(found.covariance), [1, 4, 0.25], rtol=0.15)


def test_vectors_of_combinations_are_sums_of_their_parts():
    rng = np.random.default_rng(0)
    table = Features(tuple(f"P{i}" for i in range(9)), rng.normal(size=(9, 5)).astype(np.float32), "file")
    conditions = reduced(table, [*table.names, "control"], "control")
    rows = conditions.rows(["P0", "P3", "P0+P3", "control"])
    np.testing.assert_allclose(rows[2], rows[0] + rows[1], atol=1e-6)
    assert rows[0, 0] == 1 and rows[2, 0] == 2 and not rows[3].any()
