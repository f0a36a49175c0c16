from __future__ import annotations

import numpy as np
import pytest

from samplers import Draws, Ising
from samplers.errors import BadAnswerError
from samplers.remote.answers import check_answer

PROBLEM = Ising(np.linspace(-0.5, 0.5, 12), np.triu(np.full((12, 12), 0.05), 1))
RNG = np.random.default_rng(0)
STATES = RNG.choice(np.array([-1, 1], np.int8), (40, 12))


def test_a_right_answer_is_returned():
    draws = Draws(STATES, np.zeros(40), PROBLEM.energies(STATES))
    assert check_answer(draws, PROBLEM, 40, 1.0) is draws


@pytest.mark.parametrize(
    ("draws", "named"),
    [
        (Draws(STATES[:, :-1]), "12 spins"),
        (Draws(STATES[0]), "12 spins"),
        (Draws(STATES[:39]), "39 reads"),
        (Draws(np.where(STATES == 1, 0, STATES)), "not -1 or \\+1"),
        (Draws(np.where(np.eye(40, 12), np.nan, STATES)), "nan for spin 0 of read 0"),
        (Draws(STATES, np.full(40, np.nan)), "weights"),
        (Draws(STATES, np.full(40, -np.inf)), "weights"),
        (Draws(STATES, np.zeros(39)), "weights"),
        (Draws(STATES, None, np.full(40, np.nan)), "energies"),
        (Draws(STATES, None, PROBLEM.energies(STATES[::-1])), "energy of another"),
        (Draws(np.repeat(STATES[:1], 40, axis=0)), "duplicated"),
        (Draws(np.tile(STATES[:20], (2, 1))), "20 different reads among 40"),
    ],
)
def test_wrong_answers_are_refused_by_name(draws, named):
    with pytest.raises(BadAnswerError, match=named):
        check_answer(draws, PROBLEM, 40, 1.0)


def test_moved_clamped_spins_are_refused():
    with pytest.raises(BadAnswerError, match="clamped spin 3"):
        check_answer(Draws(STATES), PROBLEM, 40, 1.0, clamped={3: 1})


def test_one_weight_of_zero_is_allowed():
    weights = np.zeros(40)
    weights[3] = -np.inf
    check_answer(Draws(STATES, weights), PROBLEM, 40, 1.0)


def test_repeats_that_the_energies_explain_are_believed():
    strong = Ising(np.full(12, -3.0), {})
    check_answer(Draws(np.ones((40, 12), np.int8)), strong, 40, 1.0)
    # an optimiser's reads may all be the ground state
    check_answer(Draws(np.repeat(STATES[:1], 40, axis=0)), PROBLEM, 40, 1.0, independent=False)


@pytest.mark.parametrize("g", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_exact_samples_are_never_taken_for_duplicates(g):
    states = 1 - 2 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        problem = Ising(g * rng.normal(size=8), np.triu(g * rng.normal(size=(8, 8)), 1))
        weights = np.exp(-problem.energies(states) + problem.energies(states).min())
        for reads in (16, 100, 5000):
            rows = rng.choice(256, reads, p=weights / weights.sum())
            check_answer(Draws(states[rows]), problem, reads, 1.0)
