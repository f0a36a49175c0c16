from __future__ import annotations

import pytest

from qbmvae.core.training.verdict import judge


def history(costs, active=20, ess=500.0):
    epochs = range(len(costs))
    return {
        "train_loss_epoch": [(e, 0.0) for e in epochs],
        "elbo_validation": list(enumerate(costs)),
        "active_bits": [(e, active) for e in epochs],
        "sampler_ess": [(e, ess) for e in epochs],
    }


def verdict(costs, kept=False, max_epochs=None, **options):
    curves = history(costs, **options)
    return judge(curves, n_latent=32, num_chains=512, kept=kept, max_epochs=max_epochs or len(costs))


def test_an_overfitted_training_is_told_so():
    found = verdict([300.0, 200.0, 250.0, 400.0])
    assert (found.best_epoch, found.best_elbo, found.elbo) == (2, -200.0, -400.0)
    text = str(found)
    assert "best at epoch 2: -200.0 nats a cell, -400.0 at the end" in text
    assert "keep_best=True" in text and "20 of 32" in text and "98%" in text
    assert "\n" not in text


def test_kept_weights_are_not_complained_of():
    found = verdict([300.0, 200.0, 250.0, 400.0], kept=True)
    assert found.kept and found.advice == ()
    assert "epoch 2 (kept)" in str(found)


@pytest.mark.parametrize(("asked", "told"), [(40, True), (400, False)])
def test_a_training_that_was_too_short_is_told_so_unless_it_was_stopped(asked, told):
    costs = [300.0 - e for e in range(40)]
    assert bool(verdict(costs, max_epochs=asked).advice) is told


@pytest.mark.parametrize(("options", "word"), [({"active": 3}, "kl_weight"), ({"ess": 20.0}, "sweeps")])
def test_idle_bits_and_a_poor_sampler_are_named(options, word):
    assert word in str(verdict([300.0, 200.0, 200.5], **options))


def test_a_training_without_held_out_cells_has_a_verdict_too():
    found = judge({"train_loss_epoch": [(0, 1.0)]}, n_latent=8, num_chains=64, kept=True, max_epochs=1)
    assert found.best_epoch is None and not found.kept
    assert str(found) == "1 epochs"
