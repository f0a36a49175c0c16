from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import yaml

from qbmvae.cellsim import GeneCircuit, fit_reference, preset, simulate, simulate_to_file
from qbmvae.cellsim.plan import Plan
from samplers.errors import InputError

TYPES = {"A": {"a0": 0.3, "a1": 0.2}, "B": {"b0": 0.4, "b1": 0.6}, "C": {"c0": 0.5}}


def test_presets_are_the_papers():
    one, two = (simulate(name, n_cells=50, seed=0) for name in ("paper-case-1", "paper-case-2"))
    both = simulate("paper-notebook", n_cells=50, seed=0)
    assert one.shape == two.shape == (100, 60) and both.shape == (200, 60)
    assert list(one.obs["cell_type"].cat.categories) == ["CT1", "CT2"]
    assert set(one.obs["condition"]) == {"interacting"} and set(two.obs["condition"]) == {"non-interacting"}
    assert set(both.obs["condition"]) == {"interacting", "non-interacting"}
    assert list(one.var_names[:10]) == [f"g{i}" for i in range(10)]
    edges = one.uns["truth"]["edges"]
    assert list(zip(edges["control"], edges["target"], strict=True)) == [("g3", "g5"), ("g5", "g7"), ("g7", "g0")]
    assert one.uns["truth"]["pairs"]["programmed"].tolist() == [True, True, False, False]
    conditions = both.uns["truth"]["conditions"]
    assert conditions.loc["interacting", ["housekeeping_mean", "housekeeping_size"]].tolist() == [100, 5]
    assert conditions.loc["non-interacting", ["housekeeping_mean", "housekeeping_size"]].tolist() == [80, 6]


def test_a_seed_fixes_everything(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(preset("paper-case-1") | {"n_cells": 40}))
    a, b, c = simulate(path, seed=5), simulate("paper-case-1", n_cells=40, seed=5), simulate(path, seed=6)
    assert (a.X != b.X).nnz == 0 and (a.X != c.X).nnz > 0
    fresh = simulate(path)
    again = simulate(path, seed=int(fresh.uns["truth"]["seed"]))
    assert (fresh.X != again.X).nnz == 0
    assert a.obs_names.is_unique


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_streaming_writes_what_memory_holds(tmp_path, ending, monkeypatch):
    pytest.importorskip("zarr")
    monkeypatch.setattr("qbmvae.cellsim.plan.BLOCK_ENTRIES", 128 * 20)
    config = {
        "cell_types": TYPES,
        "edges": [["a0", "b0"], ["b0", "c0", "cry", 0.5]],
        "housekeeping": {"n": 3},
        "batches": {"n": 2},
        "doublets": {"rate": 0.1},
        "spatial": {"radius": 0.1},
    }
    assert Plan(config, 500, 1).block_size == 128
    expected = simulate(config, n_cells=500, seed=1)
    path = simulate_to_file(tmp_path / f"s.{ending}", config, n_cells=500, seed=1)
    found = ad.read_h5ad(path) if ending == "h5ad" else ad.read_zarr(path)
    assert (found.X != expected.X).nnz == 0 and found.X.has_sorted_indices
    assert found.obs.equals(expected.obs) and found.var.equals(expected.var)
    assert np.array_equal(found.obsm["spatial"], expected.obsm["spatial"])
    bits = [a.uns["truth"]["joint_bits"]["simulated"] for a in (found, expected)]
    assert np.array_equal(*bits) and bits[0].shape == (500, 5)
    assert found.uns["truth"]["edges"].equals(expected.uns["truth"]["edges"])
    expected.write_h5ad(tmp_path / "memory.h5ad")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["memory.h5ad", f"s.{ending}"])


def test_a_failed_write_leaves_nothing(tmp_path):
    def stop(done, total):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        simulate_to_file(tmp_path / "s.h5ad", "paper-case-1", n_cells=10, progress=stop)
    assert not list(tmp_path.iterdir())


def test_cell_types_may_share_genes():
    config = {"cell_types": {"A": {"x": 0.9, "y": 0.2}, "B": {"x": 0.1}}, "edges": [["A:x", "B:x"]]}
    data = simulate(config, n_cells=4000, seed=0)
    assert list(data.var_names) == ["x", "y"]
    assert list(data.uns["truth"]["qubits"].index) == ["A:x", "y", "B:x"]
    exact = GeneCircuit([0.9, 0.2, 0.1], [(0, 2)]).marginals()
    assert data.uns["truth"]["marginals"]["simulated"].tolist() == pytest.approx(exact.tolist())
    with pytest.raises(InputError, match=r"gene 'x' is in several cell types: say which, e\.g\. 'A:x'"):
        simulate(config | {"edges": [["x", "y"]]})


def test_a_lineage_moves_activations_and_gates_in_time():
    config = {
        "cell_types": {"A": {"x": 0.1, "y": 0.2}},
        "edges": [{"control": "x", "target": "y", "during": [1, 2]}],
        "trajectory": {
            "steps": 4,
            "branches": {
                "trunk": {"activations": {"x": 0.5}},
                "left": {"parent": "trunk", "activations": {"x": 0.9}},
                "right": {"parent": "trunk", "activations": {"x": 0.1}},
            },
        },
    }
    data = simulate(config, n_cells=12_000, seed=0)
    bits = data.uns["truth"]["joint_bits"]["simulated"]
    obs = data.obs.set_index("shot").sort_index()
    assert set(obs["branch"]) == {"trunk", "left", "right"} and obs["time"].between(0, 2).all()
    for branch, time, activation in (("trunk", 0.125, 0.15), ("left", 1.875, 0.85), ("right", 1.875, 0.15)):
        there = (obs["branch"] == branch).to_numpy() & np.isclose(obs["time"], time)
        p = np.sin(np.pi * activation / 2) ** 2
        assert there.sum() == 1000
        assert bits[there, 0].mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / 1000))
        coupled = np.corrcoef(bits[there].T)[0, 1]
        assert (coupled > 0.4) == (time > 1)
    with pytest.raises(InputError, match="parent 'stem' is not a branch listed before it"):
        simulate(config | {"trajectory": {"branches": {"l": {"parent": "stem"}}}})


def test_gates_between_types_act_only_on_near_cells():
    config = {"cell_types": {"A": {"x": 0.5}, "B": {"y": 0.0}}, "edges": [["x", "y"]], "spatial": {"radius": 0.02}}
    data = simulate(config, n_cells=2000, seed=0)
    bits = data.uns["truth"]["joint_bits"]["simulated"]
    a, b = (data[data.obs["cell_type"] == t] for t in ("A", "B"))
    distance = np.linalg.norm(a.obsm["spatial"] - b.obsm["spatial"], axis=1)
    near = distance[np.argsort(a.obs["shot"])] <= 0.02
    assert 0.2 < near.mean() < 0.95
    assert (bits[near, 0] == bits[near, 1]).all() and not bits[~near, 1].any()
    with pytest.raises(InputError, match="cannot be combined"):
        simulate(config | {"trajectory": {"branches": {"t": {}}}})


def test_a_reference_gives_its_marginals():
    truth = {"cell_types": {"A": {"x": 0.7, "y": 1.0, "z": 0.3}, "B": {"x": 0.2, "y": 0.6, "w": 0.9}}}
    truth |= {"counts": {"mean": {"x": 6, "y": 3, "z": 9, "w": 2}, "size": {"x": 2, "y": 4, "z": 1, "w": 8}}}
    # enough other genes for the total to be a library size
    real = simulate(truth | {"library": {"sigma": 0.3}, "housekeeping": {"n": 60, "mean": 4}}, n_cells=20_000, seed=3)
    reference = fit_reference(real, genes=list("xyzw"))
    real = real[:, list("xyzw")]
    again = simulate({"edges": []}, n_cells=20_000, seed=4, reference=reference)
    assert list(again.var_names) == list(real.var_names)
    for kind in ("A", "B"):
        a, b = (d[d.obs["cell_type"] == kind].X.toarray() for d in (real, again))
        assert np.allclose(a.mean(axis=0), b.mean(axis=0), rtol=0.06, atol=0.02)
        assert np.allclose(a.var(axis=0), b.var(axis=0), rtol=0.2, atol=0.05)
        assert np.allclose((a == 0).mean(axis=0), (b == 0).mean(axis=0), atol=0.02)


def test_real_cells_as_a_reference(shared_data):
    real = ad.read_h5ad(shared_data / "integration" / "kang_pbmc_ifnb_1975.h5ad")
    reference = fit_reference(real, "cell_type", genes=300)
    data = simulate({"edges": [["CD4T:FTL", "CD14+Mono:FTH1"]]}, n_cells=3000, seed=0, reference=reference)
    for kind in reference.types:
        a = real[(real.obs["cell_type"] == kind).to_numpy(), data.var_names].X.toarray()
        b = data[data.obs["cell_type"] == kind].X.toarray()
        often = (a.mean(axis=0) > 0.1) & (data.var_names != "FTH1")
        error = np.abs(b.mean(axis=0) / np.maximum(a.mean(axis=0), 1e-9) - 1)[often]
        assert np.median(error) < 0.05 and np.quantile(error, 0.9) < 0.12
        assert np.median(np.abs((a == 0).mean(axis=0) - (b == 0).mean(axis=0))[often]) < 0.02


def test_references_are_checked(tmp_path):
    real = simulate("paper-case-1", n_cells=20, seed=0)
    with pytest.raises(InputError, match="no column 'celltype'; nearest: 'cell_type'"):
        fit_reference(real, "celltype")
    with pytest.raises(InputError, match="lacks gene 'g77'; nearest"):
        fit_reference(real, genes=["g77"])
    with pytest.raises(InputError, match="give counts or a reference, not both"):
        simulate({"counts": {"mean": 3}}, reference=fit_reference(real))
    real.X = real.X * 0.5
    with pytest.raises(InputError, match="counts must be whole numbers"):
        fit_reference(real)
    with pytest.raises(InputError, match="no preset and no file"):
        simulate(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not a YAML file"):
        simulate(tmp_path / "bad.yaml")
