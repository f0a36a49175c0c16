from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import samplers
from qbmvae import QBMVAE
from samplers import InputError
from tests.qbmvae.conftest import make_adata

QUICK = {"max_epochs": 60, "batch_size": 32, "learning_rate": 3e-3, "progress_bar": False, "num_chains": 128, "seed": 0}
SHAPE = {"n_latent": 10, "n_hidden": 32, "n_layers": 1}


def _hide(adata, key="cell_type", share=0.7, seed=1):
    """Return the true labels, and write a column with most of them unknown."""
    truth = adata.obs[key].astype(str).to_numpy()
    hidden = np.random.default_rng(seed).random(adata.n_obs) < share
    adata.obs["known"] = pd.Categorical(np.where(hidden, "Unknown", truth))
    return truth, hidden


@pytest.fixture(scope="module")
def labelled():
    """A trained model with labels; tests must not change it."""
    adata = make_adata()
    truth, hidden = _hide(adata)
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="known", unlabeled_category="Unknown")
    model = QBMVAE(adata, **SHAPE)
    model.train(**QUICK)
    return model, truth, hidden


def test_the_journey(labelled, tmp_path):
    model, truth, hidden = labelled
    predicted = model.predict()
    assert isinstance(predicted, pd.Series)
    assert predicted.index.equals(model.adata.obs_names)
    assert (predicted[hidden] == truth[hidden]).mean() > 0.9
    soft = model.predict(soft=True)
    assert list(soft.columns) == ["A", "B", "C"]
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-9)
    assert (soft.idxmax(axis=1) == predicted).all()
    query = model.adata[:30].copy()
    for method in ("softmax", "knn"):
        other = model.predict(query, method=method)
        assert (other == truth[:30]).mean() > 0.8
        np.testing.assert_allclose(model.predict(query, soft=True, method=method).sum(1), 1, atol=1e-9)
    cells = model.generate(n_cells=60, label="B", batch="stim", seed=0)
    assert (cells.obs["label"] == "B").all()
    assert (cells.obs["batch"] == "stim").all()
    assert (model.predict(cells) == "B").mean() > 0.8
    table = model.get_label_log_partition()
    assert list(table.index) == ["A", "B", "C"]
    assert table["share"].sum() == pytest.approx(1, abs=1e-9)
    assert (table["standard_error"] >= 0).all()
    problem = model.prior_problem()
    assert list(problem.labels) == [*range(10), "A", "B", "C"]
    assert samplers.log_partition(problem, method="exact")[0] == pytest.approx(0.0, abs=1e-3)
    assert model.prior_problem(labels=False).n == 10

    model.save(tmp_path / "m")
    loaded = QBMVAE.load(tmp_path / "m", adata=model.adata)
    model.export(tmp_path / "m.safetensors")
    for again in (loaded, QBMVAE.from_export(tmp_path / "m.safetensors")):
        for method in ("machine", "softmax", "knn"):
            pd.testing.assert_frame_equal(
                again.predict(query, soft=True, method=method), model.predict(query, soft=True, method=method)
            )
        one, other = (m.generate(20, label="A", seed=3).X.toarray() for m in (again, model))
        np.testing.assert_array_equal(one, other)
        pd.testing.assert_frame_equal(again.get_label_log_partition(), table)


def test_hidden_labels_change_no_weight(adata):
    """Labels that are hidden are not there to leak; the rest of the model does not see any label."""
    truth, hidden = _hide(adata)
    states = []
    for shuffled in (False, True):
        other = adata.copy()
        values = truth.copy()
        if shuffled:
            values[hidden] = np.random.default_rng(5).permutation(values[hidden])
        other.obs["cell_type"] = pd.Categorical(values)
        QBMVAE.setup_anndata(other, batch_key="batch", labels_key="known", unlabeled_category="Unknown")
        model = QBMVAE(other, **SHAPE)
        model.train(**QUICK)
        states.append(model.module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    plain = adata.copy()
    QBMVAE.setup_anndata(plain, batch_key="batch")
    model = QBMVAE(plain, **SHAPE)
    model.train(**QUICK)
    assert all(torch.equal(value, states[0][name]) for name, value in model.module.state_dict().items())


def test_a_labels_key_alone_is_not_used(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    model = QBMVAE(adata, **SHAPE)
    assert model.module.labels is None
    model.train(**{**QUICK, "max_epochs": 1})
    assert model.prior_problem().n == 10
    with pytest.raises(InputError, match="no label units"):
        model.predict()
    with pytest.raises(InputError, match="no label units"):
        model.generate(5, label="A")


def test_labels_are_added_to_a_trained_model(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, **SHAPE)
    model.train(**QUICK)
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    truth, hidden = _hide(adata)
    columns = list(adata.obs)
    labelled = QBMVAE.from_unlabeled(model, adata, labels_key="known", unlabeled_category="Unknown")
    assert list(adata.obs) == columns
    assert (labelled.predict()[hidden] == truth[hidden]).mean() > 0.9
    assert all(torch.equal(v, model.module.state_dict()[k]) for k, v in before.items())
    assert all(torch.equal(v, labelled.module.state_dict()[k]) for k, v in before.items())
    np.testing.assert_array_equal(labelled.get_latent_representation(), model.get_latent_representation())
    assert labelled.get_log_partition() == model.get_log_partition()
    assert model.module.labels is None
    with pytest.raises(InputError, match="no category 'unknown'.*Unknown"):
        QBMVAE.from_unlabeled(model, adata, labels_key="known", unlabeled_category="unknown")


@pytest.mark.parametrize("column", [None, "reference labels", "other labels"])
def test_a_query_is_unlabelled_whatever_its_column_says(labelled, column):
    model, truth, _ = labelled
    query = model.adata[:80].copy()
    query.obs["batch"] = "lab2"
    del query.obs["known"]
    if column is not None:
        query.obs["known"] = "A" if column == "reference labels" else "Z"
    obs = query.obs.copy()
    if column == "other labels":
        with pytest.warns(UserWarning, match="labels that the model does not know .'Z'."):
            mapped = QBMVAE.load_query_data(query, model)
    else:
        mapped = QBMVAE.load_query_data(query, model)
    mapped.train(max_epochs=3, seed=0, progress_bar=False)
    predicted = mapped.predict()
    assert (predicted == truth[:80]).mean() > 0.85
    pd.testing.assert_frame_equal(query.obs, obs)
    pd.testing.assert_series_equal(mapped.predict(query), predicted)
    units = model.module.labels.state_dict()
    assert all(torch.equal(value, units[name]) for name, value in mapped.module.labels.state_dict().items())


def test_an_interrupted_training_ends_with_the_same_units(adata, tmp_path):
    _hide(adata)
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="known", unlabeled_category="Unknown")
    whole, again = QBMVAE(adata, **SHAPE), QBMVAE(adata, **SHAPE)
    whole.train(**QUICK)

    class Stop(Exception):
        pass

    def stop(trainer):
        if trainer.epoch == 5:
            raise Stop

    with pytest.raises(Stop):
        again.train(**QUICK, checkpoint_dir=tmp_path, on_epoch=stop)
    again = QBMVAE(adata, **SHAPE)
    again.train(**QUICK, resume_from=tmp_path)
    one, other = whole.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("options", [{"topology": "bipartite", "n_hidden_units": 6}, {"prior": "bernoulli"}])
def test_other_priors_over_bits_have_label_units_too(adata, options):
    truth, hidden = _hide(adata)
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="known", unlabeled_category="Unknown")
    model = QBMVAE(adata, **SHAPE, **options)
    model.train(**QUICK)
    assert (model.predict()[hidden] == truth[hidden]).mean() > 0.85
    assert model.generate(10, label="C", seed=0).n_obs == 10


def test_labels_of_a_label_have_its_depth(labelled):
    model, _, _ = labelled
    sizes, codes, _numbers, own = model.label_libraries_
    cells = model.generate(50, label="A", batch="ctrl", seed=0)
    allowed = sizes[(own == 0) & (codes[:, 0] == 0)]
    assert np.isin(cells.obs["library_size"], allowed).all()


def _column(adata, values):
    adata.obs["known"] = values
    return adata


def _setup(adata, labels_key="known", unlabelled="Unknown"):
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key=labels_key, unlabeled_category=unlabelled)


def test_unusable_labels_are_named(adata):
    n = adata.n_obs
    half = np.array(["A", "B"])[np.arange(n) % 2]
    some = np.where(np.arange(n) < 9, "Unknown", half)
    with pytest.raises(InputError, match="no category 'unknown'.*'Unknown'"):
        _setup(_column(adata, some), unlabelled="unknown")
    with pytest.raises(InputError, match="no cell has a label.*'known'"):
        _setup(_column(adata, np.repeat("Unknown", n)))
    with pytest.raises(InputError, match="holds one label, 'A'"):
        _setup(_column(adata, np.where(np.arange(n) < 9, "Unknown", "A")))
    with pytest.warns(UserWarning, match="single cell.*'Z'"):
        _setup(_column(adata, np.where(np.arange(n) == 20, "Z", some)))
    for numbers in (np.arange(n) % 3, np.arange(n) / 7):
        with pytest.raises(InputError, match="'known' holds numbers"):
            _setup(_column(adata, numbers))
    missing = pd.Series(some, index=adata.obs_names, dtype=object)
    missing.iloc[3] = np.nan
    with pytest.raises(InputError, match="'known' is missing for 1 cells .first: cell3.; write 'Unknown' there"):
        _setup(_column(adata, missing))
    with pytest.raises(InputError, match="same column 'batch'"):
        _setup(adata, labels_key="batch", unlabelled="ctrl")
    with pytest.raises(InputError, match="give labels_key="):
        QBMVAE.setup_anndata(adata, batch_key="batch", unlabeled_category="Unknown")
    with pytest.raises(InputError, match="no column 'knwon'.*known"):
        _setup(_column(adata, some), labels_key="knwon")
    _setup(_column(adata, some))
    with pytest.raises(InputError, match="prior over bits"):
        QBMVAE(adata, **SHAPE, prior="gaussian")


def test_labels_are_summed_out_of_an_energy(labelled):
    model, _, _ = labelled
    energy = model.get_energy(kind="labels")
    assert energy.shape == (model.adata.n_obs,)
    # a KL, of a machine that fits these cells no worse than the one without labels
    assert energy.mean() > 0
    assert energy.mean() < model.get_energy(kind="free").mean() + model.get_log_partition()[0] + 0.5
    silent = model.adata[:20].copy()
    silent.X = np.random.default_rng(0).permutation(silent.X.toarray().T).T
    assert model.get_energy(silent, kind="labels").shape == (20,)


def test_unknown_methods_and_labels_are_named(labelled):
    model, _, _ = labelled
    with pytest.raises(InputError, match="no method 'machin'.*machine"):
        model.predict(method="machin")
    with pytest.raises(InputError, match="no label 'b'.*'B'"):
        model.generate(5, label="b")


def test_every_cell_labelled(adata):
    adata.obs["known"] = adata.obs["cell_type"].astype("category").cat.add_categories("Unknown")
    _setup(adata)
    model = QBMVAE(adata, **SHAPE)
    model.train(**QUICK)
    assert (model.predict() == adata.obs["cell_type"].astype(str)).mean() > 0.9
