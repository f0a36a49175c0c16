"""Every unusable input gets one line that names the thing and the cure."""

from __future__ import annotations

import numpy as np
import pytest

from qbmvae import QBMVAE
from samplers import InputError


def _setup_and_build(adata, **setup):
    QBMVAE.setup_anndata(adata, batch_key="batch", **setup)
    return QBMVAE(adata, n_latent=6, n_hidden=16)


def _poison(adata, row, gene, value):
    x = adata.X.toarray()
    x[row, gene] = value
    adata.X = x
    return adata


@pytest.mark.parametrize(
    ("value", "words"), [(-1, "negative"), (0.5, "non-integer"), (np.nan, "NaN"), (np.inf, "NaN or infinite")]
)
@pytest.mark.parametrize("sparse", [False, True])
def test_values(adata, value, words, sparse):
    import scipy.sparse as sp

    _poison(adata, 7, 11, value)
    if sparse:
        adata.X = sp.csr_matrix(adata.X)
    with pytest.raises(InputError, match=rf"X holds {words}.*'cell7' \(row 7\), gene 'gene11'"):
        _setup_and_build(adata)


def test_layer_is_named(adata):
    adata.layers["counts"] = adata.layers["counts"].toarray() - 1
    with pytest.raises(InputError, match="layer 'counts' holds negative"):
        _setup_and_build(adata, layer="counts")
    with pytest.raises(InputError, match="no layer 'count'; nearest: 'counts'"):
        QBMVAE.setup_anndata(adata, layer="count")


def test_cells_and_genes_without_counts_take_no_part_in_training(adata, capsys):
    x = adata.X.toarray()
    x[3] = 0
    x[:, 9] = 0
    adata.X = x
    model = _setup_and_build(adata)
    assert "1 of 60 genes have no count in these data and are left out of the model: gene9" in capsys.readouterr().err
    model.train(max_epochs=2, progress_bar=False, num_chains=64)
    assert "1 cells have no count and take no part in training: cell3" in capsys.readouterr().err
    assert 3 not in [*model.train_indices, *model.validation_indices]
    assert np.isfinite(model.get_latent_representation()).all() and np.isfinite(model.get_elbo())
    assert "gene9" not in model.get_var_names() and list(model.generate(5, seed=0).var_names) == list(
        model.get_var_names()
    )
    adata.layers["none"] = np.zeros_like(x)
    with pytest.raises(InputError, match="layer 'none' holds no count at all"):
        _setup_and_build(adata, layer="none")


def test_keys_and_names(adata):
    with pytest.raises(InputError, match="no column 'bath'; nearest: 'batch'"):
        QBMVAE.setup_anndata(adata, batch_key="bath")
    with pytest.raises(InputError, match="no column 'cell_typ'; nearest: 'cell_type'"):
        QBMVAE.setup_anndata(adata, labels_key="cell_typ")
    adata.obs["batch"] = adata.obs["batch"].astype(object)
    adata.obs.iloc[4, adata.obs.columns.get_loc("batch")] = None
    with pytest.raises(InputError, match="missing for 1 cells.*cell4"):
        QBMVAE.setup_anndata(adata, batch_key="batch")
    adata.obs_names = ["cell0", *adata.obs_names[1:-1], "cell0"]
    with pytest.raises(InputError, match=r"obs_names.*cell0.*obs_names_make_unique"):
        QBMVAE.setup_anndata(adata)


def test_duplicated_genes(adata):
    adata.var_names = ["gene1", *adata.var_names[1:]]
    with pytest.raises(InputError, match=r"var_names.*gene1"):
        QBMVAE.setup_anndata(adata)


def test_size_factors_and_unregistered_data(adata):
    adata.obs["size"] = 0.0
    with pytest.raises(InputError, match="'size' is 0.0 at cell 'cell0'"):
        QBMVAE.setup_anndata(adata, size_factor_key="size")
    with pytest.raises(InputError, match="setup_anndata"):
        QBMVAE(adata.copy())


def test_options(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    for options, words in [
        ({"sampler": "gibs"}, "there is no sampler 'gibs'"),
        ({"sampler": "gibbs?sweeps=3"}, "no option 'sweeps'; nearest: 'num_sweeps'"),
        ({"prior": "boltzman"}, "nearest: 'boltzmann'"),
        ({"topology": "pegasos"}, "pegasus"),
        ({"gene_likelihood": "np"}, "gene_likelihood must be one of .*not 'np'"),
        ({"n_latent": 0}, "n_latent must be a whole number >= 1, not 0"),
    ]:
        with pytest.raises(InputError, match=words):
            QBMVAE(adata, **options)
    model = QBMVAE(adata, n_latent=6, n_hidden=16)
    for options, words in [
        ({"kl_warmup": 3}, "kl_warmup"),
        ({"train_size": 0}, "train_size"),
        ({"max_epochs": -1}, "max_epochs"),
        ({"resume_from": "nowhere"}, "no checkpoint"),
        ({"external_indexing": [np.array([0, 1]), np.array([1])]}, "overlap"),
    ]:
        with pytest.raises(InputError, match=words):
            model.train(progress_bar=False, **options)


def test_other_data(trained, adata):
    with pytest.raises(InputError, match=r"20 of the model's 60 genes \(33%\) are missing: 'gene0', .*up to 20%"):
        trained.get_latent_representation(adata[:, 20:].copy())
    strange = adata.copy()
    strange.obs["batch"] = "lab9"
    with pytest.raises(InputError, match="not seen: 'lab9'.*'ctrl', 'stim'.*load_query_data"):
        trained.get_latent_representation(strange)
    with pytest.raises(InputError, match="knows no batch 'stm'; nearest: 'stim'"):
        trained.generate(3, batch="stm")
    with pytest.raises(InputError, match="bit 99"):
        trained.generate(3, clamp={99: 1})
    with pytest.raises(InputError, match="representation"):
        trained.get_latent_representation(representation="bit")


def test_wider_data_are_cut_to_the_models_genes(trained, adata):
    import anndata as ad

    extra = ad.AnnData(np.ones((adata.n_obs, 2), dtype=np.float32), obs=adata.obs, var={"index": ["x1", "x2"]})
    extra.var_names = ["x1", "x2"]
    wide = ad.concat([extra, ad.AnnData(adata.X, obs=adata.obs, var=adata.var)], axis=1, merge="same")
    np.testing.assert_array_equal(
        trained.get_latent_representation(wide), trained.get_latent_representation(adata.copy())
    )


def test_disk(trained, tmp_path):
    with pytest.raises(InputError, match="holds no saved model"):
        QBMVAE.load(tmp_path)
    trained.save(tmp_path / "m")
    with pytest.raises(InputError, match="exists"):
        trained.save(tmp_path / "m")
    (tmp_path / "m" / "model.pt").write_bytes(b"junk")
    with pytest.raises(InputError, match="damaged"):
        QBMVAE.load(tmp_path / "m", adata=trained.adata)
    trained.export(tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        QBMVAE.from_export(tmp_path / "m.safetensors")


def test_tokens_of_remote_samplers_are_not_kept():
    from qbmvae.model.fit import without_token

    assert without_token("http?url=http://x:1&token=0123") == "http?url=http://x:1"
    assert without_token("http?token=0123&url=http://x:1") == "http?url=http://x:1"
    assert without_token("gibbs") == "gibbs"


def test_training_without_data(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(registry=QBMVAE(adata, n_latent=6, n_hidden=16).registry_, n_latent=6, n_hidden=16)
    with pytest.raises(InputError, match="no data to train on: make or load it with adata="):
        model.train(max_epochs=1)
