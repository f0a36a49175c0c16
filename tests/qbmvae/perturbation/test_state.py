from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
import yaml

from qbmvae.perturbation import Features, load_state
from qbmvae.perturbation.backbones.checkpoint import load_plain, load_tensors
from samplers.errors import InputError

ORACLE = np.load(Path(__file__).parent / "state_oracle.npz")
VARIANTS = sorted({name.split("/")[0] for name in ORACLE.files})


class Evil:
    """An object that a safe loader must not build."""

    def __reduce__(self):
        return (print, ("this code must not run",))


def write_run(directory, variant, *, hyper_parameters=None):
    """Lay the oracle's network out as `state tx train` does."""
    config = json.loads(str(ORACLE[f"{variant}/config"]))
    (directory / "checkpoints").mkdir(parents=True)
    data = {"embed_key": config["embed_key"], "output_space": config["output_space"]}
    (directory / "config.yaml").write_text(
        yaml.safe_dump({"model": {"kwargs": config["kwargs"]}, "data": {"kwargs": data}})
    )
    (directory / "var_dims.pkl").write_bytes(
        pickle.dumps(config["dims"] | {"gene_names": np.array(config["dims"]["gene_names"], dtype=object)})
    )
    torch.save(
        {"G0": torch.ones(5), "G1": torch.arange(5.0), "non-targeting": torch.zeros(5)},
        directory / "pert_onehot_map.pt",
    )
    start = f"{variant}/weights/"
    weights = {k.removeprefix(start): torch.from_numpy(ORACLE[k]) for k in ORACLE.files if k.startswith(start)}
    content = {"state_dict": weights, "epoch": 1, "hyper_parameters": hyper_parameters or {}}
    torch.save(content, directory / "checkpoints" / "final.ckpt")
    return directory


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_to_arc_state_on_random_weights(tmp_path, variant):
    backbone = load_state(write_run(tmp_path / "run", variant))
    sets = {k: torch.from_numpy(ORACLE[f"{variant}/{k}"]).reshape(2, 4, -1) for k in ("basal", "pert")}
    with torch.no_grad():
        prediction = backbone.network(sets["basal"], sets["pert"])
        hidden, _ = backbone.network.hidden(sets["basal"], sets["pert"])
    np.testing.assert_allclose(prediction.reshape(8, -1), ORACLE[f"{variant}/prediction"], atol=1e-5)
    np.testing.assert_allclose(hidden, ORACLE[f"{variant}/hidden"], atol=1e-5)


def test_interface(tmp_path):
    backbone = load_state(write_run(tmp_path / "run", "state_sm"))
    genes = [f"G{i}" for i in range(10)]
    adata = ad.AnnData(np.random.default_rng(0).random((6, 10), dtype=np.float32))
    adata.var_names = genes[::-1]
    basal = backbone.basal(adata, adata.X)
    np.testing.assert_array_equal(basal, adata.X[:, ::-1])
    table = Features(("x",), np.ones((1, 1), np.float32), "one-hot")
    inputs = backbone.perturbation_inputs(table, ["G1", "G0+G1"])
    np.testing.assert_array_equal(inputs, [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
    assert backbone(basal.expand(2, -1, -1), inputs).shape == (2, 16)
    assert backbone.gene_map().shape == (10, 16)
    assert backbone.parts("last_layers") and backbone.parts("project_out") and not backbone.parts("final_down_then_up")
    with pytest.raises(InputError, match="'G2' has no features"):
        backbone.perturbation_inputs(table, ["G2"])
    with pytest.raises(InputError, match="vectors of 5 values, the features have 3"):
        backbone.perturbation_inputs(Features(("x",), np.ones((1, 3), np.float32), "file"), ["x"])
    adata.var_names = ["other", *genes[:9]]
    with pytest.raises(InputError, match=r"1 of the 10 genes of the STATE backbone are missing, first 'G9'"):
        backbone.basal(adata, adata.X)


def test_an_embedding_must_be_there(tmp_path):
    backbone = load_state(write_run(tmp_path / "run", "embedding"))
    adata = ad.AnnData(np.ones((3, 10), np.float32))
    with pytest.raises(InputError, match=r"obsm\['X_state'\]"):
        backbone.basal(adata, adata.X)
    adata.obsm["X_state"] = np.ones((3, 6))
    assert backbone.basal(adata, adata.X).shape == (3, 6)


def test_unsafe_checkpoints_are_refused_with_the_command_that_converts(tmp_path, capfd):
    run = write_run(tmp_path / "run", "state_sm", hyper_parameters={"loss": Evil()})
    with pytest.raises(InputError, match=r"cannot be loaded safely.*backbones.convert .*final.ckpt"):
        load_state(run)
    (run / "var_dims.pkl").write_bytes(pickle.dumps({"input_dim": Evil()}))
    with pytest.raises(InputError, match=r"builtins.print.*backbones.convert .*var_dims.pkl"):
        load_plain(run / "var_dims.pkl")
    assert "must not run" not in capfd.readouterr().out


def test_the_conversion_command(tmp_path):
    run = write_run(tmp_path / "run", "state_sm", hyper_parameters={"loss": torch.nn.MSELoss()})
    files = [run / "checkpoints" / "final.ckpt", run / "var_dims.pkl", run / "pert_onehot_map.pt"]
    with pytest.raises(InputError, match="safely"):
        load_tensors(files[0])
    subprocess.run([sys.executable, "-m", "qbmvae.perturbation.backbones.convert", *map(str, files)], check=True)
    for file in files:
        file.unlink()
    assert load_state(run).width == 16


def test_wrong_directories_are_named(tmp_path):
    with pytest.raises(InputError, match="no directory"):
        load_state(tmp_path / "none")
    with pytest.raises(InputError, match=r"no config\.yaml"):
        load_state(tmp_path)
    run = write_run(tmp_path / "run", "state_sm")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["kwargs"]["n_encoder_layers"] = 2
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=r"does not fit config\.yaml"):
        load_state(run)
