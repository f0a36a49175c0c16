"""Backends by name."""

from __future__ import annotations

import dimod
import numpy as np
import pytest

import samplers
from samplers import InputError, Ising, Sampler, registry

CONTRACT = [
    "exact", "gibbs", "persistent", "population-annealing", "parallel-tempering", "simulated-annealing",
    "path-integral-annealing", "coherent-ising", "simulated-bifurcation", "dwave", "kaiwu", "amplify", "http",
]  # fmt: skip


class Mine(Sampler):
    """A third party's."""

    def __init__(self, *, strength: float = 1.0):
        self.strength = strength

    def draw(self, problem, num_reads=1, beta=1.0):
        return np.ones((num_reads, problem.n))


def test_everything_is_listed():
    listed = samplers.available()
    assert set(CONTRACT) <= set(listed)
    for backend in listed.values():
        assert backend.description and backend.kind in ("sampler", "optimiser") and isinstance(backend.remote, bool)
        assert backend.usable or backend.why_not


def test_options_come_from_the_name_or_as_arguments():
    assert samplers.get("gibbs?num_sweeps=7").num_sweeps == 7
    assert samplers.get("gibbs?num-sweeps=7", num_sweeps=9).num_sweeps == 9
    sampler = samplers.get("gibbs")
    assert samplers.get(sampler) is sampler
    assert isinstance(samplers.get(dimod.ExactSolver()), Sampler)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gibs", {}, "there are exact, gibbs"),
        ("gibbs", {"sweeps": 3}, "num_sweeps"),
        ("gibbs?nonsense=1", {}, "nonsense"),
    ],
)
def test_unknown_names_and_options(name, options, words):
    with pytest.raises(InputError, match=words):
        samplers.get(name, **options)


def test_register(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    samplers.register("mine", Mine)
    assert samplers.get("mine", strength=2.0).strength == 2.0
    assert samplers.available()["mine"].description == "A third party's."
    assert (samplers.get("mine?strength=3").draw(Ising([0.0], {}), 4).states == 1).all()
    with pytest.raises(InputError, match="built-in"):
        samplers.register("gibbs", Mine)
    with pytest.raises(InputError, match="callable"):
        samplers.register("other", 3)
    with pytest.raises(InputError, match="already made"):
        samplers.get(Mine(), strength=2)


def test_entry_points(monkeypatch):
    class Point:
        def load(self):
            return Mine

    class Broken:
        def load(self):
            raise ImportError("no such library")

    monkeypatch.setattr(registry, "_entry_points", lambda: {"theirs": Point(), "broken": Broken()})
    assert isinstance(samplers.get("theirs"), Mine)
    listed = samplers.available()
    assert listed["theirs"].usable and not listed["broken"].usable and "no such library" in listed["broken"].why_not


def test_the_listing_says_what_the_samplers_say_of_themselves():
    for name, listed in samplers.available().items():
        if listed.usable and not listed.remote:
            assert samplers.get(name).kind == listed.kind, name


def test_a_machine_without_its_token_is_not_usable_and_says_which(monkeypatch):
    variables = ("DWAVE_API_TOKEN", "KAIWU_USER_ID", "KAIWU_SDK_CODE", "AMPLIFY_TOKEN")
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)
    listed = samplers.available()
    for name, variable in zip(("dwave", "kaiwu", "kaiwu", "amplify"), variables, strict=True):
        assert not listed[name].usable and f"set {variable}" in listed[name].why_not
    monkeypatch.setenv("DWAVE_API_TOKEN", "some-token")
    assert "DWAVE_API_TOKEN" not in samplers.available()["dwave"].why_not
