"""Cells through the one door: every container, order and file gives one embedding, and the user's object stays as it was."""

from __future__ import annotations

from collections.abc import Callable

import anndata as ad
import dask.array
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qbmvae import QBMVAE, fingerprint
from qbmvae.model.door import Cells
from samplers.errors import nearest

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


def copy_of(data: ad.AnnData, x, **layers) -> ad.AnnData:
    """Return fresh cells with the same names and columns, other containers."""
    obs = data.obs[[c for c in data.obs if not c.startswith("_scvi")]].copy()
    return ad.AnnData(x, obs=obs, var=data.var.copy(), layers=layers)


def state(adata: ad.AnnData) -> dict[str, object]:
    """Return everything that an AnnData holds, in a form that compares."""
    found: dict[str, object] = {"obs": adata.obs.copy(deep=True), "var": adata.var.copy(deep=True)}
    found["uns"] = {k: repr(v) for k, v in adata.uns.items()}
    found["types"] = [adata.is_view, adata.isbacked, adata.shape]
    for part in ("layers", "obsm"):
        for key, value in getattr(adata, part).items():
            found[f"{part}/{key}"] = fingerprint.of_matrix(value)
    # anndata itself cannot read X of some views of files
    if not (adata.isbacked and adata.is_view) and adata.X is not None:
        found["X"] = type(adata.X), str(adata.X.dtype), fingerprint.of_matrix(adata.X)
    if adata.raw is not None:
        found["raw"] = fingerprint.of_matrix(adata.raw.X), list(adata.raw.var_names)
    return found


def assert_same_state(before: dict[str, object], after: dict[str, object], what: str) -> None:
    assert before.keys() == after.keys(), what
    for key, value in before.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, after[key], obj=f"{what} {key}")
        else:
            assert value == after[key], (what, key)


# -- one data set in every form ---------------------------------------------------------------------------------------


def _memory(x: np.ndarray) -> dict[str, object]:
    csr = sp.csr_matrix(x)
    frozen = csr.copy()
    for part in (frozen.data, frozen.indices, frozen.indptr):
        part.setflags(write=False)
    wide = csr.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    twice = sp.csr_matrix(
        (np.tile(x[:, ::-1] / 2, (1, 2)).ravel(), np.tile(np.arange(x.shape[1])[::-1], 2 * len(x)), np.arange(len(x) + 1) * 2 * x.shape[1]),
        shape=x.shape,
    )  # fmt: skip
    return {
        "csr": csr,
        "csc": sp.csc_matrix(x),
        "csr array": sp.csr_array(x),
        "csc array": sp.csc_array(x.astype(np.int64)),
        "dense": x.copy(),
        "dense F": np.asfortranarray(x),
        "float64": csr.astype(np.float64),
        "float16": x.astype(np.float16),
        "uint16": csr.astype(np.uint16),
        "int64": x.astype(np.int64),
        "bool-free uint8 csc": sp.csc_matrix(np.minimum(x, 255).astype(np.uint8))
        if x.max() <= 255
        else sp.csc_matrix(x),
        "read-only": frozen,
        "int64 indices": wide,
        "unsummed": twice,
    }


def _forms(data: ad.AnnData, folder) -> dict[str, Callable[[], ad.AnnData]]:
    x = data.X.toarray()
    genes = np.random.default_rng(0).permutation(data.n_vars)
    forms: dict[str, Callable[[], ad.AnnData]] = {
        name: (lambda m=matrix: copy_of(data, m.copy())) if name != "read-only" else (lambda m=matrix: copy_of(data, m))
        for name, matrix in _memory(x).items()
    }
    plain = copy_of(data, sp.csr_matrix(x))
    extra = ad.AnnData(np.full((data.n_obs, 5), 0.5), obs=plain.obs, var=pd.DataFrame(index=list("vwxyz")))
    superset = ad.concat([extra, plain], axis=1, merge="same")[:, np.random.default_rng(1).permutation(data.n_vars + 5)]
    wrapped = ad.concat({"all": plain}, label="source", uns_merge="first")
    plain.write_h5ad(folder / "plain.h5ad")
    copy_of(data, sp.csc_matrix(x)).write_h5ad(folder / "csc.h5ad")
    copy_of(data, x).write_h5ad(folder / "dense.h5ad")
    superset.copy().write_h5ad(folder / "superset.h5ad")
    for version in (2, 3):
        with ad.settings.override(zarr_write_format=version):
            plain.write_zarr(folder / f"v{version}.zarr")
    raw = plain[:, :10].copy()
    raw.raw = plain[:, genes]
    return forms | {
        "other order": lambda: plain[:, genes].copy(),
        "view": lambda: plain[:, genes],
        "view of a view": lambda: superset[:, ::-1][:, ::-1],
        "superset": superset.copy,
        "copy with scvi's uuid": data.copy,
        "shuffled copy with scvi's uuid": lambda: data[:, genes].copy(),
        "concatenated": wrapped.copy,
        "h5ad": lambda: ad.read_h5ad(folder / "plain.h5ad"),
        "zarr v2": lambda: ad.read_zarr(folder / "v2.zarr"),
        "zarr v3": lambda: ad.read_zarr(folder / "v3.zarr"),
        "backed": lambda: ad.read_h5ad(folder / "plain.h5ad", backed="r"),
        "backed csc": lambda: ad.read_h5ad(folder / "csc.h5ad", backed="r"),
        "backed dense": lambda: ad.read_h5ad(folder / "dense.h5ad", backed="r"),
        "backed superset": lambda: ad.read_h5ad(folder / "superset.h5ad", backed="r"),
        "view of backed": lambda: ad.read_h5ad(folder / "superset.h5ad", backed="r")[:, ::-1],
        "view of backed dense": lambda: ad.read_h5ad(folder / "dense.h5ad", backed="r")[:, genes],
        "dask": lambda: copy_of(data, dask.array.from_array(x, chunks=(50, 60))),
        "dask of csr": lambda: copy_of(data, dask.array.from_array(sp.csr_matrix(x), chunks=(70, 60))),
        "view of dask": lambda: copy_of(data, dask.array.from_array(x, chunks=(50, 30)))[:, genes],
        "no labels": lambda: _without(plain, "cell_type"),
        "strange labels": lambda: _with(plain, cell_type=["new"] * data.n_obs),
        "missing labels": lambda: _with(plain, cell_type=pd.Categorical([None] * data.n_obs, categories=["A"])),
        "text batches": lambda: _with(plain, batch=plain.obs["batch"].astype(str)),
        "string batches": lambda: _with(plain, batch=plain.obs["batch"].astype("string")),
        "unused categories": lambda: _with(plain, batch=plain.obs["batch"].cat.add_categories(["zzz"])),
    }


def _with(data: ad.AnnData, **columns) -> ad.AnnData:
    made = data.copy()
    for name, values in columns.items():
        made.obs[name] = values
    return made


def _without(data: ad.AnnData, column: str) -> ad.AnnData:
    made = data.copy()
    del made.obs[column]
    return made


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("door")


@pytest.fixture(scope="session")
def forms(trained, files):
    return _forms(trained.adata, files)


@pytest.fixture(scope="session")
def reference(trained):
    return trained.get_latent_representation()


NAMES = [
    "csr", "csc", "csr array", "csc array", "dense", "dense F", "float64", "float16", "uint16", "int64", "read-only",
    "int64 indices", "unsummed", "other order", "view", "view of a view", "superset", "copy with scvi's uuid",
    "shuffled copy with scvi's uuid", "concatenated", "h5ad", "zarr v2", "zarr v3", "backed", "backed csc", "backed dense",
    "backed superset", "view of backed", "view of backed dense", "dask", "dask of csr", "view of dask", "no labels", "strange labels", "missing labels",
    "text batches", "string batches", "unused categories",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_form_gives_one_embedding_and_is_left_alone(trained, forms, reference, name, tmp_path):
    adata = forms[name]()
    before = state(adata)
    np.testing.assert_allclose(trained.get_latent_representation(adata), reference, atol=1e-5)
    np.testing.assert_allclose(trained.get_elbo(adata), trained.get_elbo(), rtol=1e-5)
    np.testing.assert_array_equal(trained.get_codes(adata), trained.get_codes())
    trained.write_latent_representation(tmp_path / "z.npz", adata)
    np.testing.assert_allclose(np.load(tmp_path / "z.npz")["X_qbmvae"], reference, atol=1e-5)
    assert_same_state(before, state(adata), name)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_selection_of_any_form_agrees(trained, forms, reference, data):
    adata = forms[data.draw(st.sampled_from(NAMES))]()
    rows = np.asarray(data.draw(st.lists(st.integers(-240, 239), min_size=1, max_size=12)))
    how = data.draw(st.sampled_from(["positions", "names", "view"]))
    if how == "view" and not adata.isbacked:
        found = trained.get_latent_representation(adata[np.unique(rows % 240)])
        np.testing.assert_allclose(found, reference[np.unique(rows % 240)], atol=1e-5)
        return
    found = trained.get_latent_representation(adata, indices=adata.obs_names[rows] if how == "names" else rows)
    np.testing.assert_allclose(found, reference[rows], atol=1e-5)


@pytest.mark.parametrize("name", ["csc array", "dense F", "unsummed", "other order", "superset", "backed superset"])
def test_every_entry_takes_every_form(trained, forms, reference, name, tmp_path):
    """Construction and training give what the plain CSR gives; the other entries give the reference's embedding."""
    trained.save(tmp_path / "m")
    trained.export(tmp_path / "m.safetensors")
    for what, enter in {
        "load": lambda a: QBMVAE.load(tmp_path / "m", adata=a),
        "from_export": lambda a: QBMVAE.from_export(tmp_path / "m.safetensors", adata=a),
        "load_query_data": lambda a: QBMVAE.load_query_data(a, trained),
    }.items():
        adata = forms[name]()
        before = state(adata)
        model = enter(adata)
        assert model.adata is adata
        np.testing.assert_allclose(model.get_latent_representation(), reference, atol=1e-5, err_msg=what)
        assert model.get_normalized_expression(indices=[3, 5]).shape == (2, 60)
        assert_same_state(before, state(adata), f"{what} {name}")


def test_training_is_the_same_for_every_container(trained, forms):
    found = {}
    for name in ("csr", "csc array", "dense F", "unsummed", "h5ad"):
        adata = forms[name]()
        QBMVAE.setup_anndata(adata, batch_key="batch")
        before = state(adata)
        model = QBMVAE(adata, n_latent=6, n_hidden=16)
        model.train(**QUICK)
        found[name] = model.get_latent_representation()
        assert_same_state(before, state(adata), name)
        np.testing.assert_allclose(found[name], found["csr"], atol=1e-5, err_msg=name)


# -- all calls ---------------------------------------------------------------------------------------------------------


def test_no_call_writes_to_the_users_object(trained, adata, tmp_path):
    """Over the whole surface: the model's own data, and other data."""
    own = trained.adata
    calls = {
        "latent": lambda a: trained.get_latent_representation(a, indices=[1, 2]),
        "moments": lambda a: trained.get_latent_representation(a, return_dist=True),
        "codes": trained.get_codes,
        "elbo": trained.get_elbo,
        "reconstruction": trained.get_reconstruction_error,
        "marginal": lambda a: trained.get_marginal_ll(a, n_mc_samples=2),
        "energy": trained.get_energy,
        "expression": lambda a: trained.get_normalized_expression(a, transform_batch="stim"),
        "predictive": lambda a: trained.posterior_predictive_sample(a, n_samples=2),
        "likelihood": trained.get_likelihood_parameters,
        "library": trained.get_latent_library_size,
        "correlation": lambda a: trained.get_feature_correlation_matrix(a, indices=np.arange(20), n_samples=2),
        "expression of groups": lambda a: trained.differential_expression(a, groupby="cell_type", silent=True),
        "expression of cells": lambda a: trained.differential_expression(
            a, idx1=a.obs["cell_type"] == "A", idx2=list(a.obs_names[a.obs["cell_type"] == "B"]), silent=True
        ),
        "write": lambda a: trained.write_latent_representation(tmp_path / "z.h5ad", a),
        "query": lambda a: QBMVAE.load_query_data(a, trained),
    }
    for cells in (own, adata):
        before = state(cells)
        for name, call in calls.items():
            call(cells)
            assert_same_state(before, state(cells), name)
    before = state(own)
    trained.generate(5, seed=0)
    trained.save(tmp_path / "m", save_anndata=True)
    QBMVAE.load(tmp_path / "m", adata=adata).get_elbo()
    assert QBMVAE.load(tmp_path / "m").adata.shape == own.shape
    assert_same_state(before, state(own), "save")
    assert "_scvi_batch" not in adata.obs and adata.uns == {}


def test_cells_take_the_x_that_anndata_assigns():
    """anndata 0.13 assigns X while it makes an object, and lists it among the layers under None."""
    counts = ad.AnnData(np.ones((4, 3), dtype=np.float32))
    cells = Cells(counts, None, counts.var)
    cells.X = sp.csr_matrix(np.eye(4, 3, dtype=np.float32))
    assert cells.X.sum() == 3
    assert nearest("x", [None, "counts"]) == "; known: 'counts'"
