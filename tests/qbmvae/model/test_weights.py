"""Which weights a model has: drawn, given, trained, and answers in the middle of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae import QBMVAE
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


def small(adata, **options) -> QBMVAE:
    QBMVAE.setup_anndata(adata, batch_key="batch")
    return QBMVAE(adata, n_latent=8, n_hidden=16, **options)


def test_given_weights_are_trained_on_and_drawn_ones_are_drawn_anew(adata):
    model, drawn = small(adata), small(adata)
    given = {k: torch.zeros_like(v) if k == "vae.prior.b" else v for k, v in model.module.state_dict().items()}
    model.set_weights(given)
    assert not model.is_trained_
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    model.train(**QUICK, learning_rate=0.0, prior_learning_rate=0.0, seed=5)
    drawn.train(**QUICK, learning_rate=0.0, prior_learning_rate=0.0, seed=5)
    moved = {name for name, value in model.module.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set()
    assert any(not torch.equal(v, before[n]) for n, v in drawn.module.named_parameters())


def test_a_model_answers_in_the_middle_of_training(adata):
    model, seen = small(adata), []

    def look(trainer):
        seen.append((model.get_elbo(indices=model.validation_indices), trainer.history["elbo_validation"][-1][1]))
        seen[-1] += (model.generate(5, seed=0).n_obs,)

    model.train(**QUICK, on_epoch=look)
    for elbo, logged, n in seen:
        # the same cells and prior, another draw of the bits: log Z is in both
        assert elbo == pytest.approx(-logged, rel=0.02)
        assert n == 5


def test_a_failed_training_leaves_an_untrained_model(adata):
    model = small(adata)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.train(**QUICK, on_epoch=stop)
    assert not model.is_trained_


@pytest.mark.parametrize("how", ["save", "export"])
def test_the_model_of_a_query_keeps_its_reference_after_loading(trained, adata, tmp_path, how):
    query = adata[:80].copy()
    query.obs["batch"] = "new"
    QBMVAE.prepare_query_anndata(query, trained)
    mapped = QBMVAE.load_query_data(query, trained)
    if how == "save":
        mapped.save(tmp_path / "m")
        again = QBMVAE.load(tmp_path / "m", adata=query)
    else:
        mapped.export(tmp_path / "m.safetensors")
        again = QBMVAE.from_export(tmp_path / "m.safetensors", adata=query)
    again.train(**QUICK)
    encoder = {k: v for k, v in trained.module.state_dict().items() if k.startswith("vae.encoder")}
    assert encoder and all(torch.equal(v, again.module.state_dict()[k]) for k, v in encoder.items())


def test_arguments_that_nothing_reads_are_refused(trained):
    with pytest.raises(TypeError):
        trained.get_elbo(n_samples=3)
    with pytest.raises(InputError, match="random"):
        trained.get_latent_representation(give_mean=False)
    assert np.isfinite(trained.get_latent_representation(give_mean=True)).all()


def test_the_verdict_is_said_kept_and_silent_when_asked(adata, capsys, tmp_path):
    model = small(adata)
    model.train(**{**QUICK, "progress_bar": True})
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"training: {model.verdict_['text']}"
    assert model.verdict_["epochs"] == 2 and model.verdict_["n_latent"] == 8
    model.save(tmp_path / "m")
    assert QBMVAE.load(tmp_path / "m", adata=adata).verdict_ == model.verdict_
    model.train(**QUICK)
    assert capsys.readouterr().err == ""


def test_the_best_weights_can_be_kept(adata):
    model = small(adata)
    model.train(
        max_epochs=12, progress_bar=False, num_chains=64, learning_rate=0.05, keep_best=True, refine_prior=False
    )
    curve = model.history["elbo_validation"].iloc[:, 0]
    assert len(curve) == 12, "nothing stops it early"
    assert model.verdict_["kept"] and model.verdict_["best_epoch"] == int(curve.idxmin()) + 1 < 12
    assert model.get_elbo(indices=model.validation_indices) == pytest.approx(-curve.min(), rel=0.03)
