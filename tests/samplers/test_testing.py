"""Every local sampler passes the conformance kit; samplers with a fault are caught by the check that is meant for it."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import samplers
from samplers import testing
from samplers.errors import BadAnswerError

LOCAL = ("exact", "gibbs", "persistent", "population-annealing", "parallel-tempering")


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", LOCAL)
def test_local_samplers_conform(name, check):
    check(functools.partial(samplers.get, name))


def test_conformance_runs_every_check():
    testing.conformance(functools.partial(samplers.get, "exact"))


class _Exactly(samplers.Sampler):
    """Right, but for what a subclass breaks."""

    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        return samplers.get("exact").draw(problem, num_reads, beta, seed=seed)


class _Colder(_Exactly):
    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        return samplers.get("exact").draw(problem, num_reads, 1.15 * beta, seed=seed).states


class _Unseeded(_Exactly):
    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        return samplers.get("exact").draw(problem, num_reads, beta)


class _Twins(_Exactly):
    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        draws = samplers.get("exact" if problem.n < 20 else "gibbs").draw(problem, -(-num_reads // 2), beta, seed=seed)
        return np.repeat(draws.states, 2, axis=0)[:num_reads]


class _Leaky(_Exactly):
    def draw(self, problem, num_reads=1, beta=1.0, *, clamped=None, seed=None):
        return samplers.get("exact").draw(problem, num_reads, beta, seed=seed)


class _Shared(_Exactly):
    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        kept = self.__dict__.setdefault("_kept", {})
        if (problem.n, num_reads) not in kept:
            kept[problem.n, num_reads] = samplers.get("exact").draw(problem, num_reads, beta, seed=seed).states
        return kept[problem.n, num_reads]


class _Miscounted(_Exactly):
    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        draws = samplers.get("exact").draw(problem, num_reads, beta, seed=seed)
        return samplers.Draws(draws.states, energies=draws.energies + 1.0)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (_Colder, testing.check_moments),
        (_Colder, testing.check_beta),
        (_Unseeded, testing.check_seed),
        (_Twins, testing.check_seed),
        (_Leaky, testing.check_clamped),
        (_Shared, testing.check_draws),
    ],
)
def test_faults_are_caught(broken, check):
    with pytest.raises(AssertionError):
        check(broken)


def test_energies_of_other_states_are_refused():
    with pytest.raises(BadAnswerError, match="energy of another state"):
        testing.check_draws(_Miscounted)


def test_a_small_sampler_conforms():
    testing.conformance(_Exactly)
