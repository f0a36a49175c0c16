"""Mixtures of ways of making cells, and their shares."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import energy_distance as scipy_energy

from qbmvae.perturbation.boltzmann import BoltzmannOptions, fit
from qbmvae.perturbation.boltzmann.choice import LEAST, Distances, best_shares, distances, energy_distance, validated
from qbmvae.perturbation.boltzmann.mixture import allotted
from qbmvae.perturbation.boltzmann.options import WAYS
from samplers.errors import InputError


def test_the_energy_of_a_mixture_is_that_of_its_cells():
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=1500), [rng.normal(1, 1, 1000), rng.normal(-2, 0.5, 1200)]
    found = distances([x[:, None] for x in made], real[:, None])
    for share in (0.0, 0.3, 1.0):
        weights = np.repeat([share / 1000, (1 - share) / 1200], [1000, 1200])
        expected = scipy_energy(np.concatenate(made), real, weights) ** 2
        # scipy counts each cell's distance 0 to itself: about E|x-x'| / n more
        assert found.energy(np.array([share, 1 - share])) == pytest.approx(expected, abs=0.005)
    assert energy_distance(made[0][:, None], real[:, None]) == pytest.approx(found.energy(np.array([1.0, 0.0])))


@given(st.integers(0, 10_000))
def test_best_shares_are_no_worse_than_any_others(seed):
    rng = np.random.default_rng(seed)
    made = [rng.normal(rng.normal(size=2), 1, (30, 2)) for _ in WAYS]
    found = distances(made, rng.normal(size=(40, 2)))
    shares = best_shares(found)
    assert shares.sum() == pytest.approx(1) and all(s == 0 or s >= LEAST - 1e-9 for s in shares)
    assert found.energy(shares) <= min(found.energy(w) for w in np.eye(len(WAYS))) + 1e-12
    start = np.full(len(WAYS), 1 / len(WAYS))
    free = minimize(
        found.energy, start, bounds=[(0, 1)] * len(WAYS), constraints={"type": "eq", "fun": lambda w: w.sum() - 1}
    )
    if ((free.x >= LEAST) | (free.x < 1e-6)).all():
        assert found.energy(shares) <= free.fun + 1e-6


def test_ways_that_miss_on_either_side_are_mixed():
    # real cells at 0; ways at -1, 1 and 9 without spread
    at = np.array([-1.0, 1.0, 9.0])
    found = Distances(np.abs(at), np.abs(at[:, None] - at), 0.0)
    np.testing.assert_allclose(best_shares(found), [0.5, 0.5, 0])
    np.testing.assert_allclose(best_shares(Distances(np.abs(at - 9), np.abs(at[:, None] - at), 0.0)), [0, 0, 1])


@given(st.integers(0, 500), st.lists(st.floats(0.05, 1), min_size=1, max_size=3))
def test_shares_of_cells_add_up(n, parts):
    shares = {name: part / sum(parts) for name, part in zip(WAYS, parts, strict=False)}
    found = allotted(n, shares)
    assert sum(found.values()) == n
    assert all(abs(found[name] - n * share) < 1 + 1e-6 for name, share in shares.items())


@pytest.fixture(scope="module")
def contexts():
    """Counts of two perturbations in four contexts, each context with a programme of its own."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        [(p, c) for c in "abcd" for p in ("non-targeting", "P0", "P1") for _ in range(60)],
        columns=["target_gene", "line"],
    )
    level = np.exp(rng.normal(0, 1, 40))
    own = {c: np.exp(rng.normal(0, 0.8, 40)) for c in "abcd"}
    rate = level * np.array([own[c] for c in obs["line"]])
    for k, name in enumerate(("P0", "P1")):
        rate[(obs["target_gene"] == name).to_numpy(), 4 * k : 4 * k + 4] *= 4
    obs.index = [f"cell{i}" for i in range(len(obs))]
    return ad.AnnData(rng.poisson(rate).astype(np.float32), obs=obs)


class Exact:
    """A model of one way that is right: controls with the first genes raised; the others hand back controls."""

    def __init__(self, mask, right):
        self.mask, self.right = mask, right

    def log1p(self, adata):
        return np.log1p(adata.X)

    def predict(self, wanted, base, *, n_control, seed, how):
        rng, out = np.random.default_rng(seed), []
        for k, n in enumerate(wanted.values()):
            x = base.X[rng.integers(base.n_obs, size=n)].copy()
            if how == self.right:
                x[:, 4 * k : 4 * k + 4] *= 4
            out.append(x)
        return ad.AnnData(np.concatenate(out))


def test_shares_are_validated_on_contexts_that_no_fit_has_seen(contexts):
    labels, lines = (contexts.obs[key].to_numpy().astype(str) for key in ("target_gene", "line"))
    seen = []

    def refit(mask):
        seen.append(set(lines[mask]))
        return Exact(mask, "shift")

    found = validated(refit, contexts, labels, lines, "non-targeting", 3, seed=0)
    assert found["shares"] == {"shift": 1.0} and found["contexts"] == ["a", "b", "c"]
    assert seen == [set("abcd") - {c} for c in "abc"]
    energy = found["energy"]
    assert energy["mixture"] == energy["shift"] < energy["generate"] / 2
    assert validated(refit, contexts, labels, lines, "non-targeting", 0, seed=0) == {}
    # b holds controls alone and c none: without a nothing could be fitted
    odd = np.where(labels == "non-targeting", "b", "c")
    odd[:240] = "a"
    assert validated(refit, contexts, labels, odd, "non-targeting", 3, seed=0) == {}
    # one context alone: nothing can be left out
    assert validated(refit, contexts, labels, np.full(len(lines), "a"), "non-targeting", 3, seed=0) == {}


def test_a_fit_with_contexts_validates_and_mixes(contexts, tmp_path):
    options = BoltzmannOptions(n_latent=8, n_hidden=16, epochs=4, steps=60, folds=2)
    model = fit(contexts, options=options, context_key="line", seed=0)
    notes = model.notes["how"]
    assert notes["contexts"] == ["a", "b"] and sum(notes["shares"].values()) == pytest.approx(1)
    assert (
        model.options.how == notes["chosen"] == ("mixture" if len(notes["shares"]) > 1 else next(iter(notes["shares"])))
    )
    assert notes["energy"]["mixture"] == min(notes["energy"].values())
    half = fit(
        contexts,
        options=BoltzmannOptions(n_latent=8, n_hidden=16, epochs=4, steps=60, shares={"generate": 0.25, "shift": 0.75}),
        seed=0,
    )
    assert half.options.how == "mixture"
    half.save(tmp_path)
    base = contexts[:60]
    made = type(half).load(tmp_path).predict({"P0": 40, "P1": 8}, base, n_control=5, seed=1)
    np.testing.assert_array_equal(
        made.X.toarray(), half.predict({"P0": 40, "P1": 8}, base, n_control=5, seed=1).X.toarray()
    )
    assert made.obs["target_gene"].tolist() == ["P0"] * 40 + ["P1"] * 8 + ["non-targeting"] * 5
    assert made.obs_names.is_unique and made.var_names.tolist() == contexts.var_names.tolist()
    with pytest.raises(InputError, match="no shares for a mixture"):
        fit(contexts, options=BoltzmannOptions(n_latent=8, n_hidden=16, epochs=1, steps=9, how="shift")).predict(
            {"P0": 3}, base, how="mixture"
        )


def test_shares_are_checked():
    with pytest.raises(InputError, match="add up to 1, not 0.7"):
        BoltzmannOptions(shares={"generate": 0.3, "shift": 0.4})
    with pytest.raises(InputError, match="'shfit'; nearest: 'shift'"):
        BoltzmannOptions(shares={"shfit": 1.0})
    with pytest.raises(InputError, match="share of 'shift' must be between 0 and 1, not 2"):
        BoltzmannOptions(shares={"shift": 2, "generate": -1})
    with pytest.raises(InputError, match="shares must be"):
        BoltzmannOptions(shares=[0.5, 0.5])
    with pytest.raises(InputError, match="wants shares"):
        BoltzmannOptions(how="mixture")
