from __future__ import annotations

import json

import numpy as np
import pytest

from experiments import run_folder
from samplers.errors import InputError


def test_a_failing_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "a" / "file.txt"
    run_folder.write_text(target, "old")

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_folder.write_atomically(target, fail)
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_json_is_valid_whatever_the_numbers(tmp_path):
    value = {"a": float("nan"), "b": np.float32(0.5), "c": np.arange(2), 3: [float("inf"), None, True], "p": tmp_path}
    run_folder.write_json(tmp_path / "x.json", value)
    read = json.loads((tmp_path / "x.json").read_text())
    assert read == {"a": None, "b": 0.5, "c": [0, 1], "3": [None, None, True], "p": str(tmp_path)}


def test_folders_that_hold_something_are_refused(tmp_path):
    assert run_folder.fresh_folder(tmp_path / "new" / "run").is_dir()
    (tmp_path / "new" / "run" / "x").write_text("")
    with pytest.raises(InputError, match="not empty"):
        run_folder.fresh_folder(tmp_path / "new" / "run")
    with pytest.raises(InputError, match="is a file"):
        run_folder.fresh_folder(tmp_path / "new" / "run" / "x")
    run_folder.write_status(tmp_path / "new" / "run", "training")
    with pytest.raises(InputError, match="--resume"):
        run_folder.fresh_folder(tmp_path / "new" / "run")


def test_damaged_run_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        run_folder.open_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"config\.yaml"):
        run_folder.open_run(tmp_path)
    config = {"data": "x", "setup": {}, "model": {}, "train": {}, "seed": 0}
    run_folder.start(tmp_path, config)
    with pytest.raises(InputError, match="not finished"):
        run_folder.open_run(tmp_path)
    run_folder.write_status(tmp_path, "complete")
    with pytest.raises(InputError, match=r"model\.pt"):
        run_folder.open_run(tmp_path)
    assert run_folder.open_run(tmp_path, complete=False)["seed"] == 0
    (tmp_path / run_folder.CONFIG).write_text("data: [")
    with pytest.raises(InputError, match="not valid YAML"):
        run_folder.open_run(tmp_path)
    (tmp_path / run_folder.CONFIG).write_text("data: x")
    with pytest.raises(InputError, match="lacks entries"):
        run_folder.open_run(tmp_path)
    (tmp_path / run_folder.STATUS).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        run_folder.open_run(tmp_path)


def test_an_error_before_anything_is_worth_keeping_leaves_no_folder(tmp_path):
    path = run_folder.fresh_folder(tmp_path / "run")
    with pytest.raises(RuntimeError), run_folder.undo_on_error(path, keep_if=lambda: False):
        (path / "config.yaml").write_text("x")
        raise RuntimeError
    assert not path.exists()
    path = run_folder.fresh_folder(tmp_path / "run")
    with pytest.raises(RuntimeError), run_folder.undo_on_error(path, keep_if=lambda: True):
        raise RuntimeError
    assert path.exists()


def test_embeddings_are_keyed_by_cell(tmp_path):
    table = run_folder.embedding_table(["b", "a"], np.array([[1.0, 2.0], [3.0, 4.0]]))
    run_folder.write_table(tmp_path / "e.parquet", table)
    import pandas as pd

    read = pd.read_parquet(tmp_path / "e.parquet")
    assert read.loc["a"].tolist() == [3.0, 4.0] and list(read.columns) == ["z0", "z1"]


def test_the_time_that_is_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_folder.time, "monotonic", lambda: now[0])
    from_now, from_first = run_folder.Remaining(10, done=0), run_folder.Remaining(10)
    assert from_now.after(0) == from_first.after(4) == ""
    now[0] += 20
    # two parts took 20 s: eight are left; of the other, one part took as long
    assert from_now.after(2) == ", about 80 s left"
    assert from_first.after(5) == ", about 2 min left"
    assert from_now.after(10) == "", "nothing is left"
    now[0] += 5000
    assert from_first.after(6).endswith(" h left")
    assert [run_folder.duration(s) for s in (7, 600, 7200)] == ["7 s", "10 min", "2.0 h"]
