"""The conformance kit on every remote backend: a real server, and the stand-ins of vendors' machines."""

from __future__ import annotations

import sys

import pytest
from vendor_fakes import CompleteGraph, Engine, ExactQpu, FakeSdk

import samplers
from samplers import testing
from samplers.remote.amplify import Amplify
from samplers.remote.dwave import DWave
from samplers.remote.kaiwu import Kaiwu
from samplers.wrappers.replay import Record
from samplers.wrappers.resilience import resilient

CHECKS = pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)


@pytest.fixture(scope="module")
def gibbs(start):
    return start("gibbs", workers=2)


@CHECKS
def test_a_served_sampler(gibbs, check):
    check(gibbs.client)


def test_a_served_sampler_draws_what_it_draws_here(gibbs):
    problem = testing.problems()["bipartite"]
    there = samplers.get("http", url=gibbs.url, token=gibbs.client()._token.reveal()).draw(problem, 64, 0.7, seed=9)
    here = samplers.get("gibbs").draw(problem, 64, 0.7, seed=9)
    assert (there.states == here.states).all()


@CHECKS
def test_wrapped_samplers(check, tmp_path):
    def make():
        chain = resilient("gibbs", timeout=300.0, fallback="exact", ledger=tmp_path / "ledger.jsonl")
        return Record(chain, tmp_path / "record")

    check(make)


@CHECKS
def test_a_qpu(check, tmp_path):
    check(lambda: DWave(qpu=ExactQpu(CompleteGraph(40)), cache_folder=tmp_path))


@CHECKS
def test_a_coherent_ising_machine(check, monkeypatch):
    monkeypatch.setenv("KAIWU_USER_ID", "1234567")
    monkeypatch.setenv("KAIWU_SDK_CODE", "some-code")

    def make():
        monkeypatch.setitem(sys.modules, "kaiwu", FakeSdk(beta=0.01))
        return Kaiwu()

    check(make)


@CHECKS
def test_an_annealing_cloud(check):
    check(lambda: Amplify(client=Engine()))
