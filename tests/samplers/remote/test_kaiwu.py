from __future__ import annotations

import sys

import dimod.testing
import numpy as np
import pytest
from vendor_fakes import FakeSdk

from samplers import InputError, Ising
from samplers.errors import BadAnswerError, RemoteError
from samplers.remote.kaiwu import Kaiwu, with_ancilla


@pytest.fixture
def sdk(monkeypatch):
    fake = FakeSdk(beta=0.01)
    monkeypatch.setitem(sys.modules, "kaiwu", fake)
    monkeypatch.setenv("KAIWU_USER_ID", "1234567")
    monkeypatch.setenv("KAIWU_SDK_CODE", "code-tell-nobody")
    return fake


def random_problem(n: int, seed: int, scale: float = 0.4) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=n) * scale, np.triu(rng.normal(size=(n, n)) * scale, 1), offset=2.0)


def test_the_matrix_is_the_energy_with_an_ancilla():
    problem = random_problem(6, 0)
    states = np.random.default_rng(1).choice([-1, 1], (50, 6))
    full = np.concatenate([states, np.ones((50, 1))], axis=1)
    values = -np.einsum("ki,ij,kj->k", full, with_ancilla(problem, 0.7), full)
    np.testing.assert_allclose(values, 2 * 0.7 * (problem.energies(states) - 2.0))


def test_reads_follow_the_problem_at_the_machines_temperature(sdk):
    problem = random_problem(5, 1)
    # -s' M s is twice the energy: the machine's beta counts double
    draws = Kaiwu("test", machine_beta=2 * sdk.beta, bits=8, max_reads=2000).draw(problem, 20_000, beta=0.9, seed=0)
    states = 1 - 2 * ((np.arange(32)[:, None] >> np.arange(5)) & 1)
    weights = np.exp(-0.9 * problem.energies(states))
    counts = np.bincount(((1 - draws.states.astype(int)) // 2) @ (2 ** np.arange(5)), minlength=32) / 20_000
    # .013 from 20,000 reads, the rest from coefficients of 8 bits
    assert 0.5 * np.abs(counts - weights / weights.sum()).sum() < 0.03
    assert (
        len(sdk.tasks) == 10 and len({name for name, *_ in sdk.tasks}) == 10 and draws.info["gain"] == pytest.approx(50)
    )
    assert draws.info["clip"]["clipped"] == 0 and sdk.common.CheckpointManager.save_dir is None


def test_fewer_reads_than_a_call_gives_are_chosen_at_random_not_from_the_coldest(sdk):
    problem = Ising(np.full(4, 0.3), {})
    sampler = Kaiwu(machine_beta=0.02)
    mean = np.mean([sampler.draw(problem, 2, seed=seed).states.mean() for seed in range(300)])
    # the first two of ten sorted reads would have a mean of about -0.7
    assert abs(mean - -np.tanh(0.3)) < 0.08


def test_the_gain_follows_the_problem_and_stays_when_it_can(sdk):
    sampler = Kaiwu()
    gains = [
        sampler.draw(random_problem(4, 2, scale), 10).info["gain"] for scale in (1e-4, 2e-4, 5e-4, 0.05, 0.06, 3.0)
    ]
    assert gains[0] == gains[1] and gains[3] == gains[4] and len(set(gains)) >= 3
    assert all(16 <= np.abs(matrix).max() <= 127 for matrix in sdk.matrices)
    assert all(float(np.log2(gain)).is_integer() for gain in gains)
    assert sampler.draw(Ising(np.zeros(4), {}), 10).info["gain"] == gains[-1]


def test_what_is_cut_at_a_fixed_gain_is_reported(sdk):
    draws = Kaiwu(machine_beta=0.01).draw(Ising(np.array([0.1, 0.1]), {(0, 1): 5.0}), 10)
    assert draws.info["clip"]["clipped"] == pytest.approx(1 / 3) and np.abs(sdk.matrices[0]).max() == 127


def test_a_problem_that_does_not_fit_is_told_what_would(sdk):
    with pytest.raises(
        InputError, match="12 spins and 1 ancilla does not fit 'CPQC-550', which takes 12: at most 11 spins"
    ):
        Kaiwu().draw(Ising(np.zeros(12), {}), 10)
    with pytest.raises(InputError, match="which takes 5"):
        Kaiwu(max_spins=5).draw(Ising(np.zeros(5), {}), 10)
    assert Kaiwu("CPQC-550").machine.max_spins == 550 and Kaiwu("mine").machine.max_spins is None


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda s: s[:, :-1], BadAnswerError),
        (lambda s: s[:-1], BadAnswerError),
        (lambda s: s * 0, BadAnswerError),
        (lambda s: s * np.nan, BadAnswerError),
        (lambda s: None, RemoteError),
        (lambda s: 1 / 0, RemoteError),
    ],
)
def test_wrong_answers_are_refused(sdk, spoil, error):
    sdk.spoil = spoil
    with pytest.raises(error, match="CPQC-550"):
        Kaiwu().draw(random_problem(4, 0), 10)


def test_credentials_come_from_the_environment_and_stay_there(sdk, monkeypatch):
    sampler = Kaiwu()
    draws = sampler.draw(random_problem(4, 0), 10)
    assert sdk.logins == [("1234567", "code-tell-nobody")]
    assert "tell-nobody" not in repr(vars(sampler)) + repr(draws.info) + repr(sampler.properties)
    monkeypatch.setenv("KAIWU_SDK_CODE", "expired-code")
    with pytest.raises(RemoteError, match=r"code \*\*\* of user \*\*\* has expired"):
        Kaiwu().draw(random_problem(4, 0), 10)
    monkeypatch.delenv("KAIWU_SDK_CODE")
    with pytest.raises(InputError, match="set the environment variable KAIWU_SDK_CODE"):
        Kaiwu().draw(random_problem(4, 0), 10)


def test_without_the_sdk_the_cure_is_named(sdk, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaiwu", None)
    with pytest.raises(InputError, match="install QBoson's Kaiwu SDK"):
        Kaiwu().draw(random_problem(4, 0), 10)


def test_it_is_a_dimod_sampler(sdk):
    sampler = Kaiwu(machine_beta=0.02)
    dimod.testing.assert_sampler_api(sampler)
    answer = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=12, clamped={"a": 1}, seed=0)
    dimod.testing.assert_response_energies(answer, dimod.BQM.from_ising({"a": 0.5}, {("a", "b"): -1.0}))
    assert (answer.samples()[0]["a"], len(answer)) == (1, 12)
    assert sampler.properties["bits"] == 8 and sampler.properties["h_range"][1] == pytest.approx(2.54)
