"""What a user's own file does when it meets a model: each case is right, or refused with the thing and the remedy named."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from qbmvae import QBMVAE
from qbmvae.data.align import MissingGenesWarning
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


def fitted(adata, /, train=QUICK, options=None, **setup) -> QBMVAE:
    QBMVAE.setup_anndata(adata, **(setup or {"batch_key": "batch"}))
    model = QBMVAE(adata, n_latent=6, n_hidden=16, **(options or {}))
    model.train(**train)
    return model


def beside(adata, names, value=1.0):
    """Return the cells with further genes behind them."""
    extra = ad.AnnData(np.full((adata.n_obs, len(names)), value), obs=adata.obs)
    extra.var_names = names
    return ad.concat([adata, extra], axis=1, merge="same")


# -- genes -------------------------------------------------------------------------------------------------------------


def test_genes_that_nobody_asked_for_may_stand_twice(trained, adata):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide, twice = beside(adata, ["x", "x"], 0.5), beside(adata, ["gene3"])
    np.testing.assert_array_equal(trained.get_latent_representation(wide), trained.get_latent_representation(adata))
    with pytest.raises(InputError, match="'gene3' appear more than once"):
        trained.get_latent_representation(twice)
    with pytest.raises(InputError, match="var_names.*make_unique"):
        QBMVAE.setup_anndata(wide)


def test_few_missing_genes_are_zeros_under_one_warning(trained, adata):
    few = adata[:, 3:].copy()
    with pytest.warns(
        MissingGenesWarning, match=r"3 of the model's 60 genes \(5.0%\).*'gene0', 'gene1', 'gene2'.*moves cells"
    ) as seen:
        found = trained.get_latent_representation(few)
        trained.get_elbo(few)
    assert len([w for w in seen if w.category is MissingGenesWarning]) == 1
    zeros = adata.copy()
    zeros.X[:, :3] = 0
    np.testing.assert_allclose(found, trained.get_latent_representation(zeros), atol=1e-6)


def test_a_file_that_was_cut_after_training_is_found_by_name(trained, adata):
    part = trained.adata[50:90, ::-1].copy()
    np.testing.assert_allclose(
        trained.get_latent_representation(part), trained.get_latent_representation()[50:90], atol=1e-6
    )
    both = ad.concat([trained.adata, trained.adata], index_unique="-", uns_merge="same")
    np.testing.assert_allclose(
        trained.get_latent_representation(both), np.tile(trained.get_latent_representation(), (2, 1)), atol=1e-6
    )


def test_a_full_file_loads_into_a_model_of_selected_genes(adata, tmp_path):
    adata.X[:, 40] = 0
    model = fitted(adata[:, 20:].copy())
    assert model.get_var_names().shape == (39,)
    model.save(tmp_path / "m")
    model.export(tmp_path / "m.safetensors")
    for loaded in (QBMVAE.load(tmp_path / "m", adata), QBMVAE.from_export(tmp_path / "m.safetensors", adata)):
        np.testing.assert_allclose(loaded.get_latent_representation(), model.get_latent_representation(), atol=1e-6)
        assert loaded.registry_["field_registries"]["X"]["state_registry"]["dropped_genes"].tolist() == ["gene40"]


def test_names_of_genes_of_scvi_tools_methods(trained):
    with pytest.raises(InputError, match="no gene 'gene1x'; nearest: 'gene1"):
        trained.get_normalized_expression(gene_list=["gene3", "gene1x"])
    with pytest.raises(InputError, match="knows no batch 'stm'; nearest: 'stim'"):
        trained.posterior_predictive_sample(transform_batch="stm")
    with pytest.raises(InputError, match="no column 'type'"):
        trained.differential_expression(groupby="type")
    with pytest.raises(InputError, match="no option 'num_workers'"):
        trained.get_normalized_expression(data_loader_kwargs={"num_workers": 2})


# -- counts ------------------------------------------------------------------------------------------------------------


def normalised(adata):
    other = adata.copy()
    other.X = other.X.astype(np.float64)
    other.X.data = np.log1p(other.X.data)
    return other


def test_the_message_says_where_the_counts_are(trained, adata):
    other = normalised(adata)
    with pytest.raises(InputError, match="X holds non-integer.*layer 'counts' holds counts: use layer='counts'"):
        trained.get_latent_representation(other)
    del other.layers["counts"]
    other.raw = adata
    with pytest.raises(InputError, match='adata.raw holds counts: use layer="raw"'):
        trained.get_latent_representation(other)
    empty = ad.AnnData(obs=adata.obs, var=adata.var, layers={"counts": adata.X})
    with pytest.raises(InputError, match="X is empty.*layer 'counts' holds counts"):
        trained.get_latent_representation(empty)


def test_counts_in_raw(adata, tmp_path):
    other = normalised(adata)[:, :30].copy()
    other.raw = adata[:, ::-1]
    model = fitted(other, batch_key="batch", layer="raw")
    plain = fitted(adata[:, :30].copy())
    assert list(model.get_var_names()) == list(adata.var_names[:30])
    np.testing.assert_allclose(model.get_latent_representation(), plain.get_latent_representation(), atol=1e-5)
    # of a query's raw, the model's genes; what its X holds does not matter
    query = normalised(adata)[:, 40:].copy()
    query.raw = adata
    np.testing.assert_allclose(model.get_latent_representation(query), model.get_latent_representation(), atol=1e-5)
    query.write_h5ad(tmp_path / "q.h5ad")
    backed = ad.read_h5ad(tmp_path / "q.h5ad", backed="r")
    np.testing.assert_allclose(model.get_latent_representation(backed), model.get_latent_representation(), atol=1e-5)
    part = backed[np.arange(10, 40)]
    np.testing.assert_allclose(
        model.get_latent_representation(part), model.get_latent_representation()[10:40], atol=1e-5
    )
    with pytest.raises(InputError, match="no layer 'raw'; nearest: 'counts'|no layer 'raw'; known"):
        QBMVAE.setup_anndata(adata, layer="raw")


def test_counts_that_were_changed_after_training_are_refused(adata):
    model = fitted(adata)
    expected = model.get_latent_representation()
    adata.obs["leiden"], adata.var["mean"] = "0", 1.0
    adata.var_names = [f"symbol{i}" for i in range(60)]
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    assert set(model.differential_expression(idx1=[0, 1, 2], silent=True).index) == {f"gene{i}" for i in range(60)}
    adata.X.data[:] = np.log1p(adata.X.data)
    for call in (model.get_latent_representation, lambda: model.get_elbo(adata), lambda: model.train(**QUICK)):
        with pytest.raises(InputError, match="counts in X have changed since the model was made"):
            call()
    apart = fitted(other := make(adata, layer=True), batch_key="batch", layer="counts")
    expected = apart.get_latent_representation()
    other.X.data[:] = 0.5
    np.testing.assert_array_equal(apart.get_latent_representation(), expected)
    other._inplace_subset_obs(np.arange(100))
    with pytest.raises(InputError, match="layer 'counts' have changed"):
        apart.get_latent_representation()


def make(adata, layer):
    x = sp.csr_matrix(np.random.default_rng(0).poisson(3.0, adata.shape).astype(np.float32))
    return ad.AnnData(
        x, obs=adata.obs[["batch"]].copy(), var=pd.DataFrame(index=adata.var_names), layers={"counts": x.copy()}
    )


def test_the_right_cell_and_gene_are_named_in_every_container(trained, adata, tmp_path):
    x = adata.X.toarray()
    x[77, 5] = 1.5
    words = r"non-integer.*'cell77' \(row 77\), gene 'gene5'"
    back = ad.AnnData(sp.csc_array(x), obs=adata.obs, var=adata.var)[:, ::-1].copy()
    back.write_h5ad(tmp_path / "bad.h5ad")
    for other in (
        back,
        ad.AnnData(np.asfortranarray(x, dtype=np.float16), obs=adata.obs, var=adata.var),
        ad.AnnData(sp.csr_matrix(x), obs=adata.obs, var=adata.var)[:, ::-1],
        ad.read_h5ad(tmp_path / "bad.h5ad", backed="r"),
    ):
        with pytest.raises(InputError, match=words):
            trained.get_latent_representation(other)


def test_cells_without_counts_and_no_cells(trained, adata):
    adata.X[:3] = 0
    adata.X[:, 30:] = 0
    z = trained.get_latent_representation(adata)
    assert np.isfinite(z).all() and np.isfinite(trained.get_elbo(adata, return_mean=False)).all()
    assert trained.get_latent_representation(adata[:0]).shape == (0, 12)
    assert trained.get_latent_representation(adata[:1]).shape == (1, 12)
    np.testing.assert_allclose(trained.get_latent_representation(adata[5:6]), z[5:6], atol=1e-5)


# -- columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [[True, False], [0.0, 1.0], pd.array([1, 2], dtype="Int64"), pd.array(["a", "b"], dtype="string"),
     pd.to_datetime(["2020-01-01", "2020-01-02"]), pd.array([True, False], dtype="boolean"), [3, 12]],
    ids=["bool", "float", "Int64", "string", "days", "boolean", "int"],
)  # fmt: skip
def test_batches_of_any_type(adata, values, tmp_path):
    adata.obs["batch"] = pd.Series(values).iloc[np.arange(240) % 2].to_numpy()
    model = fitted(adata)
    model.save(tmp_path / "m")
    model.export(tmp_path / "m.safetensors")
    text = adata.copy()
    text.obs["batch"] = adata.obs["batch"].astype(str).astype("category")
    for loaded in (QBMVAE.load(tmp_path / "m", text), QBMVAE.from_export(tmp_path / "m.safetensors", text)):
        np.testing.assert_allclose(loaded.get_latent_representation(), model.get_latent_representation(), atol=1e-6)
        assert loaded.get_normalized_expression(transform_batch=str(text.obs["batch"].iloc[0])).shape == adata.shape
        assert loaded.generate(3, batch=text.obs["batch"].iloc[0], seed=0).n_obs == 3


def test_batches_that_the_model_does_not_know(trained, adata):
    for value, words in [("Stim ", "did you mean 'stim'"), ("stin", "nearest: 'stim'"), ("lab9", "load_query_data")]:
        other = adata.copy()
        other.obs["batch"] = value
        with pytest.raises(InputError, match=words):
            trained.get_latent_representation(other)
    with pytest.raises(InputError, match="no column 'batch'; known: 'age', 'cell_type', 'donor', 'size'"):
        trained.get_latent_representation(ad.AnnData(adata.X, obs=adata.obs.drop(columns="batch"), var=adata.var))


def test_integers_in_training_and_text_and_new_ones_in_a_query(adata):
    adata.obs["batch"] = adata.obs["batch"].cat.codes.to_numpy()
    model = fitted(adata)
    query = adata.copy()
    query.obs["batch"] = query.obs["batch"].astype(str).replace({"1": "lab9"})
    mapped = QBMVAE.load_query_data(query, model)
    mapped.train(**QUICK)
    for name in ("lab9", 0, "1"):
        assert mapped.get_normalized_expression(transform_batch=name).shape == query.shape
    np.testing.assert_allclose(mapped.get_codes(), model.get_codes())


@pytest.mark.parametrize("scale", [1 / 250, 1.0])
def test_size_factors_of_any_scale_give_the_datas_depth(adata, scale):
    adata.obs["factor"] = adata.obs["size"] * scale
    model = fitted(adata, batch_key="batch", size_factor_key="factor")
    depth = adata.X.sum() / 240
    assert model.generate(300, seed=0).X.sum() / 300 == pytest.approx(depth, rel=0.05)
    assert model.posterior_predictive_sample().sum().todense() / 240 == pytest.approx(depth, rel=0.05)
    assert model.get_latent_library_size().mean() == pytest.approx(depth, rel=1e-4)
    half = adata[:120].copy()
    np.testing.assert_allclose(model.get_elbo(half, return_mean=False), model.get_elbo(return_mean=False, indices=range(120)), rtol=1e-4)  # fmt: skip
    total = fitted(adata.copy(), batch_key="batch", size_factor_key="size")
    # the factors agree to rounding; a sampled bit may then flip
    assert model.get_elbo() == pytest.approx(total.get_elbo(), rel=0.01)


@pytest.mark.parametrize(("value", "words"), [(0.0, "is 0.0 at cell 'cell3'"), (-1.0, "is -1.0"), (np.nan, "missing for 1 cells"), ("x", "not numbers")])  # fmt: skip
def test_size_factors_that_cannot_be(adata, value, words):
    adata.obs["size"] = adata.obs["size"].astype(object)
    adata.obs.iloc[3, adata.obs.columns.get_loc("size")] = value
    if not isinstance(value, str):
        adata.obs["size"] = adata.obs["size"].astype(float)
    with pytest.raises(InputError, match=words):
        QBMVAE.setup_anndata(adata, size_factor_key="size")


def test_keys_that_are_named_wrongly(adata):
    for setup, words in [
        ({"categorical_covariate_keys": "donor"}, r"takes a list of columns.*\['donor'\]"),
        ({"continuous_covariate_keys": "age"}, "takes a list of columns"),
        ({"categorical_covariate_keys": ["donor", "donor"]}, "'donor' more than once"),
        ({"batch_key": ["batch"]}, "named by text"),
        ({"batch_key": 3}, "named by text"),
        ({"layer": 3}, "name of a layer"),
        ({"continuous_covariate_keys": ["donor"]}, "'donor' holds category, not numbers|not numbers"),
    ]:
        with pytest.raises(InputError, match=words):
            QBMVAE.setup_anndata(adata, **setup)
    adata.obs.iloc[4, adata.obs.columns.get_loc("age")] = np.inf
    with pytest.raises(InputError, match="'age' is inf at cell 'cell4'"):
        QBMVAE.setup_anndata(adata, continuous_covariate_keys=["age"])
    with pytest.raises(InputError, match="view of other data"):
        QBMVAE.setup_anndata(adata[:10])


def test_labels_may_be_missing_in_training(adata):
    adata.obs["label"] = pd.Series([None] * 50 + ["x"] * 190, index=adata.obs_names)
    before = adata.obs["label"].copy()
    model = fitted(adata, batch_key="batch", labels_key="label")
    pd.testing.assert_series_equal(adata.obs["label"], before)
    assert np.isfinite(model.get_elbo())


def test_unused_categories_are_no_batches(adata):
    adata.obs["batch"] = adata.obs["batch"].cat.set_categories(["never", "stim", "ctrl"])
    model = fitted(adata)
    assert model.module.n_batch == 2 and model.generate(5, batch="ctrl", seed=0).n_obs == 5


# -- generation, minification, tiny data, resumption --------------------------------------------------------------------


def test_generation_uses_the_datas_covariates(adata, tmp_path):
    # depth per gene follows age in these data: ages of 0 would give other cells
    adata.obs["age"] = np.where(np.arange(240) % 2, 3.0, 1.0)
    x = adata.X.toarray()
    x[adata.obs["age"] == 3.0, :5] *= 20
    adata.X = sp.csr_matrix(x)
    train = {**QUICK, "max_epochs": 60, "learning_rate": 1e-2}
    model = fitted(
        adata, train=train, batch_key="batch", continuous_covariate_keys=["age"], categorical_covariate_keys=["donor"]
    )
    share = x[:, :5].sum() / x.sum()
    model.save(tmp_path / "m")
    model.export(tmp_path / "m.safetensors")
    loaded = QBMVAE.load(tmp_path / "m", adata=False)
    for each in (model, loaded, QBMVAE.from_export(tmp_path / "m.safetensors")):
        made = each.generate(400, seed=0).X.toarray()
        assert made[:, :5].sum() / made.sum() == pytest.approx(share, rel=0.15)
    predicted = model.posterior_predictive_sample().todense()
    assert predicted[:, :5].sum() / predicted.sum() == pytest.approx(share, rel=0.15)


def test_generation_leaves_the_prior_where_it_is(adata, monkeypatch):
    model = fitted(adata, options={"prior": "gaussian"})

    def moved(*_):
        raise AssertionError("the prior was moved")

    monkeypatch.setattr(type(model.module.vae.prior), "cpu", moved, raising=False)
    assert model.sample_prior(5, seed=0).dtype == np.float32
    assert fitted(adata).sample_prior(5, seed=0).dtype == np.int8


@pytest.mark.parametrize("kind", ["latent_posterior_parameters", "latent_posterior_parameters_with_counts"])
def test_minification_needs_no_arguments(adata, tmp_path, kind):
    adata.X[:, 9] = 0
    model = fitted(adata)
    before, z = adata.copy(), model.get_latent_representation()
    model.minify_adata() if kind.endswith("parameters") else model.minify_adata(kind)
    assert model.adata is not adata and model.adata.shape == (240, 59) and adata.obs.equals(before.obs)
    np.testing.assert_allclose(model.get_latent_representation(), z, atol=1e-5)
    np.testing.assert_allclose(model.get_latent_representation(indices=["cell7"]), z[7:8], atol=1e-5)
    assert model.get_normalized_expression(indices=[1, 2]).shape == (2, 59)
    model.save(tmp_path / "m", save_anndata=True)
    loaded = QBMVAE.load(tmp_path / "m")
    np.testing.assert_allclose(loaded.get_latent_representation(), z, atol=1e-5)
    np.testing.assert_allclose(loaded.get_latent_representation(before), z, atol=1e-5)
    assert np.isfinite(loaded.get_elbo(before))
    if kind.endswith("counts"):
        assert np.isfinite(loaded.get_elbo())
    else:
        with pytest.raises(InputError, match="needs the counts"):
            loaded.get_elbo()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_handful_of_cells_trains(adata, n):
    assert np.isfinite(fitted(adata[:n].copy()).get_latent_representation()).all()
    assert np.isfinite(fitted(adata[:n].copy(), train={**QUICK, "batch_size": 2}).get_elbo())


def test_tiny_data_and_odd_options(adata):
    with pytest.raises(InputError, match="no cells"):
        fitted(adata[:0].copy())
    with pytest.raises(InputError, match="1 training cells: batch normalisation"):
        fitted(adata[:1].copy())
    assert np.isfinite(fitted(adata[:, :1].copy()).get_elbo())
    adata.obs["batch"] = ["alone", *["others"] * 239]
    assert np.isfinite(fitted(adata.copy()).get_elbo())
    one = {"train": {**QUICK, "batch_size": 1}}
    assert np.isfinite(fitted(adata[:20].copy(), options={"normalisation": "layer"}, **one).get_elbo())
    for train, words in [
        ({"batch_size": 1}, 'normalisation="layer"'),
        ({"max_epochs": 0}, "max_epochs must be a whole number >= 1, not 0"),
        ({"max_epochs": 1.5}, "max_epochs must be a whole number >= 1, not 1.5"),
        ({"batch_size": 64.0}, "batch_size must be a whole number"),
        ({"validation_size": -0.1}, "validation_size"),
        ({"external_indexing": [[0.0, 1.0]]}, r"external_indexing\[0\] must be whole numbers"),
    ]:
        with pytest.raises(InputError, match=words):
            fitted(adata.copy(), train={**QUICK, **train})
    split = fitted(
        adata.copy(), train={**QUICK, "external_indexing": [list(adata.obs_names[:200]), np.arange(240) > 220]}
    )
    assert len(split.train_indices) == 200 and list(split.validation_indices) == list(range(221, 240))


def test_training_resumes_with_the_same_cells_alone(adata, tmp_path):
    model = fitted(adata.copy(), train={**QUICK, "checkpoint_dir": tmp_path})

    def resumed(data):
        QBMVAE.setup_anndata(data, batch_key="batch")
        other = QBMVAE(data, n_latent=6, n_hidden=16)
        other.train(resume_from=tmp_path, progress_bar=False)
        return other.get_latent_representation()

    same = ad.AnnData(np.asfortranarray(adata.X.toarray()), obs=adata.obs.astype({"batch": str}), var=adata.var)
    np.testing.assert_allclose(resumed(same), model.get_latent_representation(), atol=1e-5)
    changed = adata.copy()
    changed.X[5, 7] += 1
    with pytest.raises(InputError, match="not the data of the interrupted training: counts differ"):
        resumed(changed)
    moved = adata.copy()
    moved.obs["batch"] = adata.obs["batch"].to_numpy()[::-1]
    with pytest.raises(InputError, match="batches differ"):
        resumed(moved)
    with pytest.raises(InputError, match="had 2.. cells or more, these data have 100"):
        resumed(adata[:100].copy())


def test_a_third_chemistry_maps_at_the_first_try(adata, maker):
    """A reference of two batches, a query of another as the instrument leaves it; then labels by the nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    adata.X[:, [4, 5]] = 0
    reference = fitted(adata, train={**QUICK, "max_epochs": 100}, batch_key="batch", labels_key="cell_type")
    query = maker(seed=0)[:, rng.permutation(60)].copy()
    query.X[:, :3] = 0
    query = beside(query, [f"new{i}" for i in range(20)], 2.0)
    query.obs = query.obs[["cell_type"]].assign(batch="v3").rename(columns={"cell_type": "truth"})
    before = query.obs.copy()
    model = QBMVAE.load_query_data(query, reference)
    model.train(**QUICK)
    z = model.get_latent_representation()
    knn = KNeighborsClassifier(5).fit(reference.get_latent_representation(), adata.obs["cell_type"])
    assert (knn.predict(z) == query.obs["truth"].to_numpy()).mean() > 0.95
    pd.testing.assert_frame_equal(query.obs, before)


# -- copies, old files, other libraries --------------------------------------------------------------------------------


@pytest.fixture
def old_cells(maker):
    """The cells that the models in `saved_before` were made with."""
    cells = maker(genes=20)
    cells.obs["batch"] = cells.obs["batch"].cat.codes.astype(int)
    return cells


@pytest.mark.parametrize("data", [True, False])
def test_models_saved_before_the_door_load(data, old_cells):
    folder = Path(__file__).parent / "saved_before"
    z, cells = np.load(folder / "latent.npy"), old_cells
    models = [
        QBMVAE.load(folder, cells if data else False),
        QBMVAE.from_export(folder / "model.safetensors", cells if data else None),
    ]
    for model in models:
        # what covariates change is decoded in bfloat16 since
        np.testing.assert_allclose(model.get_latent_representation(None if data else cells), z, atol=1e-4)
        assert model.generate(10, seed=0).shape == (10, 20)
        query = cells.copy()
        query.obs["batch"] = "new"
        assert np.isfinite(QBMVAE.load_query_data(query, model).get_elbo())


def test_a_model_is_copied_and_pickled(trained):
    for again in (copy.deepcopy(trained), pickle.loads(pickle.dumps(trained))):
        np.testing.assert_array_equal(again.get_latent_representation(), trained.get_latent_representation())


def test_two_registrations_and_scvi_tools_on_one_object(adata):
    first = fitted(adata)
    expected = first.get_latent_representation()
    second = fitted(adata, batch_key="donor", layer="counts")
    np.testing.assert_array_equal(first.get_latent_representation(), expected)
    assert second.module.n_batch == 3
    # of this object alone: without an argument scvi-tools forgets every registration of the process
    first.deregister_manager(first.adata)
    np.testing.assert_array_equal(first.get_latent_representation(), expected)


def test_objects_that_are_refused(trained, adata, tmp_path):
    adata.write_zarr(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="read_lazy.*open_cells"):
        trained.get_latent_representation(ad.experimental.read_lazy(tmp_path / "a.zarr"))
    with pytest.raises(InputError, match="not as str"):
        trained.get_latent_representation("cells.h5ad")
    twice = adata.copy()
    twice.obs.insert(0, "batch", adata.obs["batch"], allow_duplicates=True)
    with pytest.raises(InputError, match="has 2 columns 'batch'"):
        trained.get_latent_representation(twice)
    twice = adata.copy()
    twice.obs.insert(0, "age", 0.0, allow_duplicates=True)
    assert trained.get_latent_representation(twice).shape == (240, 12)


def test_groups_that_overlap_are_named(trained):
    with pytest.raises(InputError, match="share 2 cells, first 'cell1'"):
        trained.differential_expression(idx1=["cell1", "cell2"], idx2=[1, 2, 3])


def test_a_query_of_one_cell_trains(trained, adata):
    one = adata[:1].copy()
    one.obs["batch"] = "new"
    query = QBMVAE.load_query_data(one, trained)
    query.train(**QUICK)
    assert np.isfinite(query.get_elbo())
