"""Distribution scores against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.perturbation.distribution import (
    SCORES,
    compare,
    correlation_error,
    energy_distance,
    fixed_space,
    frechet,
    mmd,
    responders,
)
from experiments.perturbation.distribution_table import CEILING, distribution_scores, summary, verdict
from samplers.errors import InputError

RNG = np.random.default_rng(0)


def test_frechet_distance_of_known_normal_distributions():
    x, y = RNG.normal(size=(40000, 3)) * [1, 2, 3], RNG.normal(size=(40000, 3)) * [2, 2, 1] + [1, 0, 0]
    # |m - m'|^2 + sum (s - s')^2 for axes in common
    assert frechet(x, y) == pytest.approx(1 + 1 + 0 + 4, rel=0.03)


def test_energy_distance_and_mmd_have_their_known_values_in_one_dimension():
    x, y = RNG.normal(size=(3000, 1)), RNG.normal(size=(3000, 1)) + 1
    same = RNG.normal(size=(3000, 1))
    # E|N(d, 2)| - E|N(0, 2)|, twice
    from scipy.stats import norm

    def expected(d):
        return 2 / np.sqrt(np.pi) * np.exp(-d * d / 4) + d * (1 - 2 * norm.cdf(-d / np.sqrt(2)))

    assert energy_distance(x, y) == pytest.approx(2 * (expected(1.0) - expected(0.0)), rel=0.12)
    assert abs(energy_distance(x, same)) < 0.01
    # a Gaussian kernel of squared width w integrates in closed form: E exp(-(x-y)^2/w) with x-y ~ N(d, 2)
    w = 2.0
    kernel = lambda d: np.sqrt(w / (w + 4)) * np.exp(-d * d / (w + 4))  # noqa: E731
    assert mmd(x, y, w) == pytest.approx(2 * kernel(0) - 2 * kernel(1), rel=0.12)
    assert abs(mmd(x, same, w)) < 0.004


def test_correlations_and_responders():
    x = RNG.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 20000)
    y = RNG.normal(size=(20000, 2))
    assert correlation_error(x, y) == pytest.approx(0.8, abs=0.02)
    assert correlation_error(np.hstack([x, np.zeros((len(x), 1))]), np.hstack([x, np.ones((len(x), 1))])) == 0
    controls, perturbed = RNG.normal(size=(500, 2)), RNG.normal(size=(500, 2)) + 6
    half = np.vstack([controls[:100], perturbed[:100]])
    assert responders(half, controls, perturbed) == pytest.approx(0.5, abs=0.02)


def screen():
    labels = np.repeat(["control", "A", "B"], [120, 60, 60])
    x = np.abs(RNG.normal(size=(240, 12)))
    x[labels != "control", :3] += 2
    return x, labels


def test_a_perfect_predictor_is_at_the_ceiling_and_no_change_is_not():
    x, labels = screen()
    predictors = {
        "same": lambda name, n: x[labels == name][:n] if name == "A" else x[labels == name][-n:],
        "no change": lambda name, n: x[labels == "control"][:n],
    }
    table = distribution_scores(predictors, x, labels, "control")
    assert set(table["predictor"]) == {CEILING, "same", "no change"} and set(SCORES) <= set(table.columns)
    found = summary(table).set_index("predictor")
    assert found.loc["no change", "mmd"] > 10 * abs(found.loc["same", "mmd"])
    assert found.loc["no change", "two_sample"] > 0.9
    assert any("(MMD) against no change" in line and line.endswith("better") for line in verdict(table, "same"))
    assert any("(MMD) against same" in line and line.endswith("worse") for line in verdict(table, "no change"))


def test_scores_do_not_depend_on_other_predictors():
    x, labels = screen()
    space = fixed_space(x)
    one = compare(x[labels == "A"], x[labels == "B"], space, x[labels == "control"], x[labels == "A"])
    again = compare(x[labels == "A"], x[labels == "B"], space, x[labels == "control"], x[labels == "A"])
    assert one == again


def test_too_few_cells_are_named():
    x, labels = screen()
    with pytest.raises(InputError, match="20 test cells or more"):
        distribution_scores({}, x[:130], labels[:130], "control")
    with pytest.raises(InputError, match="without control cells"):
        distribution_scores({}, x[120:], labels[120:], "control")
