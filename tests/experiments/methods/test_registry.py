from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.data.synthetic import synthetic
from experiments.methods.base import Task
from experiments.methods.published import spike_and_exponential
from experiments.methods.registry import METHODS, fit
from samplers.errors import InputError


@pytest.fixture(scope="module")
def cells():
    return synthetic(120, 40, n_types=2, seed=0)


@pytest.mark.parametrize(
    "name",
    [
        "pca",
        "harmony",
        "scvi",
        "scvi-zinb",
        "ldvae",
        "autozi",
        "scanvi",
        "sysvi",
        "published",
        "published-successor",
        "qbmvae",
        "qbmvae-labels",
        "vae",
        "pca-aligned",
        "scvi-aligned",
    ],
)
def test_every_model_fits_and_embeds(cells, name):
    task = Task(cells, "batch", "cell_type", max_epochs=2, n_hidden=16, seed=1, snapshots=(1,))
    options = {"n_bits": 16, "widths": (32, 16)} if name.startswith("published") else {}
    fitted = fit(name, task, **options)
    x = fitted.embed(None)
    assert x.shape[0] == 120 and np.isfinite(x).all() and fitted.cpu_seconds > 0
    if fitted.inductive:
        before = fitted.fingerprint()
        other = cells[10:20].copy()
        # a batch that was never seen must not stop an encoder that does not read it
        if name != "sysvi":
            other.obs["batch"] = "new batch"
        assert fitted.embed(other).shape == (10, x.shape[1])
        assert fitted.fingerprint() == before
    if name.removesuffix("-aligned") not in ("pca", "harmony", "sysvi"):
        assert fitted.by_epoch[1].shape == x.shape
        # scANVI goes on with the labels when the budget is used up
        assert len(fitted.history) == (5 if name == "scanvi" else 2)
    if fitted.generate is not None:
        made = fitted.generate(15, 0)
        assert made.shape == (15, 40) and made.sum() > 0
    if fitted.bounds is not None:
        bounds = fitted.bounds(cells[:40].copy())
        # the importance-weighted bound is the tighter one
        assert bounds["elbo"] < bounds["iwae"] + 1.0 < 1.0
    if fitted.novelty is not None:
        assert all(v.shape == (120,) for v in fitted.novelty(cells).values())


def test_the_same_seed_gives_the_same_embedding(cells):
    for name in ("scvi", "published"):
        options = {"n_bits": 16, "widths": (32, 16)} if name == "published" else {}
        x, y = (fit(name, Task(cells, "batch", max_epochs=1, n_hidden=16, seed=3), **options).embed(None) for _ in "ab")
        assert np.array_equal(x, y)


def test_shuffled_couplings_are_the_learned_ones_elsewhere_and_stay(cells):
    task = Task(cells, "batch", max_epochs=3, n_hidden=16, seed=1)
    learned, moved = (
        fit(name, task, n_latent=8).model.module.vae.prior.W.detach() for name in ("qbmvae", "shuffled-couplings")
    )
    above = np.triu_indices(8, 1)
    np.testing.assert_array_equal(np.sort(learned.numpy()[above]), np.sort(moved.numpy()[above]))
    assert torch.equal(moved, moved.T) and not torch.allclose(moved, learned) and learned.abs().max() > 0


def test_warm_up_is_a_share_or_the_default(cells, monkeypatch):
    import scvi

    asked, train = [], scvi.model.SCVI.train
    monkeypatch.setattr(scvi.model.SCVI, "train", lambda self, **o: (asked.append(o["plan_kwargs"]), train(self, **o)))
    for name in ("scvi", "scvi-default"):
        fit(name, Task(cells, "batch", max_epochs=8, n_hidden=8))
    assert asked == [{"n_epochs_kl_warmup": 2}, {}]


def test_unknown_models_and_options_are_named(cells):
    with pytest.raises(InputError, match="nearest: 'scvi'"):
        fit("scvii", Task(cells))
    with pytest.raises(InputError, match="n_layer"):
        fit("pca", Task(cells), n_layer=3)
    with pytest.raises(InputError, match="two batches"):
        fit("sysvi", Task(cells))
    with pytest.raises(InputError, match="labels"):
        fit("scanvi", Task(cells, "batch", max_epochs=1))
    assert {m.removesuffix("-aligned") for m, v in METHODS.items() if v.uses_labels} == {
        "scanvi",
        "scanvi-zinb",
        "qbmvae-labels",
    }


def test_smoothed_bits_have_the_right_distribution():
    torch.manual_seed(0)
    logits = torch.full((200_000,), 0.4)
    bits = spike_and_exponential(logits, torch.rand(200_000), b=0.5)
    q = torch.sigmoid(torch.tensor(0.4)).item()
    assert bits.min() == 0 and bits.max() <= 1
    # three standard errors
    assert (bits > 0).float().mean().item() == pytest.approx(q, abs=3 * np.sqrt(q * (1 - q) / 2e5))
    expected = (np.exp(0.5) * (0.5 - 1) + 1) / 0.5 / (np.exp(0.5) - 1)
    assert bits[bits > 0].mean().item() == pytest.approx(expected, abs=3e-3)


def test_as_published_the_prior_never_reaches_the_encoder():
    from experiments.methods.published import Preset, _loss

    torch.manual_seed(0)
    model = Preset(20, 2, 8, (16, 8))
    model.eval()
    x, onehot, chains = torch.rand(10, 20), torch.eye(2).repeat(5, 1), torch.bernoulli(torch.full((16, 8), 0.5))

    def encoder_gradient(weight: float, exact: bool) -> torch.Tensor:
        torch.manual_seed(1)
        model.zero_grad()
        _loss(model, x, onehot, chains, weight, exact).backward()
        return model.encoder[-1].weight.grad.clone()

    with torch.no_grad():
        model.couplings.copy_(torch.randn(8, 8))
    assert torch.equal(encoder_gradient(1.0, False), encoder_gradient(0.0, False))
    assert not torch.allclose(encoder_gradient(1.0, True), encoder_gradient(0.0, True))


def test_scanorama_fits_or_names_its_extra(cells):
    from importlib.util import find_spec

    from samplers.errors import MissingExtraError

    task = Task(cells, "batch", seed=0)
    if find_spec("scanorama") is None:
        with pytest.raises(MissingExtraError, match="baselines"):
            fit("scanorama", task)
        return
    x = fit("scanorama", task, n_components=10).embed(None)
    assert x.shape == (120, 10) and np.isfinite(x).all() and np.abs(x).sum(axis=1).min() > 0
    with pytest.raises(InputError, match="two batches"):
        fit("scanorama", Task(cells))


def test_an_aligned_baseline_is_the_baseline_moved_batch_by_batch(cells):
    from qbmvae.core import alignment

    task = Task(cells, "batch", max_epochs=1, n_hidden=16, seed=1)
    plain, moved = fit("pca", task), fit("pca-aligned", task)
    x, y = plain.embed(None), moved.embed(None)
    codes = torch.from_numpy(cells.obs["batch"].astype("category").cat.codes.to_numpy(dtype=np.int64))
    found = alignment.fit(torch.from_numpy(x), codes, int(codes.max()) + 1, seed=1)
    np.testing.assert_allclose(y, found.apply(torch.from_numpy(x), codes).numpy(), atol=1e-5)
    # fewer differences between batches are left
    spread = [np.var([z[codes == b].mean(axis=0) for b in range(3)], axis=0).sum() for z in (x, y)]
    assert spread[1] < 0.5 * spread[0]
    # a new cell is moved as it would have been, one of an unknown batch stays
    np.testing.assert_allclose(moved.embed(cells[5:9].copy()), y[5:9], atol=1e-4)
    other = cells[5:9].copy()
    other.obs["batch"] = "new"
    np.testing.assert_allclose(moved.embed(other), plain.embed(other), atol=1e-5)
    assert fit("pca-aligned", Task(cells)).embed(None).shape == x.shape


def test_an_aligned_row_takes_the_model_that_was_just_fitted(cells, monkeypatch):
    import dataclasses

    from experiments.methods import registry

    pca, calls = METHODS["pca"], []

    def counted(task, **options):
        calls.append(task.seed)
        return pca.fit(task, **options)

    monkeypatch.setitem(METHODS, "pca", dataclasses.replace(pca, fit=counted))
    task = Task(cells, "batch", seed=1)
    plain, moved = fit("pca", task), fit("pca-aligned", dataclasses.replace(task))
    assert calls == [1] and moved.cpu_seconds >= plain.cpu_seconds
    # other cells, another seed or other options are another model
    fit("pca-aligned", Task(cells.copy(), "batch", seed=1))
    fit("pca-aligned", dataclasses.replace(registry._latest[0][1], seed=2))
    fit("pca-aligned", registry._latest[0][1], n_components=5)
    assert calls == [1, 1, 2, 2]


def test_the_successor_preset_couples_the_halves_alone():
    from experiments.methods.published import Preset

    couplings = Preset(5, 0, 8, (4,), restricted=True).symmetric()
    assert (couplings[:4, :4] == 0).all() and (couplings[4:, 4:] == 0).all() and (couplings[:4, 4:] != 0).all()


def test_every_baseline_has_an_aligned_row():
    for name, method in METHODS.items():
        if method.ablation or name == "qbmvae" or name.endswith("-aligned"):
            continue
        aligned = METHODS[f"{name}-aligned"]
        assert (aligned.uses_labels, aligned.inductive) == (method.uses_labels, method.inductive)
