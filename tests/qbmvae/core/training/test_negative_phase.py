from __future__ import annotations

import pytest

import samplers
from qbmvae.core.priors import BoltzmannPrior
from qbmvae.core.priors.topology import dense
from qbmvae.core.training import negative_phase
from qbmvae.core.training.negative_phase import NegativePhase


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize("seconds", [0.001, 0.3, 9.0])
def test_a_slow_sampler_says_how_long_an_epoch_takes(monkeypatch, capsys, remote, seconds):
    now = [0.0]

    class Slow(samplers.get("exact").__class__):
        def _draw(self, request):
            now[0] += seconds
            return super()._draw(request)

    sampler = Slow()
    sampler.name, sampler.remote = "slow", remote
    monkeypatch.setattr(negative_phase.time, "perf_counter", lambda: now[0])
    phase, prior = NegativePhase(sampler, 4, 0), BoltzmannPrior(3, dense(3))
    phase.announce(100)
    said = []
    for _ in range(3):
        phase.draw(prior)
        said.append(capsys.readouterr().err)
    # a local sampler may have compiled in its first draw
    first = 0 if remote else 1
    if seconds == 0.001:
        assert not any(said)
        return
    assert [bool(s) for s in said] == [i == first for i in range(3)]
    minutes = f"{seconds * 100 / 60:.1f} min an epoch of 100 steps"
    assert minutes in said[first] and "'slow'" in said[first]
    assert ("batch_size" in said[first]) == (seconds == 9.0)


def test_nothing_is_said_unless_it_was_asked_for(capsys):
    phase = NegativePhase(samplers.get("exact"), 4, 0)
    phase.draw(BoltzmannPrior(3, dense(3)))
    assert capsys.readouterr().err == ""
