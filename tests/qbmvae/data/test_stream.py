from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from qbmvae import QBMVAE
from qbmvae.data.stream import StreamSource, annbatch_stream
from qbmvae.model import cells
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64, "accelerator": "cpu"}


def _pieces(adata, size: int = 37, as_mapping: bool = False, leave_out: int = 0):
    def stream(seed, epoch):
        order = np.random.default_rng([seed or 0, epoch]).permutation(adata.n_obs)[leave_out:]
        for part in np.array_split(order, -(-len(order) // size)):
            cells = adata[part]
            yield {"X": cells.X, "obs": cells.obs} if as_mapping else (cells.X.toarray(), cells.obs_names)

    return stream


def _model(adata) -> QBMVAE:
    QBMVAE.setup_anndata(adata, batch_key="batch")
    return QBMVAE(adata, n_latent=8, n_hidden=16)


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_stream_gives_each_training_cell_once_with_its_own_counts_and_covariates(adata, as_mapping):
    source = cells.source(_model(adata))
    training = np.random.default_rng(0).permutation(adata.n_obs)[:150]
    stream = StreamSource(
        _pieces(adata, as_mapping=as_mapping), adata.obs_names, source.subset(training), *[adata.var_names] * 2
    )
    batches = list(stream.epoch(32, 1, 0))
    assert [len(b) for b in batches] == [len(b) for b in source.subset(training).epoch(32, 1, 0)]
    rows = np.concatenate([b.rows for b in batches])
    assert sorted(rows) == sorted(training)
    for batch in batches:
        same = source.take(batch.rows)
        np.testing.assert_array_equal(batch.x.dense().numpy(), same.x.dense().numpy())
        np.testing.assert_array_equal(batch.covariates.categories[0].numpy(), same.covariates.categories[0].numpy())
        np.testing.assert_array_equal(batch.library.numpy(), same.library.numpy())
    # a resumed epoch leaves out what was done
    later = list(stream.epoch(32, 1, 0, start=2))
    assert [b.rows.tolist() for b in later] == [b.rows.tolist() for b in batches[2:]]


def test_a_model_trains_from_a_stream(adata):
    model = _model(adata)
    model.train(**QUICK, stream=_pieces(adata))
    assert np.isfinite(model.history["elbo_validation"].to_numpy()).all()
    again = _model(adata)
    again.train(**QUICK, stream=_pieces(adata))
    np.testing.assert_array_equal(model.get_latent_representation(), again.get_latent_representation())


def test_a_stream_that_loses_cells_or_genes_is_named(adata):
    with pytest.raises(InputError, match="drop_last"):
        _model(adata).train(**QUICK, train_size=1.0, stream=_pieces(adata, leave_out=5))
    with pytest.raises(InputError, match="genes"):
        _model(adata).train(**QUICK, stream=_pieces(adata[:, :-1]))
    other = adata.copy()
    other.obs_names = [f"new-{name}" for name in other.obs_names]
    with pytest.raises(InputError, match="'new-"):
        _model(adata).train(**QUICK, stream=_pieces(other))


def test_genes_of_a_stream_are_found_by_name(adata):
    """Whole AnnData objects, triples, and pairs with the genes that the model left out, in any order where they are named."""
    x = adata.X.toarray()
    x[:, 7] = 0
    adata.X = x
    expected = _model(adata.copy())
    expected.train(**QUICK, stream=lambda *_: [(x, adata.obs_names)])
    back = adata[:, ::-1].copy()
    for piece in (back, (back.X, back.obs_names, back.var_names), {"X": back.X, "obs": back.obs, "var": back.var}):
        model = _model(adata.copy())
        model.train(**QUICK, stream=lambda *_, piece=piece: [piece])
        np.testing.assert_array_equal(model.get_latent_representation(), expected.get_latent_representation())
    for wrong in (back.X, np.log1p(x)):
        with pytest.raises(InputError, match="not those of the model's data.*gene"):
            _model(adata.copy()).train(**QUICK, stream=lambda *_, wrong=wrong: [(wrong, adata.obs_names)])
    with pytest.raises(InputError, match="twice in epoch 0"):
        _model(adata.copy()).train(**QUICK, stream=lambda *_: [adata[:120], adata[:120]])
    with pytest.raises(InputError, match="a stream gives AnnData objects"):
        _model(adata.copy()).train(**QUICK, stream=lambda *_: [x])


def test_an_annbatch_collection_streams_or_the_extra_is_named(adata, tmp_path):
    # annbatch needs Python 3.12
    if importlib.util.find_spec("annbatch") is None:
        with pytest.raises(InputError, match=r"qbmvae\[atlas\]"):
            annbatch_stream(tmp_path)
        return
    import annbatch

    adata.write_h5ad(tmp_path / "cells.h5ad")
    annbatch.DatasetCollection(tmp_path / "cells.zarr").add_adatas(
        [tmp_path / "cells.h5ad"], n_obs_per_chunk=16, shuffle_chunk_size=32
    )
    model = _model(adata)
    stream = annbatch_stream(tmp_path / "cells.zarr", batch_size=64, chunk_size=16, preload_nchunks=4)
    source = cells.source(model)
    batches = list(
        StreamSource(stream, adata.obs_names, source.subset(np.arange(adata.n_obs)), *[adata.var_names] * 2).epoch(
            32, 1, 0
        )
    )
    assert sorted(np.concatenate([b.rows for b in batches])) == list(range(adata.n_obs))
    for batch in batches:
        np.testing.assert_array_equal(batch.x.dense().numpy(), source.take(batch.rows).x.dense().numpy())
    model.train(**QUICK, stream=stream)
    assert np.isfinite(model.history["elbo_validation"].to_numpy()).all()
