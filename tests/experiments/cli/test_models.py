from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import experiments
from experiments.cli.main import run
from experiments.data.synthetic import synthetic
from samplers.errors import InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small file and a run on it."""
    folder = tmp_path_factory.mktemp("cli")
    cells = synthetic(150, 40, n_types=2, seed=0)
    cells.write_h5ad(folder / "cells.h5ad")
    run(
        ["train", f"{folder}/cells.h5ad", "--batch-key", "batch", "--sampler", "gibbs", "--max-epochs", "2", "--n-latent",
         "16", "--n-hidden", "16", "--seed", "0", "--out", f"{folder}/run", "--quiet"]
    )  # fmt: skip
    return folder


def test_a_run_folder_holds_what_it_must(trained):
    path = trained / "run"
    names = {p.name for p in path.iterdir()}
    assert {
        "config.yaml", "versions.json", "status.json", "history.csv", "metrics.json", "embedding.parquet", "report.html",
        "model",
    } <= names  # fmt: skip
    assert json.loads((path / "status.json").read_text())["state"] == "complete"
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics["epochs"] == 2 and metrics["latent_dimensions"] == 16 and metrics["held_out_elbo"] < 0
    assert "data:image/png" in (path / "report.html").read_text()


def test_the_seed_repeats_a_run(trained, tmp_path, qbmvae):
    words = [
        "train",
        trained / "cells.h5ad",
        "--batch-key",
        "batch",
        "--sampler",
        "gibbs",
        "--n-latent",
        16,
        "--n-hidden",
        16,
    ]
    (tmp_path / "options.yaml").write_text("train: {max_epochs: 7}\nn-layers: 2\n")
    code, out, _ = qbmvae(
        *words, "--config", tmp_path / "options.yaml", "--set", "max_epochs=2", "--out", tmp_path / "again",
        "--no-report", "--json",
    )  # fmt: skip
    assert code == 0 and json.loads(out)["epochs"] == 2
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "again" / "embedding.parquet"),
        pd.read_parquet(trained / "run" / "embedding.parquet"),
    )
    assert not (tmp_path / "again" / "report.html").exists()


def test_an_interrupted_run_goes_on_to_the_same_end(trained, tmp_path, qbmvae, monkeypatch):
    from qbmvae.core.training.trainer import Trainer

    epochs = Trainer._run_epoch

    def interrupted(self):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return epochs(self)

    words = ["train", trained / "cells.h5ad", "--batch-key", "batch", "--sampler", "gibbs", "--n-latent", 16, "--n-hidden", 16,
             "--max-epochs", 2, "--out", tmp_path / "run", "--quiet"]  # fmt: skip
    monkeypatch.setattr(Trainer, "_run_epoch", interrupted)
    code, _, err = qbmvae(*words)
    assert code == 1 and err == f"qbmvae: error: interrupted; go on with `qbmvae train --resume {tmp_path / 'run'}`\n"
    monkeypatch.undo()
    code, _, err = qbmvae(*words)
    assert code == 2 and "--resume" in err
    assert qbmvae("embed", tmp_path / "run", trained / "cells.h5ad", "--out", tmp_path / "e.npz")[0] == 2
    assert qbmvae("train", "--resume", tmp_path / "run", "--quiet", "--no-report")[0] == 0
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "run" / "embedding.parquet"), pd.read_parquet(trained / "run" / "embedding.parquet")
    )
    assert qbmvae("train", "--resume", tmp_path / "run", "--quiet")[0] == 0


def test_ctrl_c_names_the_run_and_it_goes_on_to_the_same_bits(trained, tmp_path, qbmvae):
    words = [
        "train",
        str(trained / "cells.h5ad"),
        *"--batch-key batch --n-latent 16 --n-hidden 16 --max-epochs 100 --no-report".split(),
    ]
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.cli.main", *words, "--out", str(run)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(experiments.__file__).parents[1])},
        # a shell's background job ignores the signal, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        while process.poll() is None and not (run / "checkpoint" / "checkpoint.pt").is_file():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 1, err
    assert err.endswith(f"qbmvae: error: interrupted; go on with `qbmvae train --resume {run}`\n")
    assert not (run / "model").exists()
    assert qbmvae("train", "--resume", run, "--quiet", "--no-report")[0] == 0
    assert qbmvae(*words, "--out", tmp_path / "uninterrupted", "--quiet")[0] == 0
    for name in ("embedding.parquet", "history.csv"):
        assert (run / name).read_bytes() == (tmp_path / "uninterrupted" / name).read_bytes()


def test_an_interruption_after_the_training_names_the_run(trained, tmp_path, qbmvae, monkeypatch):
    from qbmvae import QBMVAE

    words = ["train", trained / "cells.h5ad", "--batch-key", "batch", "--n-latent", 8, "--max-epochs", 1, "--quiet"]

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(QBMVAE, "write_latent_representation", stop)
    code, _, err = qbmvae(*words, "--no-report", "--out", tmp_path / "run")
    assert code == 1 and err == f"qbmvae: error: interrupted; go on with `qbmvae train --resume {tmp_path / 'run'}`\n"
    monkeypatch.undo()
    assert qbmvae("train", "--resume", tmp_path / "run", "--quiet", "--no-report")[0] == 0


def test_embeddings_are_keyed_and_aligned_in_every_format(trained, tmp_path, qbmvae):
    cells = ad.read_h5ad(trained / "cells.h5ad")
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(150)].copy()
    shuffled.write_h5ad(tmp_path / "other.h5ad")
    cells[:, ::-1].copy().write_h5ad(tmp_path / "reordered.h5ad")
    stored = pd.read_parquet(trained / "run" / "embedding.parquet")
    assert qbmvae("embed", trained / "run", tmp_path / "reordered.h5ad", "--out", tmp_path / "r.parquet")[0] == 0
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "r.parquet"), stored, atol=1e-5)
    for suffix in ("h5ad", "parquet", "npz"):
        out = tmp_path / f"e.{suffix}"
        code, text, _ = qbmvae("embed", trained / "run", tmp_path / "other.h5ad", "--out", out, "--json")
        assert code == 0 and json.loads(text)["cells"] == 150
        if suffix == "h5ad":
            read = ad.read_h5ad(out)
            names, values, codes = read.obs_names, read.obsm["X_qbmvae"], read.obsm["codes"]
            assert np.array_equal(read.X, values) and list(read.obs.columns) == list(cells.obs.columns)
        elif suffix == "parquet":
            frame = pd.read_parquet(out)
            names, values, codes = frame.index, frame.to_numpy(), None
            assert list(frame.columns) == list(stored.columns)
        else:
            read = np.load(out)
            names, values, codes = read["obs_names"], read["X_qbmvae"], read["codes"]
        assert list(names) == list(shuffled.obs_names)
        np.testing.assert_allclose(values, stored.loc[list(names)].to_numpy(), atol=1e-5)
        assert codes is None or set(np.unique(codes)) <= {0, 1}


def test_generated_cells_repeat_with_the_seed(trained, tmp_path, qbmvae):
    words = ["generate", trained / "run", "--n-cells", 30, "--batch", "batch 2", "--clamp", "3=1", "--seed", 5]
    assert qbmvae(*words, "--out", tmp_path / "a.h5ad")[0] == 0
    assert qbmvae(*words, "--out", tmp_path / "b.h5ad")[0] == 0
    a, b = ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_h5ad(tmp_path / "b.h5ad")
    assert a.shape == (30, 40) and (a.X != b.X).nnz == 0


def _damaged(folder, kind):
    cells = synthetic(60, 30, seed=0)
    x = cells.X.toarray()
    if kind == "negative":
        x[3, 2] = -1
    elif kind == "fraction":
        x[3, 2] = 0.5
    elif kind == "nan":
        x[3, 2] = np.nan
    elif kind == "empty":
        x[3] = 0
    cells.X = type(cells.X)(x)
    if kind == "repeated":
        cells.obs_names = ["c0", *cells.obs_names[1:59], "c0"]
    cells.write_h5ad(folder / f"{kind}.h5ad")
    return folder / f"{kind}.h5ad"


@pytest.mark.parametrize("kind", ["negative", "fraction", "nan", "repeated"])
def test_bad_counts_get_one_line_and_leave_nothing(tmp_path, qbmvae, kind):
    code, _, err = qbmvae("train", _damaged(tmp_path, kind), "--out", tmp_path / "run", "--max-epochs", 1)
    lines = [line for line in err.splitlines() if line.startswith("qbmvae")]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("qbmvae: error: ")
    assert not (tmp_path / "run").exists()


def test_cells_without_counts_are_named_unless_quiet(tmp_path, qbmvae):
    words = ["train", _damaged(tmp_path, "empty"), "--max-epochs", 1, "--n-latent", 4, "--no-report"]
    code, _, err = qbmvae(*words, "--out", tmp_path / "run")
    assert code == 0 and any("no count" in line and "cell3" in line for line in err.splitlines())
    assert qbmvae(*words, "--out", tmp_path / "again", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch-key", "bach"], "'batch'"),
        (["--sampler", "gibs"], "gibs"),
        (["--n-latentt", "3"], "--n-latentt"),
        (["--n-latent", "many"], "--n-latent"),
        (["--set", "n_latent"], "key=value"),
        (["--set", "n_latnt=3"], "nearest: 'n_latent'"),
        (["--set", "n_latent=1.5"], "whole number"),
        (["--prior", "boltzman"], "boltzman"),
        (["--layer", "counts"], "counts"),
        (["--topology", "pegasos"], "pegasos"),
    ],
)
def test_bad_options_get_one_line_and_leave_nothing(trained, tmp_path, qbmvae, words, message):
    code, out, err = qbmvae(
        "train", trained / "cells.h5ad", "--max-epochs", 1, "--out", tmp_path / "run", "--quiet", *words
    )
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1 and not out
    assert not (tmp_path / "run").exists()


def test_bad_files_and_folders(trained, tmp_path, qbmvae):
    (tmp_path / "broken.h5ad").write_text("x")
    genes = ad.read_h5ad(trained / "cells.h5ad")[:, :30].copy()
    genes.write_h5ad(tmp_path / "genes.h5ad")
    batch = ad.read_h5ad(trained / "cells.h5ad")
    batch.obs["batch"] = "another"
    batch.write_h5ad(tmp_path / "batch.h5ad")
    for words, message in (
        (["train", "nowhere.h5ad", "--out", tmp_path / "r"], "nowhere.h5ad"),
        (["train", tmp_path / "broken.h5ad", "--out", tmp_path / "r"], "damaged"),
        (["train", "--out", tmp_path / "r"], "DATA.h5ad"),
        (["train", trained / "cells.h5ad"], "--out"),
        (["train", trained / "cells.h5ad", "--out", trained / "run"], "not empty"),
        (["train", "--resume", tmp_path], "config.yaml"),
        (["train", "--resume", trained / "run", "--n-latent", 3], "--n-latent"),
        (["embed", tmp_path, trained / "cells.h5ad", "--out", tmp_path / "e.npz"], "not a run folder"),
        (["embed", trained / "run", trained / "cells.h5ad", "--out", tmp_path / "e.csv"], ".parquet"),
        (["embed", trained / "run", tmp_path / "genes.h5ad", "--out", tmp_path / "e.npz"], "gene"),
        (["embed", trained / "run", tmp_path / "batch.h5ad", "--out", tmp_path / "e.npz"], "another"),
        (
            ["embed", trained / "run", trained / "cells.h5ad", "--out", tmp_path / "e.npz", "--representation", "bit"],
            "bits",
        ),
        (["generate", trained / "run", "--out", tmp_path / "g.h5ad", "--batch", "batch 9"], "batch 9"),
        (["generate", trained / "run", "--out", tmp_path / "g.h5ad", "--clamp", "99=1"], "99"),
        (["generate", trained / "run", "--out", tmp_path / "g.csv"], ".h5ad"),
        (["generate", trained / "run", "--out", tmp_path / "g.h5ad", "--n-cells", 0], "--n-cells"),
        (["nonsense"], "nonsense"),
    ):
        code, _, err = qbmvae(*words)
        assert code == 2 and message in err, (words, err)
        assert len([line for line in err.splitlines() if line.startswith("qbmvae: error")]) == 1
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"broken.h5ad", "genes.h5ad", "batch.h5ad"}


def test_help_teaches(qbmvae):
    code, out, _ = qbmvae("train", "--help")
    assert code == 0 and "--n-latent" in out and "--kl-weight" in out and "Example" in out
    code, out, _ = qbmvae("--help")
    assert code == 0 and all(
        name in out for name in ("train", "embed", "evaluate", "compare", "generate", "samplers", "report")
    )


def test_training_takes_one_thread_unless_told_otherwise(trained, tmp_path, monkeypatch, qbmvae):
    import torch

    before = torch.get_num_threads()

    def refuse(*_, **__):
        raise InputError("after the threads are set")

    words = ["train", trained / "cells.h5ad", "--out", tmp_path / "run"]
    monkeypatch.setattr("experiments.training.train_run", refuse)
    try:
        torch.set_num_threads(3)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert qbmvae(*words)[0] == 2 and torch.get_num_threads() == 3
        assert qbmvae(*words, "--threads", 2)[0] == 2 and torch.get_num_threads() == 2
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert qbmvae(*words)[0] == 2 and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_run_goes_on_with_the_same_counts_only(trained, tmp_path, qbmvae, monkeypatch):
    from qbmvae.core.training.trainer import Trainer

    cells = ad.read_h5ad(trained / "cells.h5ad")
    cells.write_h5ad(tmp_path / "cells.h5ad")

    def interrupted(self):
        raise KeyboardInterrupt

    words = ["train", tmp_path / "cells.h5ad", "--batch-key", "batch", "--n-latent", 8, "--max-epochs", 2, "--quiet"]
    saved = Trainer._run_epoch
    monkeypatch.setattr(Trainer, "_run_epoch", lambda self: interrupted(self) if self.epoch == 1 else saved(self))
    assert qbmvae(*words, "--out", tmp_path / "run")[0] == 1
    monkeypatch.undo()
    changed = cells.copy()
    changed.X[3, 2] += 1
    changed.write_h5ad(tmp_path / "cells.h5ad")
    code, _, err = qbmvae("train", "--resume", tmp_path / "run", "--quiet", "--no-report")
    assert code == 2 and "the counts of" in err and "changed" in err
    cells[::-1].copy().write_h5ad(tmp_path / "cells.h5ad")
    code, _, err = qbmvae("train", "--resume", tmp_path / "run", "--quiet", "--no-report")
    assert code == 2 and "changed" in err
    # the same cells in another container are the same cells
    dense = cells.copy()
    dense.X = dense.X.toarray().astype(np.int64)
    dense.write_h5ad(tmp_path / "cells.h5ad")
    assert qbmvae("train", "--resume", tmp_path / "run", "--quiet", "--no-report")[0] == 0


def test_cells_come_in_every_form(trained, tmp_path, qbmvae):
    cells = ad.read_h5ad(trained / "cells.h5ad")
    cells.write_zarr(tmp_path / "cells.zarr")
    (tmp_path / "shards").mkdir()
    for i in range(3):
        cells[50 * i : 50 * i + 50].copy().write_h5ad(tmp_path / "shards" / f"{i}.h5ad")
    (tmp_path / "list.txt").write_text("shards/0.h5ad\nshards/1.h5ad\nshards/2.h5ad\n")
    stored = pd.read_parquet(trained / "run" / "embedding.parquet")
    shards = sorted((tmp_path / "shards").iterdir())
    for given in (
        [tmp_path / "cells.zarr"],
        [f"{tmp_path}/shards/*.h5ad"],
        [tmp_path / "shards"],
        shards,
        [tmp_path / "list.txt"],
    ):
        for how in ("yes", "no"):
            code, _, err = qbmvae("embed", trained / "run", *given, "--out", tmp_path / "e.parquet", "--in-memory", how)
            assert code == 0, err
            pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "e.parquet"), stored, atol=1e-4)
    words = ["--batch-key", "batch", "--max-epochs", 1, "--n-latent", 8, "--n-top-genes", 20, "--no-report", "--quiet"]
    code, _, err = qbmvae("train", tmp_path / "shards", "--in-memory", "no", *words, "--out", tmp_path / "disk")
    assert code == 0 and json.loads((tmp_path / "disk" / "metrics.json").read_text())["genes"] == 20, err
    code, _, err = qbmvae("train", tmp_path / "shards", tmp_path / "none.h5ad", *words, "--out", tmp_path / "o")
    assert code == 2 and "none.h5ad" in err
    code, _, err = qbmvae("train", tmp_path / "shards", "--batch-key", "bach", "--out", tmp_path / "o")
    assert code == 2 and "'batch'" in err


def test_a_query_of_another_chemistry_is_mapped_and_labelled_at_the_first_try(tmp_path, qbmvae):
    """Two chemistries train; a third comes as the instrument wrote it: other genes, another order, genes without counts."""
    cells = synthetic(240, 50, n_types=3, seed=1)
    chemistry = cells.obs["batch"].astype(str).to_numpy()
    first, second, third = sorted(set(chemistry))
    reference = cells[np.isin(chemistry, [first, second])].copy()
    label = reference.obs["cell_type"].astype(str)
    label.iloc[::4] = "Unknown"
    reference.obs["label"] = label.astype("category")
    reference.write_h5ad(tmp_path / "reference.h5ad")
    query = cells[chemistry == third].copy()
    truth = query.obs["cell_type"].astype(str)
    more = ad.AnnData(np.ones((query.n_obs, 3), dtype=np.float32), obs=query.obs[[]].copy())
    more.var_names = ["extra1", "extra2", "extra3"]
    query = ad.concat([query, more], axis=1, merge="first")
    query.X = query.X.toarray() if hasattr(query.X, "toarray") else query.X
    query.X[:, 4] = 0
    del query.obs["cell_type"]
    query = query[:, np.random.default_rng(0).permutation(query.n_vars)].copy()
    query.write_h5ad(tmp_path / "query.h5ad")
    words = ["--labels-key", "label", "--unlabeled-category", "Unknown", "--batch-key", "batch", "--max-epochs", 150]
    out = ["--out", tmp_path / "ref", "--no-report", "--quiet", "--n-latent", 16]
    assert qbmvae("train", tmp_path / "reference.h5ad", *words, *out)[0] == 0
    code, _, err = qbmvae("embed", tmp_path / "ref", tmp_path / "query.h5ad", "--out", tmp_path / "e.h5ad")
    assert code == 2 and "qbmvae map" in err
    words = ["--out", tmp_path / "mapped", "--max-epochs", 3, "--no-report", "--quiet"]
    assert qbmvae("map", tmp_path / "ref", tmp_path / "query.h5ad", *words) == (0, "", "")
    assert qbmvae("predict", tmp_path / "mapped", tmp_path / "query.h5ad", "--out", tmp_path / "labels.csv")[0] == 0
    found = pd.read_csv(tmp_path / "labels.csv", index_col="obs_names")
    assert list(found.columns) == ["label", "probability"] and found["probability"].between(0, 1).all()
    assert list(found.index) == list(query.obs_names) and "Unknown" not in set(found["label"])
    assert (found["label"] == truth.reindex(found.index)).mean() > 0.5
    assert qbmvae("embed", tmp_path / "mapped", tmp_path / "query.h5ad", "--out", tmp_path / "e.h5ad")[0] == 0
    # a query without a new batch has nothing to train, and is refused by the reason
    code, _, err = qbmvae("map", tmp_path / "ref", tmp_path / "reference.h5ad", "--out", tmp_path / "same")
    assert code == 2 and "embed it as it is" in err and not (tmp_path / "same").exists()


def test_predictions_need_labels(trained, tmp_path, qbmvae):
    code, _, err = qbmvae("predict", trained / "run", trained / "cells.h5ad", "--out", tmp_path / "l.csv")
    assert code == 2 and "--unlabeled-category" in err


def test_several_columns_of_labels_are_predicted_in_one_table(trained, tmp_path, qbmvae):
    cells = ad.read_h5ad(trained / "cells.h5ad")
    cells.obs["kind"] = np.where(np.arange(cells.n_obs) % 3, cells.obs["cell_type"].astype(str), "Unknown")
    cells.obs["half"] = np.where(np.arange(cells.n_obs) % 2, "a", np.where(np.arange(cells.n_obs) % 4, "b", "Unknown"))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ["--labels-key", "kind,half", "--unlabeled-category", "Unknown", "--max-epochs", 3, "--no-report"]
    assert (
        qbmvae("train", tmp_path / "cells.h5ad", *words, "--n-latent", 8, "--quiet", "--out", tmp_path / "run")[0] == 0
    )
    assert qbmvae("predict", tmp_path / "run", tmp_path / "cells.h5ad", "--out", tmp_path / "l.csv")[0] == 0
    found = pd.read_csv(tmp_path / "l.csv", index_col="obs_names")
    assert list(found.columns) == ["label", "probability", "labels_key"]
    assert list(found["labels_key"]) == ["kind"] * cells.n_obs + ["half"] * cells.n_obs
    assert set(found.loc[found["labels_key"] == "half", "label"]) <= {"a", "b"}
    code, _, err = qbmvae("train", tmp_path / "cells.h5ad", "--labels-key", "kind,haf", "--out", tmp_path / "no")
    assert code == 2 and "'haf'" in err and "half" in err
