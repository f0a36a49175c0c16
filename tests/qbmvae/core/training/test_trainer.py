from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import samplers
from qbmvae.core.training import checkpoint
from qbmvae.core.training.negative_phase import NegativePhase
from qbmvae.core.training.trainer import Trainer, TrainingConfig
from qbmvae.core.vae import VAE
from qbmvae.data.memory_source import MemorySource
from samplers import InputError
from samplers.partition_function import log_partition

CONFIG = {"max_epochs": 4, "batch_size": 32, "num_chains": 64, "seed": 3}


def _source(n: int = 200, genes: int = 40) -> MemorySource:
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(rng.poisson(rng.gamma(0.5, 2.0, size=(n, genes))).astype(np.float32) + np.eye(n, genes))
    return MemorySource(x.astype(np.float32), np.asarray(x.sum(1)).ravel(), [rng.integers(2, size=n)])


def _trainer(folder: Path | None = None, **options) -> Trainer:
    torch.manual_seed(0)
    source = _source()
    vae = VAE(40, (2,), n_latent=10, n_hidden=16)
    return Trainer(
        vae, source.subset(np.arange(160)), source.subset(np.arange(160, 200)), samplers.get("persistent"),
        TrainingConfig(**{**CONFIG, **options}), checkpoints=folder, progress=False,
    )  # fmt: skip


def _same(a: Trainer, b: Trainer) -> None:
    for x, y in zip(a.vae.state_dict().values(), b.vae.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert dict(a.history) == dict(b.history)
    one, two = a.negative_phase.state_dict(), b.negative_phase.state_dict()
    assert repr(one) == repr(two)


def test_resume_at_any_step_is_equal_to_the_bit(tmp_path):
    whole = _trainer()
    whole.fit()

    class Stop(Exception):
        pass

    # 5: after the last step of an epoch, before its end is recorded
    for steps in (1, 5, 7, 15):
        first = _trainer(tmp_path / str(steps), checkpoint_every=1)
        done = 0
        original = first.loop.save

        def count(original=original, steps=steps):
            nonlocal done
            original()
            done += 1
            if done >= steps:
                raise Stop

        first.loop.save = count
        with pytest.raises(Stop):
            first.fit()
        second = _trainer(tmp_path / str(steps), checkpoint_every=1)
        second.load_state_dict(checkpoint.load(tmp_path / str(steps) / checkpoint.NAME))
        second.fit()
        _same(whole, second)


_CHILD = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("t", sys.argv[1])
t = importlib.util.module_from_spec(spec); spec.loader.exec_module(t)
import torch; torch.set_num_threads(1)
folder = Path(sys.argv[2])
trainer = t._trainer(folder, checkpoint_every=1, max_epochs=40)
if (folder / t.checkpoint.NAME).is_file():
    trainer.load_state_dict(t.checkpoint.load(folder / t.checkpoint.NAME))
print("go", flush=True)
trainer.fit()
print("done", flush=True)
"""


def test_killed_processes_resume_to_the_same_end(tmp_path):
    """Three kills at random moments; the benchmark `resume` does twenty."""
    whole = _trainer(max_epochs=40, checkpoint_every=1)
    whole.fit()
    rng = np.random.default_rng(0)
    command = [sys.executable, "-c", _CHILD, __file__, str(tmp_path)]
    for _ in range(3):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "go\n"
        time.sleep(0.1 + 0.3 * rng.random())
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    subprocess.run(command, check=True, capture_output=True)
    last = _trainer(max_epochs=40, checkpoint_every=1)
    last.load_state_dict(checkpoint.load(tmp_path / checkpoint.NAME))
    _same(whole, last)


def test_damaged_or_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.load(tmp_path / checkpoint.NAME)
    (tmp_path / checkpoint.NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(tmp_path / checkpoint.NAME)


def test_early_stopping_keeps_a_copy_of_the_best_weights():
    trainer = _trainer(max_epochs=60, early_stopping=True, early_stopping_patience=2, learning_rate=0.05)
    history = trainer.fit()
    best = trainer.loop.best_value
    assert trainer.loop.stopped
    # from the first epoch on: the bound is measured with the KL's full weight however little of it is trained on yet
    assert best == min(v for _, v in history["elbo_validation"])
    batch = next(trainer.validation.epoch(512, None))
    torch.manual_seed(trainer.config.seed)
    r, k, _ = trainer.vae.evaluate(batch)
    # log Z is logged with the weights of its epoch
    epochs = [e for e, _ in history["elbo_validation"]]
    at = epochs[[v for _, v in history["elbo_validation"]].index(best)]
    log_z = dict(history["log_partition"])[at]
    assert float(r.mean() + k.mean()) + log_z == pytest.approx(best, rel=1e-5)


def test_a_loss_that_is_not_finite_names_step_and_cells():
    trainer = _trainer()
    trainer.vae.output.bias.data[0] = float("nan")
    with pytest.raises(InputError, match=r"loss became nan at step 0 among cells \["):
        trainer.fit()


def test_warm_up_is_a_share_of_the_total_steps():
    trainer = _trainer(max_epochs=8, kl_weight=2.0)
    steps = trainer.total_steps
    assert trainer.kl_weight(0) == pytest.approx(2 / (0.25 * steps))
    assert trainer.kl_weight(steps // 4) == 2
    assert trainer.kl_weight(steps) == 2


def test_the_prior_learns_the_posteriors_moments():
    """The sign test: trained against fixed posteriors, the prior's moments move to theirs, not away."""
    torch.manual_seed(0)
    vae = VAE(5, (1,), n_latent=6, n_hidden=4)
    prior = vae.prior
    q = torch.tensor([[0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]])
    phase = NegativePhase(samplers.get("persistent", num_sweeps=2), 512, 0)
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(400):
        loss = prior.expected_energy(q, q).mean() + phase.log_partition_surrogate(prior)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    draws = samplers.get("exact").draw(prior.problem(), 4000, seed=0)
    z = (draws.states + 1) / 2
    target = (q.T @ q / 2).numpy()
    off = ~np.eye(6, dtype=bool)
    # 4,000 reads: standard error below .008; Adam's last steps wander by about .02
    assert np.abs(z.T @ z / 4000 - target)[off].max() < 0.08


def test_batches_are_even_and_none_holds_a_single_cell():
    source = _source(129)
    sizes = [len(b) for b in source.epoch(32, 0)]
    assert sum(sizes) == 129
    assert min(sizes) >= 32
    rows = np.concatenate([b.rows for b in source.epoch(32, 0)])
    assert sorted(rows) == list(range(129))
    again = np.concatenate([b.rows for b in source.epoch(32, 0)])
    np.testing.assert_array_equal(rows, again)
    other = np.concatenate([b.rows for b in source.epoch(32, 0, epoch=1)])
    assert not np.array_equal(rows, other)


def test_bf16_products_train_alike_and_end_with_the_training():
    whole, rounded = _trainer(max_epochs=12), _trainer(max_epochs=12, precision="bf16")
    before = torch.get_float32_matmul_precision()
    one, two = (t.fit()["elbo_validation"][-1][1] for t in (whole, rounded))
    assert torch.get_float32_matmul_precision() == before
    # the noise of two trainings of 40 genes; a product gone wrong costs far more
    assert abs(one - two) < 0.05 * one
    with pytest.raises(InputError, match="precision must be one of '32', 'bf16'"):
        TrainingConfig(precision="16")


def test_log_partition_of_the_curve_is_near_the_truth():
    trainer = _trainer(max_epochs=1)
    prior = trainer.vae.prior
    exact = trainer.log_partition()
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=10)))
    assert exact == pytest.approx(float(torch.logsumexp(-prior.energy(states), 0)), abs=1e-4)
    torch.manual_seed(1)
    large = VAE(40, (2,), n_latent=40, n_hidden=16)
    couplings = torch.randn(40, 40) * 0.15
    large.prior.W.data.copy_((couplings + couplings.T) * large.prior.mask)
    source = _source()
    curve = Trainer(large, source, None, samplers.get("persistent"), TrainingConfig(**CONFIG), progress=False)
    value, error = log_partition(large.prior.problem(), method="population-annealing", num_chains=4096, num_sweeps=512)
    assert error < 0.02
    assert abs(curve.log_partition() - value) < 0.3
