from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import samplers
from qbmvae import QBMVAE
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


def test_the_journey(adata, tmp_path):
    """The calls of JOURNEYS 'Train, embed, export', in order."""
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(
        adata, n_latent=16, n_layers=2, n_hidden=32, gene_likelihood="nb",
        prior="boltzmann", topology="dense", sampler="persistent",
    )  # fmt: skip
    model.train(max_epochs=3, batch_size=64, seed=0, progress_bar=False)
    z = model.get_latent_representation()
    assert z.shape == (adata.n_obs, 16)
    assert z.dtype == np.float32
    bits = model.get_latent_representation(representation="bits")
    assert set(np.unique(bits)) <= {0, 1}
    q = model.get_latent_representation(representation="probabilities")
    np.testing.assert_array_equal(bits, q > 0.5)
    logits = model.get_latent_representation(representation="logits")
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), q, rtol=1e-5)
    np.testing.assert_allclose(
        model.get_latent_representation(representation="arcsine"), 2 * np.arcsin(np.sqrt(q)), rtol=1e-4
    )
    np.testing.assert_array_equal(model.get_latent_representation(representation="aligned"), z)
    assert len(model.history["elbo_validation"]) == 3
    assert len(np.intersect1d(model.train_indices, model.validation_indices)) == 0
    assert model.get_elbo() < 0
    assert model.get_energy().shape == (adata.n_obs,)
    value, error = model.get_log_partition()
    problem = model.prior_problem()
    assert isinstance(problem, samplers.Ising)
    assert abs(value - samplers.log_partition(problem, method="exact")[0]) <= max(1e-6, 5 * error)
    cells = model.generate(n_cells=50, batch="stim", seed=0)
    assert cells.shape == (50, adata.n_vars)
    assert (cells.obs["batch"] == "stim").all()
    assert model.generate(n_cells=5, seed=0, clamp={3: 1}, bias=np.zeros(16)).obsm["X_bits"][:, 3].all()
    assert model.sample_prior(n=100, seed=0).shape == (100, 16)
    model.save(tmp_path / "model_dir")
    again = QBMVAE.load(tmp_path / "model_dir", adata=adata)
    np.testing.assert_array_equal(again.get_latent_representation(), z)
    assert again.get_log_partition() == (value, error)
    np.testing.assert_array_equal(again.generate(9, seed=1).X.toarray(), model.generate(9, seed=1).X.toarray())
    model.export(tmp_path / "model.safetensors")
    exported = QBMVAE.from_export(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(exported.generate(9, seed=1).X.toarray(), model.generate(9, seed=1).X.toarray())
    np.testing.assert_array_equal(exported.get_latent_representation(adata.copy()), z)
    assert exported.history["elbo_validation"].equals(model.history["elbo_validation"])


@pytest.mark.parametrize(
    "options",
    [
        {"prior": "bernoulli"}, {"prior": "uniform"}, {"prior": "random-couplings"}, {"prior": "gaussian"},
        {"prior": "gaussian-mixture"}, {"prior": "vamp"}, {"topology": "bipartite", "n_hidden_units": 5},
        {"topology": "pegasus"}, {"topology": nx.cycle_graph(8)}, {"gene_likelihood": "zinb"},
        {"gene_likelihood": "poisson"}, {"dispersion": "gene-batch"}, {"estimator": "reinmax"},
        {"estimator": "disarm"}, {"encode_covariates": True}, {"normalisation": "layer"}, {"sampler": "gibbs?num_sweeps=4"},
        {"sampler": "population-annealing"},
    ],
    ids=lambda o: "-".join(f"{k}={v if isinstance(v, str | int | bool) else type(v).__name__}" for k, v in o.items()),
)  # fmt: skip
def test_every_option_trains_saves_and_generates(adata, options, tmp_path):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=8, n_hidden=16, **options)
    model.train(**QUICK)
    z = model.get_latent_representation()
    assert np.isfinite(z).all()
    assert np.isfinite(model.get_elbo())
    assert np.isfinite(model.get_marginal_ll(n_mc_samples=3))
    assert model.generate(5, seed=0).X.min() >= 0
    model.export(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        QBMVAE.from_export(tmp_path / "m.safetensors").get_latent_representation(adata.copy()), z
    )
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(QBMVAE.load(tmp_path / "m", adata=adata).get_latent_representation(), z)


def test_covariates_layer_size_factor(adata):
    adata.X = sp.csr_matrix(adata.shape, dtype=np.float32)
    QBMVAE.setup_anndata(
        adata, layer="counts", batch_key="batch", labels_key="cell_type", size_factor_key="size",
        categorical_covariate_keys=["donor"], continuous_covariate_keys=["age"],
    )  # fmt: skip
    model = QBMVAE(adata, n_latent=8, n_hidden=16)
    model.train(**QUICK)
    assert model.module.vae.n_categories == (2, 3)
    assert model.get_latent_representation().shape == (adata.n_obs, 8)
    assert model.generate(4, seed=0).n_obs == 4
    assert model.get_normalized_expression(n_samples=2).shape == adata.shape


def test_gaussian_likelihood_takes_log_normalised_values(adata):
    adata.X = np.log1p(adata.X.toarray() * 0.37)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    with pytest.raises(InputError, match="gaussian"):
        QBMVAE(adata)
    model = QBMVAE(adata, n_latent=8, gene_likelihood="gaussian")
    model.train(**QUICK)
    assert np.isfinite(model.get_elbo())


def test_same_seed_same_result_and_the_global_generator_is_left_alone(adata):
    import torch

    QBMVAE.setup_anndata(adata, batch_key="batch")
    codes = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        model = QBMVAE(adata, n_latent=8, n_hidden=16)
        model.train(**QUICK, seed=5)
        codes.append(model.get_latent_representation())
        assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(*codes)
    model = QBMVAE(adata, n_latent=8, n_hidden=16)
    model.train(**QUICK, seed=6)
    assert not np.array_equal(model.get_latent_representation(), codes[0])


def test_dense_and_sparse_counts_give_the_same_model(adata):
    dense = adata.copy()
    dense.X = dense.X.toarray()
    results = []
    for data in (adata, dense):
        QBMVAE.setup_anndata(data, batch_key="batch")
        model = QBMVAE(data, n_latent=8, n_hidden=16)
        model.train(**QUICK)
        results.append(model.get_latent_representation())
    np.testing.assert_allclose(*results, atol=1e-6)


def test_what_scvi_users_expect(trained):
    adata = trained.adata
    assert trained.is_trained
    assert repr(trained).startswith("QBMVAE: 12 latent bits")
    assert trained.get_normalized_expression(library_size=1e4).shape == adata.shape
    assert trained.posterior_predictive_sample(n_samples=2).shape == (*adata.shape, 2)
    de = trained.differential_expression(groupby="cell_type", group1="A", group2="B", silent=True)
    assert len(de) == adata.n_vars
    assert set(trained.get_reconstruction_error()) == {"reconstruction_loss"}
    assert trained.get_elbo(return_mean=False).shape == (adata.n_obs,)
    # more draws tighten the bound; both bound the same quantity
    assert trained.get_marginal_ll(n_mc_samples=30) > trained.get_elbo()
    assert trained.get_likelihood_parameters(n_samples=1)["mean"].shape == adata.shape
    assert trained.get_codes().dtype == np.int8
    subset = trained.get_latent_representation(indices=[5, 2])
    # products of another number of rows round differently, and soft clusters are steep
    np.testing.assert_allclose(subset, trained.get_latent_representation()[[5, 2]], atol=1e-4)


def test_minified_model_embeds_and_refuses_what_needs_counts(adata, tmp_path):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=8, n_hidden=16)
    model.train(**QUICK)
    z = model.get_latent_representation()
    adata.obsm["X_latent_qzm"], adata.obsm["X_latent_qzv"] = model.get_latent_representation(return_dist=True)
    model.minify_adata()
    np.testing.assert_allclose(model.get_latent_representation(), z, atol=1e-5)
    assert model.write_latent_representation(tmp_path / "z.parquet") == z.shape
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "z.parquet").to_numpy(), z, atol=1e-5)
    assert model.get_normalized_expression().shape == adata.shape
    with pytest.raises(InputError, match="minified"):
        model.get_elbo()


def test_query_mapping_keeps_the_reference_and_learns_the_new_batch(trained, adata):
    query = adata[:80].copy()
    query.obs["batch"] = "new-lab"
    reference = {k: v.clone() for k, v in trained.module.state_dict().items()}
    mapped = QBMVAE.load_query_data(query, trained)
    # what is a cell's own beside its code depends on its batch, which the model has not learned yet
    np.testing.assert_allclose(
        mapped.get_latent_representation(representation="denoised"),
        trained.get_latent_representation(adata[:80].copy(), representation="denoised"),
        atol=1e-6,
    )
    mapped.train(**QUICK)
    assert mapped.module.vae.n_categories == (3,)
    for name, value in mapped.module.state_dict().items():
        if name.endswith("rows.0") and len(value) == 3:
            assert (value[:2] == reference[name]).all()
        elif value.shape == reference[name].shape and "log_partition" not in name:
            assert (value == reference[name]).all(), name
    rows = mapped.module.vae.output.rows[0].detach()
    assert not np.allclose(rows[2], rows[:2].mean(0))


def test_third_party_sampler_by_name_trains(adata):
    class Mine(samplers.Sampler):
        """Independent Gibbs chains in a few lines."""

        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            rng = np.random.default_rng(seed)
            states = rng.choice([-1, 1], size=(num_reads, problem.n))
            for _ in range(5):
                for i in range(problem.n):
                    field = problem.local_fields(states)[:, i]
                    states[:, i] = np.where(rng.random(num_reads) < 1 / (1 + np.exp(-2 * beta * field)), 1, -1)
            return states

    samplers.register("mine", Mine)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=6, n_hidden=16)
    model.train(sampler="mine", **QUICK)
    assert model.sampler_ == "mine"
    assert np.isfinite(model.get_elbo())


def test_optimisers_are_announced(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=6, n_hidden=16)
    with pytest.warns(UserWarning, match="seeks low energies"):
        model.train(sampler="path-integral-annealing?num_sweeps=10", **{**QUICK, "max_epochs": 1})
