"""The default embedding: two blocks, scaled, with the batches moved onto each other; fixed, saved, extended by queries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from qbmvae import QBMVAE
from qbmvae.core.csr import CsrBlock
from qbmvae.model import aligned_space
from qbmvae.model.aligned_space import CODE_WEIGHT, SCALING, AlignedSpace, log_expression
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


def test_blocks_are_scaled_components():
    rng = np.random.default_rng(0)
    code, expression = rng.random((300, 8)) ** 3, rng.normal(size=(300, 8)) * np.arange(8, 0, -1)
    space = AlignedSpace(8)
    space.fit_blocks(torch.tensor(code).float(), torch.tensor(expression).float())
    x = space.blocks(torch.tensor(code).float(), torch.tensor(expression).float()).numpy()
    assert x.shape == (300, 8)
    n = space.n_code
    centred = code - code.mean(0)
    scores = centred @ np.linalg.svd(centred, full_matrices=False)[2][:n].T
    scores *= CODE_WEIGHT / np.sqrt(scores.var(0, ddof=1).sum())
    np.testing.assert_allclose(np.abs(x[:, :n]), np.abs(scores), atol=1e-4)
    axes = expression[:, : 8 - n] / expression[:, : 8 - n].std(0) ** SCALING
    np.testing.assert_allclose(x[:, n:], axes / np.sqrt(axes.var(0).sum()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_latent", [1, 2, 3])
def test_narrow_codes(n_latent):
    space = AlignedSpace(n_latent)
    code, expression = torch.rand(20, n_latent), torch.randn(20, n_latent)
    space.fit_blocks(code, expression)
    assert space.blocks(code, expression).shape == (20, n_latent)
    # a code that says nothing, axes beyond what the cells span
    space.fit_blocks(torch.ones(20, n_latent), torch.zeros(20, n_latent))
    assert space.blocks(code, expression).isfinite().all()


def test_widths_of_the_blocks():
    assert [(s.n_code, s.n_axes) for s in map(AlignedSpace, (1, 2, 12, 64))] == [(0, 1), (1, 1), (3, 9), (34, 30)]


def test_a_saved_space_keeps_the_blocks_that_it_was_saved_with():
    saved = AlignedSpace(8)
    saved.code_mean, saved.code_map, saved.scales = torch.rand(8), torch.rand(5, 8), torch.rand(3)
    loaded = AlignedSpace(8)
    loaded.load_state_dict(saved.state_dict())
    code, expression = torch.rand(20, 8), torch.randn(20, 8)
    assert loaded.n_axes == 3 and loaded.fitted
    expected = torch.cat([(code - saved.code_mean) @ saved.code_map.T, expression[:, :3] * saved.scales], 1)
    torch.testing.assert_close(loaded.blocks(code, expression), expected)


def test_log_expression_of_a_choice_of_cells(monkeypatch):
    counts = np.random.default_rng(0).poisson(2.0, (900, 6)).astype(np.float32)
    whole = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4)
    found = sparse.csr_matrix(counts)
    block = CsrBlock(found.indptr.astype(np.int64), found.indices, found.data, 6)
    parts = [torch.tensor(counts[:100]), torch.tensor(counts[100:150]), torch.tensor(counts[150:])]
    for given in (parts, [block]):
        rows, x = log_expression(given, "nb", seed=0)
        assert len(rows) == 900
        np.testing.assert_allclose(x, whole, rtol=1e-5)
    # wide data: fewer cells, the same ones however they come
    monkeypatch.setattr(aligned_space, "GEOMETRY_VALUES", 3700)
    (rows, x), (same, _) = log_expression(parts, "nb", seed=0), log_expression([block], "nb", seed=0)
    assert len(rows) == 616 and torch.equal(rows, same)
    np.testing.assert_allclose(x, whole[rows], rtol=1e-5)
    np.testing.assert_array_equal(parts[0], counts[:100])
    raw = log_expression([torch.tensor(-counts)], "gaussian", seed=0)
    np.testing.assert_array_equal(raw[1], -counts[raw[0]])


def test_a_cell_has_the_same_coordinates_in_any_company(trained, adata):
    z = trained.get_latent_representation()
    assert z.shape == (240, 12)
    assert z.std(0).min() > 0
    np.testing.assert_allclose(trained.get_latent_representation(adata[20:35].copy()), z[20:35], atol=1e-4)
    np.testing.assert_allclose(trained.get_latent_representation(indices=[7]), z[7:8], atol=1e-4)
    np.testing.assert_allclose(trained.get_latent_representation(batch_size=17), z, atol=1e-4)
    assert trained.get_latent_representation(indices=[]).shape == (0, 12)


def test_batches_are_moved_onto_each_other_within_types(trained, adata):
    batch, types = (adata.obs[key].to_numpy() for key in ("batch", "cell_type"))

    def gap(z):
        means = [[z[(batch == b) & (types == t)].mean(0) for b in ("ctrl", "stim")] for t in "ABC"]
        return np.mean([np.linalg.norm(a - b) for a, b in means])

    apart, aligned = (trained.get_latent_representation(align_batches=a) for a in (False, True))
    assert gap(aligned) < 0.6 * gap(apart)
    np.testing.assert_array_equal(trained.get_latent_representation(), aligned)


def test_saved_exported_and_minified_models_keep_it(trained, adata, tmp_path):
    z = trained.get_latent_representation()
    trained.save(tmp_path / "model")
    again = QBMVAE.load(tmp_path / "model", adata=trained.adata)
    np.testing.assert_array_equal(again.get_latent_representation(), z)
    trained.export(tmp_path / "model.safetensors")
    exported = QBMVAE.from_export(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(exported.get_latent_representation(adata.copy()), z)
    trained.write_latent_representation(tmp_path / "z.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "z.npz")["X_qbmvae"], z)
    other = QBMVAE.load(tmp_path / "model", adata=adata.copy())
    expression = other.get_latent_representation(representation="expression")
    other.minify_adata()
    np.testing.assert_array_equal(other.get_latent_representation(), z)
    np.testing.assert_array_equal(other.get_latent_representation(indices=[5, 3]), z[[5, 3]])
    np.testing.assert_array_equal(other.get_latent_representation(representation="expression"), expression)


def test_without_batches_and_without_alignment(adata):
    QBMVAE.setup_anndata(adata)
    alone = QBMVAE(adata, n_latent=8, n_hidden=16)
    alone.train(**QUICK)
    np.testing.assert_array_equal(
        alone.get_latent_representation(), alone.get_latent_representation(align_batches=False)
    )
    QBMVAE.setup_anndata(adata, batch_key="batch")
    apart = QBMVAE(adata, n_latent=8, n_hidden=16, align_batches=False)
    apart.train(**QUICK)
    np.testing.assert_array_equal(
        apart.get_latent_representation(), apart.get_latent_representation(align_batches=False)
    )


def test_a_query_gets_offsets_of_its_own(trained, adata):
    query = adata[:80].copy()
    query.obs["batch"] = "new"
    mapped = QBMVAE.load_query_data(query, trained)
    where = mapped.get_latent_representation()
    np.testing.assert_array_equal(where, mapped.get_latent_representation(align_batches=False))
    mapped.train(max_epochs=1, progress_bar=False)
    moved = mapped.get_latent_representation() - mapped.get_latent_representation(align_batches=False)
    assert np.abs(moved).max() > 1e-3
    # the reference's cells stay where they were
    own = adata[100:140].copy()
    np.testing.assert_allclose(
        mapped.get_latent_representation(own), trained.get_latent_representation(own.copy()), atol=1e-4
    )


def test_the_same_seed_gives_the_same_alignment():
    from tests.qbmvae.conftest import make_adata

    found = []
    for _ in range(2):
        data = make_adata(120)
        QBMVAE.setup_anndata(data, batch_key="batch")
        model = QBMVAE(data, n_latent=8, n_hidden=16)
        model.train(seed=3, **QUICK)
        found.append(model.get_latent_representation())
    np.testing.assert_array_equal(*found)


def test_a_model_saved_before_the_linear_map_is_loaded_and_has_none(trained, tmp_path):
    trained.save(tmp_path / "model")
    file = tmp_path / "model" / "model.pt"
    saved = torch.load(file, weights_only=False)
    del saved["model_state_dict"]["aligned.geometry"]
    torch.save(saved, file)
    old = QBMVAE.load(tmp_path / "model", adata=trained.adata)
    # the map is linear: the coordinates without it, mapped
    without = torch.tensor(old.get_latent_representation())
    torch.testing.assert_close(
        without @ trained.module.aligned.geometry,
        torch.tensor(trained.get_latent_representation()),
        atol=1e-4,
        rtol=1e-4,
    )


def test_a_loaded_model_weighs_counts_as_it_did_when_it_was_saved(trained, tmp_path):
    trained.save(tmp_path / "model")
    file = tmp_path / "model" / "model.pt"
    saved = torch.load(file, weights_only=False)

    def embedding():
        torch.save(saved, file)
        return QBMVAE.load(file.parent, trained.adata).get_latent_representation()

    now = embedding()
    np.testing.assert_array_equal(now, trained.get_latent_representation())
    saved["model_state_dict"]["aligned.own_counts"] = torch.tensor([4.0])
    earlier = embedding()
    assert np.abs(earlier - now).max() > 1e-3
    # models saved before the weight was kept with them had this one
    del saved["model_state_dict"]["aligned.own_counts"]
    np.testing.assert_array_equal(embedding(), earlier)


def test_a_model_of_an_earlier_version_answers_with_expression(trained, tmp_path):
    trained.save(tmp_path / "model")
    file = tmp_path / "model" / "model.pt"
    saved = torch.load(file, weights_only=False)
    saved["model_state_dict"] = {k: v for k, v in saved["model_state_dict"].items() if "aligned." not in k}
    torch.save(saved, file)
    old = QBMVAE.load(tmp_path / "model", adata=trained.adata)
    np.testing.assert_array_equal(
        old.get_latent_representation(), trained.get_latent_representation(representation="expression")
    )
    with pytest.raises(InputError, match="earlier version"):
        old.get_latent_representation(representation="aligned")


def test_held_out_cells_are_aligned_too():
    """Cells that took no part in training come as close to the other batch as those that did."""
    from tests.qbmvae.conftest import make_adata

    data = make_adata(900, seed=1)
    QBMVAE.setup_anndata(data, batch_key="batch")
    model = QBMVAE(data, n_latent=16, n_hidden=32)
    model.train(max_epochs=15, seed=0, train_size=0.7, progress_bar=False, num_chains=64)
    z = {a: model.get_latent_representation(align_batches=a) for a in (False, True)}
    batch, types = data.obs["batch"].to_numpy(), data.obs["cell_type"].to_numpy()

    def gap(x, rows):
        inside = np.isin(np.arange(900), rows)
        pairs = [[x[inside & (batch == b) & (types == t)].mean(0) for b in ("ctrl", "stim")] for t in "ABC"]
        return np.mean([np.linalg.norm(a - b) for a, b in pairs])

    seen, unseen = (gap(z[True], rows) for rows in (model.train_indices, model.validation_indices))
    assert seen < 0.7 * gap(z[False], model.train_indices)
    assert unseen < 0.9 * gap(z[False], model.validation_indices)
