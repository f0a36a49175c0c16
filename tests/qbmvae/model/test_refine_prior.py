from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae import QBMVAE
from samplers import InputError

QUICK = {"max_epochs": 6, "progress_bar": False, "num_chains": 64, "batch_size": 32}


def _model(adata, **options) -> QBMVAE:
    QBMVAE.setup_anndata(adata, batch_key="batch")
    return QBMVAE(adata, n_latent=8, n_hidden=16, n_layers=1, **options)


def test_a_trained_prior_reaches_its_optimum_and_log_z_follows(adata):
    model = _model(adata)
    model.train(**QUICK, seed=0, refine_prior=False)
    assert model.refinement_ is None
    before = model.get_elbo(indices=model.validation_indices)
    network = {k: v.clone() for k, v in model.module.state_dict().items() if "prior" not in k and "log_part" not in k}
    found = model.refine_prior(seed=0)
    assert {"kl_before", "kl_after", "kl_before_error", "kl_after_error", "improvement", "step"} <= set(found)
    assert found["kl_after"] < found["kl_before"] - 3 * found["improvement_error"]
    after = model.get_elbo(indices=model.validation_indices)
    # the bound rises by what the KL falls
    assert after - before == pytest.approx(found["improvement"], abs=1e-3)
    assert all(torch.equal(v, model.module.state_dict()[k]) for k, v in network.items())
    value, error = model.get_log_partition()
    fresh, fresh_error = model.get_log_partition(fresh=True, seed=9)
    assert abs(value - fresh) <= max(1e-6, 5 * (error + fresh_error))
    again = model.refine_prior(seed=1)
    assert again["improvement"] < 0.1 * found["improvement"]


def test_training_ends_with_it_unless_told_otherwise(adata):
    model = _model(adata)
    model.train(**QUICK, seed=0)
    assert model.refinement_["kl_after"] < model.refinement_["kl_before"]
    # the prior of another machine's reads stays that machine's
    for options in ({"sampler": "population-annealing?num_sweeps=4"}, {"prior_learning_rate": 0.0}):
        other = _model(adata)
        other.train(**QUICK, seed=0, **options)
        assert other.refinement_ is None
    other.train(**QUICK, seed=0, sampler="exact", prior_learning_rate=1e-3, refine_prior=True)
    assert other.refinement_["kl_after"] < other.refinement_["kl_before"]


def test_an_interrupted_training_ends_with_the_same_prior(adata, tmp_path):
    whole = _model(adata)
    whole.train(**QUICK, seed=0)
    cut = _model(adata)

    class Stop(Exception):
        pass

    def stop(trainer):
        if trainer.epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        cut.train(**QUICK, seed=0, checkpoint_dir=tmp_path, on_epoch=stop)
    again = _model(adata)
    again.train(**QUICK, seed=0, resume_from=tmp_path)
    assert again.refinement_ == whole.refinement_
    state, other = whole.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(state[k], other[k]) for k in state)


def test_without_held_out_cells_a_tenth_of_the_training_cells_decides(adata):
    model = _model(adata)
    model.train(**QUICK, seed=0, train_size=1.0, refine_prior=False)
    found = model.refine_prior(seed=0)
    assert found["kl_after"] < found["kl_before"]


@pytest.mark.parametrize("prior", ["gaussian", "uniform"])
def test_a_prior_without_parameters_says_so(adata, prior):
    model = _model(adata, prior=prior)
    model.train(**QUICK, seed=0)
    found = model.refine_prior(seed=0)
    assert found["step"] == 0
    assert found["kl_before"] == found["kl_after"]


def test_a_query_keeps_its_references_prior(adata):
    model = _model(adata)
    model.train(**QUICK, seed=0)
    query = adata[:60].copy()
    query.obs["batch"] = "new"
    mapped = QBMVAE.load_query_data(query, model)
    mapped.train(max_epochs=2, progress_bar=False, seed=0)
    np.testing.assert_array_equal(mapped.module.vae.prior.W.detach(), model.module.vae.prior.W.detach())


def test_a_model_without_data_is_named(adata, tmp_path):
    model = _model(adata)
    model.train(**QUICK, seed=0)
    model.export(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no data"):
        QBMVAE.from_export(tmp_path / "model.safetensors").refine_prior(seed=0)
