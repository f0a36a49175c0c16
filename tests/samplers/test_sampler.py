"""The contract: what the base class does for a backend that writes one method."""

from __future__ import annotations

import dimod
import numpy as np
import pytest

import samplers
from samplers import Draws, InputError, Ising, Sampler
from samplers.errors import BadAnswerError


class Coins(Sampler):
    """Fair coins, whatever the problem."""

    kind = "optimiser"

    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        return np.random.default_rng(seed).choice([-1, 1], size=(num_reads, problem.n))


PROBLEM = Ising([0.5, -0.25, 0.0], {(0, 1): 1.0, (1, 2): -0.5}, offset=0.75)


def test_states_alone_are_completed():
    draws = Coins().draw(PROBLEM, 8, seed=0)
    assert draws.states.dtype == np.int8 and draws.states.shape == (8, 3)
    np.testing.assert_allclose(draws.energies, PROBLEM.energies(draws.states))
    assert draws.beta == 1.0 and draws.log_weights is None
    assert draws.info["kind"] == "optimiser" and draws.info["timing"]["total"] >= 0


def test_clamped_spins_are_conditioned_away():
    draws = Coins().draw(PROBLEM, 20, clamped={1: -1}, seed=0)
    assert (draws.states[:, 1] == -1).all()
    np.testing.assert_allclose(draws.energies, PROBLEM.energies(draws.states))
    assert (Coins().draw(PROBLEM, 2, clamped={0: 1, 1: 1, 2: -1}).states == [1, 1, -1]).all()


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_every_sampler_is_a_dimod_sampler(vartype):
    bqm = dimod.BinaryQuadraticModel({"x": 1.0, "y": 0.0}, {("x", "y"): -2.0}, 0.5, "SPIN")
    answer = samplers.get("exact").sample(bqm.change_vartype(vartype, inplace=False), num_reads=50, seed=1)
    assert answer.vartype.name == vartype and len(answer) == 50
    np.testing.assert_allclose(answer.record.energy, bqm.change_vartype(vartype, inplace=False).energies(answer))
    clamped = samplers.get("exact").sample(bqm, num_reads=9, clamped={"y": 1})
    assert (clamped.record.sample[:, clamped.variables.index("y")] == 1).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_reads": 0}, {"num_reads": 1.5}, {"num_reads": True}, {"beta": -1}, {"beta": np.nan}, {"beta": "1"},
        {"clamped": {9: 1}}, {"initial_states": np.ones((1, 3))},
    ],
)  # fmt: skip
def test_wrong_requests(wrong):
    with pytest.raises(InputError):
        Coins().draw(PROBLEM, **wrong)


def test_wrong_problem_and_unknown_options():
    with pytest.raises(InputError, match=r"samplers\.Ising"):
        Coins().draw(np.zeros((3, 3)))
    with pytest.raises(InputError, match="num_read"):
        Coins().sample_ising({0: 1.0}, {}, num_read=3)
    with pytest.raises(TypeError):
        Coins().draw(PROBLEM, num_read=3)


@pytest.mark.parametrize("answer", [np.ones((2, 4)), np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones(3)])
def test_wrong_answers_of_a_backend(answer):
    class Wrong(Sampler):
        def draw(self, problem, num_reads=1, beta=1.0):
            return answer

    with pytest.raises(BadAnswerError, match="Wrong returned") as caught:
        Wrong().draw(PROBLEM, 2)
    assert not isinstance(caught.value, InputError)


def test_weights():
    draws = Draws(np.array([[1, 1], [-1, 1]], dtype=np.int8), np.log([3.0, 1.0]) + 500)
    np.testing.assert_allclose(draws.weights, [0.75, 0.25])
    np.testing.assert_allclose(draws.mean(), [0.5, 1.0])
    np.testing.assert_allclose(draws.second_moments(), [[1, 0.5], [0.5, 1]])
    assert draws.effective_sample_size == pytest.approx(1.6)
    again = draws.resample(8, seed=0)
    assert again.log_weights is None and (again.states[:, 0] == 1).sum() == 6
    assert again.resample() is again


def test_kept_reads_of_any_sampler_have_one_row_each():
    adapted = samplers.from_dimod(dimod.RandomSampler())
    assert adapted.draw(PROBLEM, 17, seed=1).states.shape == (17, 3)
    assert adapted.kind == "optimiser"
