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


def _ends_the_same_after_an_interruption(adata, options, folder, epoch):
    """Train to the end, and again with an interruption at an epoch: both models have the same weights to the bit."""
    whole, again = QBMVAE(adata, **SHAPE), QBMVAE(adata, **SHAPE)
    whole.train(**options)

    class Stop(Exception):
        pass

    def stop(trainer):
        if trainer.epoch == epoch:
            raise Stop

    with pytest.raises(Stop):
        again.train(**options, checkpoint_dir=folder, on_epoch=stop)
    again = QBMVAE(adata, **SHAPE)
    again.train(**options, resume_from=folder)
    one, other = whole.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_interrupted_training_ends_with_the_same_units(adata, tmp_path):
    _hide(adata)
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="known", unlabeled_category="Unknown")
    _ends_the_same_after_an_interruption(adata, QUICK, tmp_path, epoch=5)


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
    sizes, codes, _numbers, own, _posteriors = model.label_libraries_
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


@pytest.fixture(scope="module")
def two_columns():
    """A trained model with two columns of labels, each hidden on its own; tests must not change it."""
    adata = make_adata()
    rng = np.random.default_rng(3)
    truth = {"cell_type": adata.obs["cell_type"].astype(str).to_numpy()}
    # a second column that the type half decides: the two are coupled
    late = np.where(rng.random(adata.n_obs) < 0.8, truth["cell_type"] != "A", truth["cell_type"] == "A")
    truth["stage"] = np.where(late, "late", "early")
    x = adata.X.toarray()
    x[late, :8] += 20
    adata.X = x.astype(np.float32)
    for key, values in truth.items():
        adata.obs[f"known_{key}"] = np.where(rng.random(adata.n_obs) < 0.5, "Unknown", values)
    keys = [f"known_{key}" for key in truth]
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key=keys, unlabeled_category="Unknown")
    model = QBMVAE(adata, **SHAPE)
    model.train(**QUICK)
    return model, truth


def test_several_columns_are_predicted_together_and_alone(two_columns, tmp_path):
    model, truth = two_columns
    predicted = model.predict()
    assert list(predicted) == ["known_cell_type", "known_stage"]
    for key, values in truth.items():
        assert (predicted[f"known_{key}"] == values).mean() > 0.85
    soft = model.predict(soft=True)
    for method in ("machine", "softmax", "knn"):
        for key in truth:
            alone = model.predict(soft=True, method=method, labels_key=f"known_{key}")
            np.testing.assert_allclose(alone.sum(1), 1, atol=1e-9)
            assert (alone.idxmax(axis=1) == truth[key]).mean() > 0.8
            if method == "machine":
                pd.testing.assert_frame_equal(alone, soft[f"known_{key}"])
    # coupled: the machine's joint probabilities are no product of its marginals
    table = model.get_label_log_partition()
    assert table.index.names == ["known_cell_type", "known_stage"]
    joint = table["share"].unstack()
    assert joint.to_numpy().sum() == pytest.approx(1)
    independent = np.outer(joint.sum(1), joint.sum(0))
    assert np.abs(joint.to_numpy() - independent).max() > 0.05
    model.export(tmp_path / "m.safetensors")
    again = QBMVAE.from_export(tmp_path / "m.safetensors")
    query = model.adata[:20].copy()
    for method in ("machine", "knn"):
        pd.testing.assert_frame_equal(again.predict(query, method=method), model.predict(query, method=method))


def test_two_columns_make_one_problem_that_enumeration_normalises(two_columns):
    model, _ = two_columns
    problem = model.prior_problem()
    names = ["known_cell_type=A", "known_cell_type=B", "known_cell_type=C", "known_stage=early", "known_stage=late"]
    assert list(problem.labels) == [*range(10), *names]
    assert samplers.log_partition(problem, method="exact")[0] == pytest.approx(0.0, abs=1e-2)
    # log Z and shares: summing the bits out leaves the shares of the combinations
    table = model.get_label_log_partition()
    states = ((np.arange(2**10)[:, None] >> np.arange(10)) & 1).astype(np.float64)
    b, W, U = (t.detach().double().numpy() for t in (
        model.module.labels.machine.prior.bias, model.module.labels.machine.prior.W, model.module.labels.machine.U
    ))  # fmt: skip
    quadratic = states @ b + 0.5 * np.einsum("ni,ij,nj->n", states, W, states)
    exact = [np.logaddexp.reduce(quadratic + states @ (U[i] + U[3 + j])) for i in range(3) for j in range(2)]
    np.testing.assert_allclose(table["log_partition"], exact, atol=5 * table["standard_error"].max() + 1e-5)


def test_columns_are_clamped_or_summed_out_each_alone(two_columns):
    model, _ = two_columns
    told = {}
    for stage in ("early", "late"):
        both = model.generate(60, label={"known_cell_type": "A", "known_stage": stage}, seed=0)
        assert (both.obs["known_cell_type"] == "A").all()
        assert (both.obs["known_stage"] == stage).all()
        assert (model.predict(both, labels_key="known_cell_type") == "A").mean() > 0.7
        told[stage] = (model.predict(both, labels_key="known_stage") == "late").mean()
    # fields add up, so that a rare combination (a fifth of the type) is met less well than a common one
    assert told["early"] < 0.2
    assert told["late"] > told["early"] + 0.3
    one = model.generate(300, label={"known_cell_type": "A"}, seed=0)
    assert (one.obs["known_cell_type"] == "A").all()
    shares = model.get_label_log_partition()["share"].loc["A"]
    wanted = shares["early"] / shares.sum()
    assert (one.obs["known_stage"] == "early").mean() == pytest.approx(
        wanted, abs=4 * (wanted * (1 - wanted) / 300) ** 0.5
    )
    # what is summed out is what it says
    told = model.predict(one, labels_key="known_stage")
    assert (told == one.obs["known_stage"].astype(str)).mean() > 0.8
    codes = model.sample_prior(40, label={"known_stage": "early"}, seed=0)
    assert codes.shape == (40, 10)
    with pytest.raises(InputError, match="several columns of labels: write label=.'known_cell_type': 'A'."):
        model.generate(5, label="A")
    with pytest.raises(InputError, match="no labels_key 'stage'.*known_stage"):
        model.generate(5, label={"stage": "early"})
    with pytest.raises(InputError, match="no label 'later'.*'late'"):
        model.generate(5, label={"known_stage": "later"})
    with pytest.raises(InputError, match="no labels_key 'known'"):
        model.predict(labels_key="known")


def test_several_columns_are_added_to_a_trained_model_and_kept_by_a_query(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, **SHAPE)
    model.train(**QUICK)
    truth, hidden = _hide(adata)
    adata.obs["other"] = pd.Categorical(np.where(hidden, "Unknown", np.where(truth == "A", "yes", "no")))
    columns = list(adata.obs)
    labelled = QBMVAE.from_unlabeled(model, adata, ["known", "other"], "Unknown")
    assert list(adata.obs) == columns
    assert ((labelled.predict()["other"] == "yes") == (truth == "A")).mean() > 0.9
    # a combination that no cell has is refused, and never predicted
    with pytest.raises(InputError, match="no cell has the labels .*together"):
        labelled.generate(5, label={"known": "A", "other": "no"})
    query = adata[:40].copy()
    query.obs["batch"] = "lab2"
    del query.obs["known"], query.obs["other"]
    mapped = QBMVAE.load_query_data(query, labelled)
    assert list(mapped.predict()) == ["known", "other"]
    with pytest.raises(InputError, match="names 'known' more than once"):
        QBMVAE.from_unlabeled(model, adata, ["known", "known"], "Unknown")
    with pytest.raises(InputError, match="no category 'Unknown'.*cell_type|cell_type.*no category"):
        QBMVAE.from_unlabeled(model, adata, ["known", "cell_type"], "Unknown")


def test_labels_may_train_the_encoder_and_hidden_ones_never_do(adata):
    """With a weight, labelled cells alone pull: what hidden cells are called changes no weight."""
    truth, hidden = _hide(adata)
    states, histories = [], []
    for shuffled, weight in ((False, 2.0), (True, 2.0), (False, 0.0)):
        other = adata.copy()
        values = truth.copy()
        if shuffled:
            values[hidden] = np.random.default_rng(5).permutation(values[hidden])
        other.obs["cell_type"] = pd.Categorical(values)
        QBMVAE.setup_anndata(other, batch_key="batch", labels_key="known", unlabeled_category="Unknown")
        model = QBMVAE(other, **SHAPE)
        model.train(**{**QUICK, "max_epochs": 15}, label_weight=weight)
        states.append(model.module.state_dict())
        histories.append(model.history)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["vae.posterior.weight"], states[2]["vae.posterior.weight"])
    loss = histories[0]["labels_train"]["labels_train"]
    assert loss.iloc[-1] < 0.7 * loss.iloc[0]
    assert "labels_train" not in histories[2]


def test_supervised_training_goes_on_where_it_stopped(adata, tmp_path):
    _hide(adata)
    _setup(adata)
    options = {**QUICK, "max_epochs": 8, "label_weight": 1.0}
    _ends_the_same_after_an_interruption(adata, options, tmp_path, epoch=4)


def test_a_label_weight_needs_labels(adata, labelled):
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    with pytest.raises(InputError, match="no label units"):
        QBMVAE(adata, **SHAPE).train(**QUICK, label_weight=1.0)
    with pytest.raises(InputError, match="label_weight must be a finite number >= 0"):
        QBMVAE(adata, **SHAPE).train(**QUICK, label_weight=-1.0)
    model, _, _ = labelled
    query = model.adata[:30].copy()
    query.obs["batch"] = "lab2"
    with pytest.raises(InputError, match="what a query calls its cells is not looked at"):
        QBMVAE.load_query_data(query, model).train(max_epochs=1, label_weight=1.0, progress_bar=False)
