from __future__ import annotations

from datetime import timedelta

import amplify
import dimod.testing
import numpy as np
import pytest
from vendor_fakes import Engine

from samplers import InputError, Ising
from samplers.errors import BadAnswerError, RemoteError
from samplers.remote.amplify import Amplify


def random_problem(n: int, seed: int) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1), offset=1.0)


def test_the_lowest_energies_come_back_in_our_order():
    problem, engine = random_problem(7, 0), Engine()
    draws = Amplify(client=engine).draw(problem, 3, beta=2.0, seed=0)
    states = 1 - 2 * ((np.arange(128)[:, None] >> np.arange(7)) & 1)
    np.testing.assert_allclose(np.sort(draws.energies), np.sort(problem.energies(states))[:3])
    assert engine.calls == 1 and draws.info["kind"] == "optimiser" and draws.info["timing"]["machine"] == 0.25


def test_too_few_answers_are_repeated_and_counted():
    engine = Engine()
    draws = Amplify(client=engine, max_calls=2).draw(random_problem(5, 1), 40, seed=0)
    assert len(draws) == 40 and engine.calls == 2
    assert draws.info["answers"] == 6 and draws.info["distinct_answers"] == 3


def test_spins_without_energy_are_free_and_clamped_ones_hold():
    problem = Ising(np.array([0.0, -1.0, 0.0, 0.5]), {(1, 3): 0.2})
    draws = Amplify(client=Engine()).draw(problem, 200, seed=0)
    assert abs(draws.mean()[[0, 2]]).max() < 0.3
    assert (Amplify(client=Engine()).draw(problem, 5, clamped={1: -1}).states[:, 1] == -1).all()
    assert abs(Amplify(client=Engine()).draw(problem, 400, beta=0.0, seed=0).mean()).max() < 0.25
    assert len(Amplify(client=Engine()).draw(Ising(np.zeros(3), {}), 4)) == 4


def test_a_problem_that_does_not_fit_is_told_what_would():
    with pytest.raises(InputError, match="5 spins does not fit 'Amplify AE', which takes 4: at most 4 spins fit"):
        Amplify(client=Engine(), max_spins=4).draw(random_problem(5, 0))


@pytest.mark.filterwarnings("ignore:Substituting variable")
@pytest.mark.parametrize(
    ("spoil", "error"), [(lambda s: s * 0, BadAnswerError), (lambda s: s[:0], BadAnswerError), (lambda s: 1 / 0, RemoteError)]
)  # fmt: skip
def test_wrong_answers_are_refused(spoil, error):
    with pytest.raises(error, match="Amplify AE"):
        Amplify(client=Engine(spoil)).draw(random_problem(4, 0), 10)


def test_the_token_comes_from_the_environment_and_stays_there(monkeypatch):
    monkeypatch.delenv("AMPLIFY_TOKEN", raising=False)
    with pytest.raises(InputError, match="set the environment variable AMPLIFY_TOKEN"):
        Amplify().draw(random_problem(3, 0))
    monkeypatch.setenv("AMPLIFY_TOKEN", "AE-tell-nobody")
    sampler = Amplify(seconds=0.5)
    client = sampler._connected()
    assert client.token == "AE-tell-nobody" and client.parameters.time_limit_ms == timedelta(seconds=0.5)
    assert "tell-nobody" not in repr(sampler) + repr(sampler.properties)

    def refuse(text):
        def solve(*_, **__):
            raise RuntimeError(text)

        return solve

    monkeypatch.setattr(amplify, "solve", refuse("401 Unauthorized: AE-tell-nobody"))
    with pytest.raises(InputError, match="refuses the token: set AMPLIFY_TOKEN"):
        sampler.draw(random_problem(3, 0))
    monkeypatch.setattr(amplify, "solve", refuse("cannot reach it with AE-tell-nobody"))
    with pytest.raises(RemoteError, match=r"with \*\*\*"):
        sampler.draw(random_problem(3, 0))


def test_it_is_a_dimod_sampler():
    sampler = Amplify(client=Engine())
    dimod.testing.assert_sampler_api(sampler)
    answer = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=4, seed=0)
    dimod.testing.assert_response_energies(answer, dimod.BQM.from_ising({"a": 0.5}, {("a", "b"): -1.0}))
