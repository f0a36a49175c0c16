"""The step without autograd against the same objective through autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import samplers
from qbmvae.core.training.fused_step.step import applies
from qbmvae.core.training.trainer import Trainer, TrainingConfig
from qbmvae.core.vae import VAE
from qbmvae.data.memory_source import MemorySource
from samplers import InputError

CELLS, GENES = 200, 40

#: A bias before a normalisation: its gradient is zero but for rounding, and Adam makes whole steps of that.
CANCELLED = tuple(f"layers.{k}.bias" for k in range(3))

MODELS = {
    "nb": {},
    "zinb": {"gene_likelihood": "zinb"},
    "one batch": {"n_categories": (1,)},
    "covariates": {"n_categories": (2, 3), "n_continuous": 2, "encode_covariates": True, "dispersion": "gene-batch"},
    "zinb with covariates": {"n_categories": (3, 2), "n_continuous": 1, "gene_likelihood": "zinb", "n_layers": 1},
    "hardware graph": {"topology": "pegasus", "n_latent": 24},
    "dropout both ways": {"decoder_dropout_rate": 0.3},
    "without dropout": {"dropout_rate": 0.0, "n_layers": 3, "estimator_parameter": 0.3},
}


def _trainer(density: float = 0.2, model: dict | None = None, **options) -> Trainer:
    options = {"max_epochs": 3, "batch_size": 32, "num_chains": 64, "seed": 3, **options}
    model = {"n_categories": (2,), "n_latent": 10, "n_hidden": 16, **(model or {})}
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 4.0, size=(CELLS, GENES))) * (rng.random((CELLS, GENES)) < density)
    # no cell without counts
    counts[np.arange(CELLS), np.arange(CELLS) % GENES] += 1
    x = sp.csr_matrix(counts.astype(np.float32))
    continuous = rng.normal(size=(CELLS, model["n_continuous"])) if "n_continuous" in model else None
    categories = [rng.integers(n, size=CELLS) for n in model["n_categories"]]
    source = MemorySource(x, np.asarray(x.sum(1)).ravel(), categories, continuous)
    torch.manual_seed(0)
    vae = VAE(GENES, **model)
    couplings = 0.3 * torch.randn(vae.prior.W.shape)
    vae.prior.W.data.copy_((couplings + couplings.T) * vae.prior.mask)
    return Trainer(vae, source, None, samplers.get("persistent"), TrainingConfig(**options), progress=False)


def _through_autograd(*arguments, **options) -> Trainer:
    trainer = _trainer(*arguments, **options)
    trainer.step = None
    return trainer


def _losses(trainer: Trainer, weight: float):
    torch.manual_seed(5)
    trainer.vae.train()
    batch = next(trainer.train.epoch(32, 0))
    return trainer._descend(batch, weight)


def _compare_gradients(one: Trainer, two: Trainer, tolerance: float) -> None:
    (total, terms), (expected, expected_terms) = _losses(one, 0.7), _losses(two, 0.7)
    assert total == pytest.approx(expected, rel=1e-5)
    assert terms == pytest.approx(expected_terms, rel=1e-5)
    theirs = dict(two.vae.named_parameters())
    largest = max(float(p.grad.norm()) for p in theirs.values() if p.grad is not None)
    for name, parameter in one.vae.named_parameters():
        expected = theirs[name].grad
        assert (parameter.grad is None) == (expected is None), name
        if expected is not None:
            scale = largest if name.endswith(CANCELLED) else float(expected.norm())
            error = (parameter.grad - expected).norm() / scale
            assert error <= tolerance, (name, float(error))
    for (name, mine), other in zip(one.vae.named_buffers(), two.vae.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize("density", [0.2, 0.9], ids=["sparse", "dense"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_gradients_are_those_of_autograd(model, density):
    one, two = _trainer(density, model), _through_autograd(density, model)
    assert one.step is not None
    _compare_gradients(one, two, 1e-6)


@pytest.mark.parametrize("options", [{"batch_matching": 0.0}, {"batch_matching": 3.0}, {"precision": "bf16"}])
def test_gradients_under_other_settings(options):
    # within `fit` the products would be rounded
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if "precision" in options else "highest")
    try:
        _compare_gradients(_trainer(**options), _through_autograd(**options), 1e-6)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    "options", [{}, {"precision": "bf16"}, {"gradient_clip": 0.5}, {"weight_decay": 0.01}], ids=str
)
def test_trainings_are_those_of_autograd(options):
    one, two = _trainer(**options), _through_autograd(**options)
    mine, theirs = one.fit(), two.fit()
    assert mine.keys() == theirs.keys()
    for name, points in mine.items():
        np.testing.assert_allclose(points, theirs[name], rtol=2e-5, atol=1e-6, err_msg=name)
    theirs = two.vae.state_dict()
    for name, value in one.vae.state_dict().items():
        if not name.endswith((*CANCELLED, "running_mean")):
            torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_that_were_taken_away_are_handed_over_again():
    trainer = _trainer()
    _losses(trainer, 1.0)
    before = {name: p.grad.clone() for name, p in trainer.vae.named_parameters() if p.grad is not None}
    for parameter in trainer.vae.parameters():
        parameter.grad = None
    _losses(trainer, 1.0)
    after = {name: p.grad for name, p in trainer.vae.named_parameters() if p.grad is not None}
    assert before.keys() == after.keys()


@pytest.mark.parametrize(
    "model",
    [
        {"gene_likelihood": "poisson"},
        {"gene_likelihood": "gaussian"},
        {"estimator": "gumbolt"},
        {"normalisation": "layer"},
        {"prior": "bernoulli"},
        {"prior": "random-couplings"},
        {"prior": "gaussian"},
        {"topology": "bipartite"},
    ],
    ids=str,
)
def test_other_models_go_through_autograd(model):
    assert not applies(VAE(GENES, (2,), n_latent=8, n_hidden=4, **model))


def test_what_the_step_does_not_know_goes_through_autograd():
    vae = VAE(GENES, (2,), n_latent=8, n_hidden=4)
    assert applies(vae)
    assert not applies(vae, cycle_consistency=0.3)
    vae.frozen_statistics = True
    assert not applies(vae)
    vae.frozen_statistics = False
    vae.output.weight.requires_grad_(False)
    assert not applies(vae)
    assert not applies(VAE(GENES, (2,), n_latent=8, n_hidden=4).double())


def _replace(how: str, vae: VAE) -> None:
    parameter, half = vae.output.weight, vae.decoder.layers[0].bias
    if how == "data":
        # as weight averaging and pruning do
        parameter.data = 0.5 * parameter.data
        half.data = half.data.clone()
    elif how == "parameter":
        vae.output.weight = torch.nn.Parameter(0.5 * parameter.data)
    else:
        vae.encoder.norms[0].running_mean = vae.encoder.norms[0].running_mean.clone()
    # whatever the allocator makes of freed memory now must not be read
    del parameter, half
    torch.full((4096, 64), float("nan"))


@pytest.mark.parametrize("how", ["data", "parameter", "buffer"])
def test_replaced_memory_is_noticed_and_trained_on(how):
    trained = {}
    for fused in ("auto", "off"):
        trainer = _trainer(max_epochs=4, fused=fused)

        def replace(trainer, how=how):
            if trainer.epoch == 2:
                _replace(how, trainer.vae)

        if fused == "auto":
            assert trainer.step is not None
            with pytest.warns(UserWarning, match="data of .* were replaced"):
                trainer.fit(replace)
        assert fused == "auto" or trainer.fit(replace)
        assert trainer.step is None
        trained[fused] = trainer
    one, two = trained.values()
    for name, points in one.history.items():
        np.testing.assert_allclose(points, two.history[name], rtol=1e-4, atol=1e-5, err_msg=name)
    if how != "parameter":
        # a new parameter object is unknown to the optimiser, as it would be to torch's own
        moved = (one.vae.output.weight - two.vae.output.weight).abs().max()
        assert moved < 1e-4


def test_memory_that_stays_is_not_replaced(recwarn):
    trainer = _trainer(max_epochs=3)

    def write(trainer):
        trainer.vae.output.weight.data.mul_(0.5)

    trainer.fit(write)
    assert trainer.step is not None
    assert not [w for w in recwarn if "replaced" in str(w.message)]


def test_the_step_can_be_turned_off():
    assert _trainer(fused="off").step is None
    with pytest.raises(InputError, match="fused"):
        TrainingConfig(fused="on")
