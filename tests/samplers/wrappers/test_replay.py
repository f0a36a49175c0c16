from __future__ import annotations

import dimod.testing
import numpy as np
import pytest

from samplers import Draws, InputError, Ising, Sampler
from samplers.wrappers.replay import Record, Replay


class Noise(Sampler):
    """Random spins with weights; another draw each time."""

    name = "noise"
    calls = 0

    def draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, clamped=None, seed=None):
        Noise.calls += 1
        rng = np.random.default_rng(Noise.calls)
        states = rng.choice(np.array([-1, 1], np.int8), (num_reads, problem.n))
        for spin, value in (clamped or {}).items():
            states[:, spin] = value
        return Draws(states, rng.normal(size=num_reads), info={"sweeps": 3})


PROBLEM = Ising(np.linspace(-1, 1, 9), {(0, 1): 0.3})


def requests(sampler):
    rng = np.random.default_rng(7)
    start = np.ones((4, 9), np.int8)
    return [
        sampler.draw(PROBLEM, 4, seed=1),
        sampler.draw(PROBLEM, 4, seed=1),
        sampler.draw(PROBLEM, 4, seed=rng),
        sampler.draw(PROBLEM, 4, seed=rng),
        sampler.draw(PROBLEM, 4, 0.5, clamped={3: 1, 1: -1}),
        sampler.draw(PROBLEM, 4, 0.5, clamped={1: -1, 3: 1}),
        sampler.draw(PROBLEM, 4, initial_states=start),
        sampler.draw(PROBLEM.scaled(2.0), 4),
    ]


def test_a_recorded_run_is_played_again_bit_by_bit(tmp_path):
    recorded = requests(Record(Noise(), tmp_path / "run"))
    calls = Noise.calls
    played = requests(Replay(tmp_path / "run"))
    assert Noise.calls == calls
    for one, two in zip(recorded, played, strict=True):
        assert (one.states == two.states).all() and (one.log_weights == two.log_weights).all()
        assert (one.energies == two.energies).all() and one.beta == two.beta and two.info["sampler"] == "noise"
    assert not list(tmp_path.glob("**/.*"))


def test_a_recording_is_continued(tmp_path):
    first = Record(Noise(), tmp_path).draw(PROBLEM, 3, seed=0)
    second = Record(Noise(), tmp_path).draw(PROBLEM, 3, seed=0)
    player = Replay(tmp_path)
    assert (player.draw(PROBLEM, 3, seed=0).states == first.states).all()
    assert (player.draw(PROBLEM, 3, seed=0).states == second.states).all()
    with pytest.raises(InputError, match="2 draws of this request"):
        player.draw(PROBLEM, 3, seed=0)


def test_what_was_not_recorded_is_named(tmp_path):
    with pytest.raises(InputError, match="no recorded draws"):
        Replay(tmp_path)
    Record(Noise(), tmp_path).draw(PROBLEM, 3, seed=0)
    for other in ({"seed": 1}, {"beta": 2.0}, {"clamped": {0: 1}}, {"num_reads": 4}):
        with pytest.raises(InputError, match="holds 0 draws"):
            Replay(tmp_path).draw(PROBLEM, **{"num_reads": 3, "seed": 0, **other})


def test_a_harmed_file_is_named(tmp_path):
    Record(Noise(), tmp_path).draw(PROBLEM, 3, seed=0)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="checksum"):
        Replay(tmp_path).draw(PROBLEM, 3, seed=0)


def test_they_are_dimod_samplers(tmp_path):
    recorder = Record(Noise(), tmp_path)
    dimod.testing.assert_sampler_api(recorder)
    recorder.sample_ising({"a": 1.0}, {("a", "b"): 1.0}, num_reads=2, seed=4)
    player = Replay(tmp_path)
    dimod.testing.assert_sampler_api(player)
    assert len(player.sample_ising({"a": 1.0}, {("a", "b"): 1.0}, num_reads=2, seed=4)) == 2
