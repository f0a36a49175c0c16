from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from qbmvae import QBMVAE
from qbmvae.core.networks import Covariates
from qbmvae.core.priors import BoltzmannPrior
from qbmvae.model import bits
from samplers import InputError
from tests.qbmvae.conftest import make_adata


@pytest.fixture(scope="module")
def model():
    adata = make_adata()
    QBMVAE.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    model = QBMVAE(adata, n_latent=10, n_hidden=32, n_layers=1)
    model.train(max_epochs=60, batch_size=32, learning_rate=3e-3, seed=0, progress_bar=False, num_chains=128)
    return model


def test_effects_are_differences_of_decoded_log_expression(model):
    effect = model.bit_effects(n_cells=40, seed=3)
    assert effect.shape == (10, model.adata.n_vars)
    assert list(effect.columns) == list(model.adata.var_names)
    q = model.get_latent_representation(indices=model._some_rows(40, 3), representation="probabilities")
    z = torch.from_numpy((q > 0.5).astype(np.float32))
    vae, nowhere = model.module.vae, Covariates((), averaged=(2,))
    logs = []
    for value in (0.0, 1.0):
        z[:, 4] = value
        with torch.inference_mode():
            logs.append(torch.log_softmax(vae.decode_logits(z, nowhere)[0], -1))
    change = (logs[1] - logs[0]).numpy()
    np.testing.assert_allclose(effect.loc[4], change.mean(0), atol=1e-5)
    np.testing.assert_allclose(model.bit_effects(n_cells=40, seed=3, spread=True).loc[4], change.std(0), atol=1e-5)


def test_the_table_says_what_each_bit_is(model):
    table = model.bit_table()
    q = model.get_latent_representation(indices=np.sort(model.train_indices), representation="probabilities")
    np.testing.assert_allclose(table["activity"], q.mean(0), rtol=1e-5)
    assert set(table["label"]) <= {"A", "B", "C"}
    effect = model.bit_effects()
    assert table.loc[2, "up"].split(", ")[0] == effect.loc[2].idxmax()
    assert table.loc[2, "down"].split(", ")[0] == effect.loc[2].idxmin()
    # the label that a bit tells: its odds there against the others, by hand
    bit = table["label_log_odds"].abs().idxmax()
    inside = (model.adata.obs["cell_type"].to_numpy()[np.sort(model.train_indices)]) == table.loc[bit, "label"]
    direction = q[inside, bit].mean() - q[~inside, bit].mean()
    assert np.sign(direction) == np.sign(table.loc[bit, "label_log_odds"])
    shuffled = np.random.default_rng(0).permutation(model.adata.obs["cell_type"])
    other = model.bit_table(labels=shuffled)
    assert other["label_log_odds"].abs().max() < table["label_log_odds"].abs().max() / 2
    pd.testing.assert_frame_equal(model.bit_table(labels="cell_type"), table)


def test_errors_of_couplings_are_those_of_fits_to_as_many_cells():
    """Pseudo-likelihood fits to draws of a known machine scatter as much as the errors say."""
    torch.manual_seed(0)
    n, cells, fits = 5, 800, 60
    prior = BoltzmannPrior(n)
    W = torch.triu(torch.randn(n, n), 1)
    prior.W.data.copy_(W + W.T)
    rng = np.random.default_rng(0)
    z = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    p = np.exp(-prior.energy(torch.from_numpy(z).float()).detach().double().numpy())
    p /= p.sum()
    errors = bits.coupling_errors(prior, z[rng.choice(2**n, 20_000, p=p)], cells)
    found = []
    for _ in range(fits):
        x = z[rng.choice(2**n, cells, p=p)].astype(float)
        theta = np.zeros(n)
        design = np.c_[x[:, 1:], np.ones(cells)]
        for _ in range(12):
            mu = 1 / (1 + np.exp(-design @ theta))
            hessian = (design * (mu * (1 - mu))[:, None]).T @ design
            theta += np.linalg.solve(hessian, design.T @ (x[:, 0] - mu))
        found.append(theta[:-1])
    scatter = np.std(found, axis=0)
    one_sided = [bits.coupling_errors(prior, z[rng.choice(2**n, 20_000, p=p)], cells)[0, j] for j in range(1, n)]
    # the larger of a pair's two errors is returned
    assert (scatter < 1.3 * np.asarray(one_sided)).all()
    assert (scatter > 0.5 * np.asarray(one_sided)).all()
    assert np.isinf(np.diag(errors)).all()


def test_the_graph_holds_couplings_beyond_their_error(model):
    graph = model.coupling_graph(threshold=2.0)
    assert isinstance(graph, nx.Graph)
    assert set(graph) == set(range(10))
    W = model.module.vae.prior.W.detach().numpy()
    for i, j, edge in graph.edges(data=True):
        assert edge["weight"] == pytest.approx(W[i, j])
        assert abs(edge["weight"]) > 2 * edge["error"]
    assert model.coupling_graph(threshold=1e9).number_of_edges() == 0
    assert 0 < graph.number_of_edges() < 45


@pytest.mark.parametrize(
    ("options", "message"),
    [({"topology": "bipartite"}, "hidden units"), ({"prior": "gaussian"}, "needs a prior over bits")],
)
def test_priors_without_pairs_are_named(adata, options, message):
    QBMVAE.setup_anndata(adata)
    other = QBMVAE(adata, n_latent=6, n_hidden=8, **options)
    other.train(max_epochs=1, progress_bar=False, num_chains=64)
    with pytest.raises(InputError, match=message):
        other.coupling_graph()
    if "topology" in options:
        assert "partners" not in other.bit_table()
    else:
        with pytest.raises(InputError, match="prior over bits"):
            other.bit_effects()


def test_independent_bits_have_a_graph_without_edges(adata):
    QBMVAE.setup_anndata(adata)
    other = QBMVAE(adata, n_latent=6, n_hidden=8, prior="bernoulli")
    other.train(max_epochs=1, progress_bar=False)
    assert other.coupling_graph().number_of_edges() == 0


def test_programmes_are_clamped_by_name_and_saved(model, tmp_path):
    model.name_programme("response", {2: 1, 5: 0})
    model.name_programme("cycle", {7: 1})
    on = model.generate(30, clamp={"response": 1}, seed=0).obsm["X_bits"]
    off = model.generate(30, clamp={"response": 0, 7: 1}, seed=0).obsm["X_bits"]
    assert (on[:, [2, 5]] == [1, 0]).all()
    assert (off[:, [2, 5, 7]] == [0, 1, 1]).all()
    assert model.bit_table().loc[7, "name"] == "cycle"
    model.save(tmp_path / "m", overwrite=True)
    model.export(tmp_path / "m.safetensors")
    loaded = QBMVAE.load(tmp_path / "m", adata=model.adata)
    for again in (loaded, QBMVAE.from_export(tmp_path / "m.safetensors")):
        by_name, by_bit = (again.sample_prior(9, clamp=c, seed=0) for c in ({"response": 1}, {2: 1, 5: 0}))
        np.testing.assert_array_equal(by_name, by_bit)
    # an export has no cells: those of the prior take their place
    assert QBMVAE.from_export(tmp_path / "m.safetensors").bit_table().shape[0] == 10


def test_bad_clamps_and_programmes_are_named(model):
    model.name_programme("response", {2: 1, 5: 0})
    with pytest.raises(InputError, match="no programme 'respons'.*response"):
        model.generate(5, clamp={"respons": 1})
    with pytest.raises(InputError, match="bit 2 to 0 and to 1"):
        model.generate(5, clamp={"response": 1, 2: 0})
    with pytest.raises(InputError, match="programme 'response' to 2"):
        model.sample_prior(5, clamp={"response": 2})
    with pytest.raises(InputError, match="bits 0 to 9"):
        model.name_programme("far", {10: 1})
    with pytest.raises(InputError, match="bit 1 to 3"):
        model.name_programme("odd", {1: 3})
    with pytest.raises(InputError, match="has no bits"):
        model.name_programme("none", {})
    with pytest.raises(InputError, match="labels holds 3 values"):
        model.bit_table(labels=["a", "b", "c"])
    with pytest.raises(InputError, match="no column 'cell_typ'.*cell_type"):
        model.bit_table(labels="cell_typ")


def test_bits_of_known_genes_stand_out(model):
    effect = model.bit_effects()
    genes = list(effect.loc[3].nlargest(5).index)
    score = model.score_bits([*genes, "not a gene"])
    assert abs(score.iloc[0]) == score.abs().max()
    by_hand = effect.loc[3, genes].mean() / np.sqrt((effect.loc[3] ** 2).mean())
    assert score[3] == pytest.approx(by_hand, rel=1e-5)
    with pytest.raises(InputError, match="none of these 1 genes"):
        model.score_bits(["not a gene"])


def test_clamped_cells_keep_their_other_bits(model):
    query = model.adata[20:60].copy()
    plain, set_ = (model.clamp_cells(query, clamp=c, seed=4) for c in ({}, {1: 1, 6: 0}))
    assert set_.obs_names.equals(query.obs_names)
    bits_, own = set_.obsm["X_bits"], plain.obsm["X_bits"]
    assert (bits_[:, [1, 6]] == [1, 0]).all()
    others = [b for b in range(10) if b not in (1, 6)]
    np.testing.assert_array_equal(bits_[:, others], own[:, others])
    np.testing.assert_allclose(set_.obs["library_size"], np.asarray(query.X.sum(1)).ravel(), rtol=1e-6)
    assert (set_.obs["batch"].astype(str) == query.obs["batch"].astype(str)).all()
    # decoded from their own codes, cells keep their totals and their genes
    mine, real = (np.log1p(np.asarray(x.X.mean(0)).ravel()) for x in (plain, query))
    assert np.corrcoef(mine, real)[0, 1] > 0.9
    one = model.clamp_cells(indices=[5], clamp={1: 1}, seed=0)
    assert list(one.obs_names) == ["cell5"]
    with pytest.raises(InputError, match="bits 0 to 9"):
        model.clamp_cells(query, clamp={10: 1})
