from __future__ import annotations

import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
import torch

from experiments.perturbation.pretrain import small_state
from experiments.perturbation.synthetic import synthetic_screen
from qbmvae.perturbation import Features, Options, PerturbationModel, fit
from qbmvae.perturbation.batches import Source
from qbmvae.perturbation.fitting import held_out_groups
from qbmvae.perturbation.groups import group, random_contexts
from samplers.errors import InputError

FAST = Options(n_qubits=2, n_layers=1, epochs=4, patience=0, learning_rate=5e-3)


@pytest.fixture(scope="module")
def screen():
    return synthetic_screen(n_seen=14, n_unseen=4, n_genes=40, n_features=8, n_latent=2, n_cells=12, n_control=40)


@pytest.fixture(scope="module")
def parts(screen):
    labels = screen.adata.obs["target_gene"].astype(str).to_numpy()
    return screen.adata[~np.isin(labels, screen.unseen)].copy(), screen.adata[labels == "non-targeting"].copy()


def test_importing_needs_no_scvi():
    code = "import sys, qbmvae.perturbation as p; p.scores, p.fit; assert not {'scvi', 'polars', 'scanpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_saved_models_predict_the_same(screen, parts, tmp_path):
    train, controls = parts
    model = fit(train, features=screen.features, options=FAST, seed=1)
    model.save(tmp_path)
    again = PerturbationModel.load(tmp_path)
    deltas = model.predict_delta(["P14", "P1"], controls)
    np.testing.assert_allclose(again.predict_delta(["P14", "P1"], controls), deltas, atol=1e-5)
    cells, same = (
        m.predict({"P14": 6, "P1": 3}, controls, n_control=10, seed=2, deltas=deltas) for m in (again, model)
    )
    assert cells.obs["target_gene"].value_counts().to_dict() == {"non-targeting": 10, "P14": 6, "P1": 3}
    np.testing.assert_array_equal(cells.X.toarray(), same.X.toarray())
    # the order of genes is the model's, whatever the controls have
    np.testing.assert_allclose(
        model.predict_delta(["P1"], controls[:, ::-1]), model.predict_delta(["P1"], controls), atol=1e-5
    )
    with pytest.raises(InputError, match="1 of the 40 genes of the model are missing, first 'G0'"):
        model.predict_delta(["P1"], controls[:, 1:])
    with pytest.raises(InputError, match="'P99' has no features"):
        model.predict_delta(["P99"], controls)


def test_same_seed_same_model_and_resumption_ends_there_too(screen, parts, tmp_path):
    train, controls = parts
    options = Options(n_qubits=2, n_layers=1, epochs=20, patience=0, learning_rate=5e-3)
    whole = fit(train, features=screen.features, options=options, seed=3)
    checkpoint = tmp_path / "checkpoint.pt"

    def stop(row):
        if row["epoch"] == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, features=screen.features, options=options, seed=3, report=stop, checkpoint=checkpoint)
    assert checkpoint.is_file()
    resumed = fit(train, features=screen.features, options=options, seed=3, checkpoint=checkpoint)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    np.testing.assert_array_equal(resumed.predict_delta(["P1"], controls), whole.predict_delta(["P1"], controls))


@pytest.mark.parametrize(
    "changes",
    [
        {"pseudobulk": False, "cells": "shift"},
        {"ranking": 0.1, "deg_weights": 1.0, "global_scale": True},
        {"decoder_from_backbone": True},
    ],
)
def test_options_train(screen, parts, changes):
    train, controls = parts
    model = fit(train, features=screen.features, options=Options.from_dict(FAST.to_dict() | {"epochs": 2} | changes))
    assert np.isfinite(model.predict_delta(screen.unseen, controls)).all()
    if "global_scale" in changes:
        assert 0 <= model.notes["global_scale"] <= 1.5
    if "decoder_from_backbone" in changes:
        assert model.notes["decoder_columns_from_backbone"] > 0


def test_a_tuned_state_backbone_moves_and_is_saved(screen, parts, tmp_path):
    train, controls = parts
    torch.manual_seed(0)
    backbone = small_state(40, 8, list(train.var_names), hidden=16, layers=1, set_size=8)
    before = backbone.network.project_out[-1].weight.clone()
    options = Options.from_dict(
        FAST.to_dict() | {"epochs": 2, "ridge_start": False, "tune": ["project_out", "last_layers"]}
    )
    model = fit(train, features=screen.features, backbone=backbone, options=options)
    assert not torch.equal(before, model.backbone.network.project_out[-1].weight)
    model.save(tmp_path)
    again = PerturbationModel.load(tmp_path)
    np.testing.assert_allclose(again.predict_delta(["P1"], controls), model.predict_delta(["P1"], controls), atol=1e-6)


def test_one_hot_and_gene_features(parts):
    train, controls = parts
    seen = fit(train, options=FAST)
    assert seen.features.kind == "one-hot"
    with pytest.raises(InputError, match="one-hot features know only"):
        seen.predict_delta(["P15"], controls)
    with pytest.raises(InputError, match=r"'P\d+' has no features: 'P\d+' is not in the table"):
        fit(train, features="genes", options=FAST)


def test_our_own_embedding_as_backbone(screen, tmp_path):
    labels = screen.adata.obs["target_gene"].astype(str).to_numpy()
    keep = np.isin(labels, ["non-targeting", "P0", "P1", "P2"])
    counts = ad.AnnData(
        np.rint(np.expm1(screen.adata.X[keep].toarray())).astype(np.float32),
        obs=screen.adata.obs[keep],
        var=screen.adata.var,
    )
    model = fit(counts, features=screen.features, backbone="qbmvae", options=FAST)
    assert model.backbone.sizes[1] == 32
    model.save(tmp_path)
    controls = counts[(counts.obs["target_gene"] == "non-targeting").to_numpy()]
    again = PerturbationModel.load(tmp_path)
    np.testing.assert_allclose(again.predict_delta(["P1"], controls), model.predict_delta(["P1"], controls), atol=1e-4)
    with pytest.raises(InputError, match="embeds counts, but X holds fractions"):
        fit(screen.adata[keep].copy(), features=screen.features, backbone="qbmvae", options=FAST)


def test_groups_compare_with_the_controls_of_their_context():
    rng = np.random.default_rng(0)
    contexts = np.array(["a", "b"] * 30)
    labels = np.array(["c"] * 30 + ["x"] * 30)
    x = rng.random((60, 3)) + 10 * (contexts == "b")[:, None] + (labels == "x")[:, None]
    groups = group(x, labels, contexts, "c")
    assert groups.labels.tolist() == ["x", "x"] and np.abs(groups.delta - 1).max() < 0.4
    shares = random_contexts(labels, 3, 0)
    assert {name: np.bincount(np.unique(shares[labels == name], return_inverse=True)[1]).tolist() for name in "cx"} == {
        "c": [10] * 3,
        "x": [10] * 3,
    }
    with pytest.raises(InputError, match="no perturbed cells share a context"):
        group(x, labels, np.where(labels == "c", "a", "b"), "c")


def test_held_out_groups_are_whole_folds():
    folds = np.repeat(["a", "b", "c", "d"], 3)
    out = held_out_groups(folds, 0)
    assert out.sum() == 3 and len(set(folds[out])) == 1
    assert not held_out_groups(np.array(["a"] * 4), 0).any()


def test_batches_cover_every_group_and_never_hold_one():
    rng = np.random.default_rng(0)
    labels = np.array(["c"] * 20 + [f"p{i}" for i in range(9) for _ in range(4)])
    groups = group(rng.random((56, 5)).astype(np.float32), labels, np.array(["a"] * 56), "c")
    from qbmvae.perturbation.backbones.local import LocalBackbone

    backbone = LocalBackbone("none", 5, 0, 2, 2)
    table = Features(tuple(f"p{i}" for i in range(9)), rng.random((9, 2)).astype(np.float32), "file")
    x = rng.random((56, 5)).astype(np.float32)
    inputs = torch.from_numpy(table.lookup(groups.labels))
    source = Source(backbone, torch.zeros(56, 0), inputs, groups, x, set_size=3, tuned=False, seed=0)
    sizes = [len(b.labels) for b in source.groups_epoch(np.arange(9), 4, rng)]
    assert sum(sizes) == 9 and min(sizes) > 1
    assert sum(len(b.labels) for b in source.cells_epoch(np.arange(9), 5, rng)) == 36


@pytest.fixture(scope="module")
def with_stages(parts, screen):
    """Options with the default patience, so that a fit validates first and then trains on everything."""
    train, _ = parts
    options = Options(n_qubits=2, n_layers=1, epochs=20, learning_rate=5e-3, ridge_start=False)
    assert options.patience > 0
    return options, fit(train, features=screen.features, options=options, seed=3)


@pytest.mark.parametrize(("stage", "epoch"), [("validate", 12), ("train", 4), ("train", 12)])
def test_a_stopped_fit_goes_on_in_its_own_stage(screen, parts, with_stages, tmp_path, stage, epoch):
    train, controls = parts
    options, whole = with_stages
    last = max(row["epoch"] for row in whole.history if row["stage"] == stage)
    rows = []

    def stop(row):
        if row["stage"] == stage and row["epoch"] == min(epoch, last):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(train, features=screen.features, options=options, seed=3, report=stop, checkpoint=tmp_path / "c.pt")
    arguments = {"features": screen.features, "options": options, "seed": 3, "checkpoint": tmp_path / "c.pt"}
    resumed = fit(train, report=rows.append, **arguments)
    assert resumed.history == whole.history and resumed.notes == whole.notes
    np.testing.assert_array_equal(resumed.predict_delta(["P1"], controls), whole.predict_delta(["P1"], controls))
    if stage == "train" and epoch > 10:
        assert {row["stage"] for row in rows} <= {"train"}  # nothing is validated again


def test_a_checkpoint_of_other_data_is_refused(screen, parts, tmp_path):
    train, _ = parts
    options = Options.from_dict(FAST.to_dict() | {"epochs": 10})
    arguments = {"features": screen.features, "seed": 3, "checkpoint": tmp_path / "c.pt"}
    fit(train, options=options, **arguments)
    changed = train.copy()
    changed.X = changed.X * 1.01
    with pytest.raises(InputError, match="other data"):
        fit(changed, options=options, **arguments)
    with pytest.raises(InputError, match="other options"):
        fit(train, options=Options.from_dict(options.to_dict() | {"learning_rate": 1e-3}), **arguments)
    (tmp_path / "c.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="checkpoint .* is damaged"):
        fit(train, options=options, **arguments)


def test_no_global_seed_is_touched(screen, parts):
    train, controls = parts
    torch.manual_seed(7)
    np.random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    model = fit(train, features=screen.features, options=FAST, seed=1)
    model.predict({"P1": 3}, controls, seed=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
