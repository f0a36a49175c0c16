"""Lightning's callbacks and loggers, and scvi-tools' plan_kwargs."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger

from qbmvae import QBMVAE
from qbmvae.core.training.config import TrainingConfig
from qbmvae.model.lightning import loggers_of, planned
from samplers import InputError

QUICK = {"progress_bar": False, "num_chains": 64, "refine_prior": False}


@pytest.fixture
def model(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    return QBMVAE(adata, n_latent=8, n_hidden=16)


class Watch(Callback):
    def __init__(self, model):
        self.model, self.seen = model, []

    def on_train_start(self, trainer, pl_module):
        assert pl_module is self.model.module
        self.seen.append("start")

    def on_train_epoch_start(self, trainer, pl_module):
        self.seen.append(f"epoch {trainer.current_epoch}")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        assert np.isfinite(float(outputs["loss"])) and len(batch) > 1
        self.seen.append(f"step {trainer.global_step} {batch_idx}")

    def on_validation_end(self, trainer, pl_module):
        self.seen.append(f"elbo {float(trainer.callback_metrics['elbo_validation']):.6g}")

    def on_train_epoch_end(self, trainer, pl_module):
        assert self.model.get_latent_representation(indices=[0, 1]).shape == (2, 8)
        self.seen.append(f"end {trainer.current_epoch}")

    def on_train_end(self, trainer, pl_module):
        self.seen.append("done")


def test_hooks_come_in_order_with_the_numbers_of_the_history(model):
    watch = Watch(model)
    model.train(max_epochs=2, batch_size=128, callbacks=[watch], **QUICK)
    elbo = [f"elbo {v:.6g}" for v in model.history["elbo_validation"].iloc[:, 0]]
    assert watch.seen == [
        "start",
        "epoch 0", "step 1 0", "step 2 1", elbo[0], "end 0",
        "epoch 1", "step 3 0", "step 4 1", elbo[1], "end 1",
        "done",
    ]  # fmt: skip


def test_watching_changes_nothing(model, adata):
    model.train(max_epochs=2, callbacks=[Watch(model)], **QUICK)
    alone = QBMVAE(adata, n_latent=8, n_hidden=16)
    alone.train(max_epochs=2, **QUICK)
    np.testing.assert_array_equal(model.get_latent_representation(), alone.get_latent_representation())


@pytest.mark.parametrize("at_epoch_end", [False, True])
def test_lightnings_early_stopping_stops(model, at_epoch_end):
    stop = EarlyStopping("elbo_validation", min_delta=1e9, patience=2, check_on_train_epoch_end=at_epoch_end)
    model.train(max_epochs=20, callbacks=[stop], **QUICK)
    assert len(model.history["elbo_validation"]) == 3
    assert model.is_trained_


def test_loggers_get_every_epochs_metrics(model, tmp_path):
    model.train(max_epochs=3, logger=["csv", CSVLogger(tmp_path / "own")], checkpoint_dir=tmp_path / "run", **QUICK)
    for folder in ("own", "run"):
        file = next((tmp_path / folder).rglob("metrics.csv"))
        found = pd.read_csv(file)
        np.testing.assert_allclose(found["elbo_validation"], model.history["elbo_validation"].iloc[:, 0], rtol=1e-5)
        assert next((tmp_path / folder).rglob("hparams.yaml")).read_text().count("learning_rate") >= 1


def test_what_is_no_logger_is_named(tmp_path):
    assert loggers_of(None, tmp_path) == loggers_of(False, tmp_path) == []
    with pytest.raises(InputError, match="'csv'"):
        loggers_of("cvs", tmp_path)
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(InputError, match="pip install wandb"):
            loggers_of("wandb", tmp_path)
    with pytest.raises(InputError, match="log_metrics"):
        loggers_of(3, tmp_path)


def test_plan_kwargs_are_taken_under_scvi_tools_names():
    config = TrainingConfig(max_epochs=40)
    plan = {"lr": 3e-3, "weight_decay": 1e-6, "n_epochs_kl_warmup": 10, "max_kl_weight": 0.5, "optimizer": "Adam"}
    found = planned(config, plan, 1000)
    assert (found.learning_rate, found.weight_decay, found.kl_warmup, found.kl_weight) == (3e-3, 1e-6, 0.25, 0.5)
    assert planned(config, {"n_steps_kl_warmup": 250, "n_epochs_kl_warmup": None}, 1000).kl_warmup == 0.25
    assert planned(config, {"n_epochs_kl_warmup": 400}, 1000).kl_warmup == 1.0


@pytest.mark.parametrize(
    ("plan", "match"), [({"lrr": 1e-3}, "'lr'"), ({"optimizer": "SGD"}, "optimizer"), ({"lr": 5e-3}, "twice")]
)
def test_settings_that_we_do_not_have_are_named(plan, match):
    with pytest.raises(InputError, match=match):
        planned(TrainingConfig(learning_rate=2e-3), plan, 100)


def test_train_takes_plan_kwargs(model):
    model.train(max_epochs=4, plan_kwargs={"lr": 2e-3, "n_epochs_kl_warmup": 2}, **QUICK)
    assert model.trainer.config.learning_rate == 2e-3 and model.trainer.config.kl_warmup == 0.5
