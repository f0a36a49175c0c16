"""Samplers that keep something from draw to draw resume bit by bit inside every wrapper, and obey seeds there."""

from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers import InputError, Ising
from samplers.machines.mock import MockMachine
from samplers.wrappers import (
    Ahead,
    Cache,
    Correction,
    Fallback,
    Gauge,
    Ledger,
    Quantise,
    Record,
    Replay,
    Retry,
    TemperatureControl,
    Timeout,
    resilient,
)  # fmt: skip

N = 10


def problem(k: int) -> Ising:
    rng = np.random.default_rng(0)
    return Ising(0.1 * rng.normal(size=N), (1 + 0.02 * k) * np.triu(rng.normal(size=(N, N)) / np.sqrt(N), 1))


class Broken(samplers.Sampler):
    """Fails."""

    def draw(self, problem, num_reads=1, beta=1.0):
        raise ConnectionError("no line")


WRAPPERS = {
    "ahead": lambda child, folder: Ahead(child),
    "cache": lambda child, folder: Cache(child),
    "correction": lambda child, folder: Correction(child, 1),
    "fallback": lambda child, folder: Fallback(child, "exact"),
    "ledger": lambda child, folder: Ledger(child, folder / "ledger.jsonl"),
    "quantise": lambda child, folder: Quantise(child, 12),
    "record": lambda child, folder: Record(child, folder / "record"),
    "resilient": lambda child, folder: resilient(child, timeout=300.0, ledger=folder / "ledger.jsonl"),
    "retry": lambda child, folder: Retry(child),
    "temperature control": lambda child, folder: TemperatureControl(child),
    "timeout": lambda child, folder: Timeout(child, 300.0),
    "nested": lambda child, folder: Correction(TemperatureControl(Retry(child)), 1),
}
ALL = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


def follow(sampler: samplers.Sampler, rng: np.random.Generator, steps: range) -> list[samplers.Draws]:
    return [sampler.draw(problem(k), 100, seed=rng) for k in steps]


@ALL
def test_chains_inside_a_wrapper_resume_bit_by_bit(wrap, tmp_path):
    sampler, rng = wrap(samplers.get("persistent"), tmp_path / "a"), np.random.default_rng(1)
    follow(sampler, rng, range(6))
    state, stream = sampler.state_dict(), rng.bit_generator.state
    expected = follow(sampler, rng, range(6, 9))
    resumed, rng = wrap(samplers.get("persistent"), tmp_path / "b"), np.random.default_rng(7)
    resumed.load_state_dict(state)
    rng.bit_generator.state = stream
    for one, two in zip(expected, follow(resumed, rng, range(6, 9)), strict=True):
        np.testing.assert_array_equal(one.states, two.states)
        np.testing.assert_array_equal(one.weights, two.weights)


@ALL
def test_a_generator_goes_on_inside_a_wrapper(wrap, tmp_path):
    draws = follow(wrap(samplers.get("persistent"), tmp_path), np.random.default_rng(1), range(5))
    assert not draws[-1].info["restarted"]


# a cache answers at once, and a temperature control has learnt another scale
@pytest.mark.parametrize("name", sorted(set(WRAPPERS) - {"cache", "nested", "temperature control"}))
def test_an_integer_starts_afresh_inside_a_wrapper(name, tmp_path):
    sampler, fresh = (WRAPPERS[name](samplers.get("persistent"), tmp_path / kind) for kind in "ab")
    follow(sampler, np.random.default_rng(1), range(3))
    far = Ising(np.linspace(-1, 1, N), {})  # no stale reads serve it
    first, other = (s.draw(far, 100, seed=3) for s in (fresh, sampler))
    np.testing.assert_array_equal(first.states, other.states)


def test_what_keeps_nothing_has_an_empty_state():
    for sampler in (samplers.get("gibbs"), Retry("gibbs"), Gauge(Correction("exact")), Timeout("persistent")):
        assert sampler.state_dict() == {}
        sampler.load_state_dict({})
    with pytest.raises(InputError, match="Gibbs keeps nothing"):
        samplers.get("gibbs").load_state_dict({"spins": 1})
    with pytest.raises(InputError, match="Gibbs keeps nothing"):
        Retry("gibbs").load_state_dict(Retry(_started()).state_dict())


def _started() -> samplers.Sampler:
    sampler = samplers.get("persistent")
    sampler.draw(problem(0), 64, seed=0)
    return sampler


def test_the_reserve_resumes_too():
    sampler, rng = Fallback(Broken(), "persistent", pause=1e9), np.random.default_rng(0)
    with pytest.warns(RuntimeWarning, match="no line"):
        follow(sampler, rng, range(3))
    resumed = Fallback(Broken(), "persistent", pause=1e9)
    resumed.load_state_dict(sampler.state_dict())
    two = np.random.default_rng(0)
    two.bit_generator.state = rng.bit_generator.state
    ours = sampler.draw(problem(3), 100, seed=rng)
    assert not ours.info["restarted"]
    with pytest.warns(RuntimeWarning, match="no line"):
        np.testing.assert_array_equal(ours.states, resumed.draw(problem(3), 100, seed=two).states)


def test_scale_and_drift_of_a_machine_resume():
    def make():
        return TemperatureControl(MockMachine(gain=2.0, drift=0.1, engine="gibbs?num_sweeps=10"))

    sampler, rng = make(), np.random.default_rng(0)
    follow(sampler, rng, range(4))
    resumed, two = make(), np.random.default_rng(0)
    resumed.load_state_dict(sampler.state_dict())
    two.bit_generator.state = rng.bit_generator.state
    for one, other in zip(follow(sampler, rng, range(4, 7)), follow(resumed, two, range(4, 7)), strict=True):
        np.testing.assert_array_equal(one.states, other.states)
        assert one.info["scale"] == other.info["scale"] != 1.0


def test_a_replay_resumes_where_it_was(tmp_path):
    recorder = Record("gibbs?num_sweeps=2", tmp_path)
    recorded = [recorder.draw(problem(0), 20, seed=None).states for _ in range(4)]
    player = Replay(tmp_path)
    player.draw(problem(0), 20), player.draw(problem(0), 20)
    resumed = Replay(tmp_path)
    resumed.load_state_dict(player.state_dict())
    np.testing.assert_array_equal(resumed.draw(problem(0), 20).states, recorded[2])


def test_a_resumed_recording_takes_the_place_of_what_was_lost(tmp_path):
    recorder = Record("gibbs?num_sweeps=2", tmp_path)
    recorder.draw(problem(0), 20)
    state = recorder.state_dict()
    recorder.draw(problem(0), 20)  # after the checkpoint: this step will be done again
    resumed = Record("gibbs?num_sweeps=2", tmp_path)
    resumed.load_state_dict(state)
    again = resumed.draw(problem(0), 20).states
    player = Replay(tmp_path)
    player.draw(problem(0), 20)
    np.testing.assert_array_equal(player.draw(problem(0), 20).states, again)
    with pytest.raises(InputError, match="2 draws of this request"):
        player.draw(problem(0), 20)


def test_answers_in_memory_resume():
    cache = Cache("gibbs?num_sweeps=2")
    first = cache.draw(problem(0), 20)
    resumed = Cache("gibbs?num_sweeps=2")
    resumed.load_state_dict(cache.state_dict())
    again = resumed.draw(problem(0), 20)
    assert again.info["cached"]
    np.testing.assert_array_equal(first.states, again.states)
    np.testing.assert_array_equal(first.energies, again.energies)
