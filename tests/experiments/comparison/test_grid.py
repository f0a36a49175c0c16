from __future__ import annotations

import json

import pytest

from experiments.comparison.grid import Entry, entry_path, read_all, read_entry, run_entries
from samplers.errors import InputError


def halve(path, value, log):
    """Halve an even number, and note that it was asked."""
    with open(log, "a") as file:
        file.write(f"{value}\n")
    if value % 2:
        raise ValueError(f"{value} is odd")
    path.with_suffix(".txt").parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".txt").write_text(str(value))
    return {"half": value // 2}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "asked.txt"


def entries(log, values, suffix=""):
    return [Entry(f"set/number__{v}", (v, log), f"{v}{suffix}") for v in values]


def test_a_grid_goes_on_where_it_stopped(tmp_path, log):
    out, lines = tmp_path / "out", []
    first = run_entries(out, entries(log, [2, 4, 5]), halve, say=lines.append)
    assert first == {"fits": 2, "ran": 2, "failed": 1}
    assert any("set, number, seed 5: failed: ValueError: 5 is odd" in line for line in lines)
    assert read_entry(out, entries(log, [4])[0])["half"] == 2 and read_entry(out, entries(log, [5])[0]) is None
    # a half-written file, a failure, and an entry whose settings changed are computed again; the rest is not
    entry_path(out, "set/number__2").write_text('{"ha')
    log.unlink()
    again = run_entries(out, [*entries(log, [2, 5]), *entries(log, [4], "changed")], halve, say=lines.append)
    assert again == {"fits": 2, "ran": 2, "failed": 1} and sorted(log.read_text().split()) == ["2", "4", "5"]
    log.unlink()
    assert run_entries(out, entries(log, [2]), halve, say=lines.append)["ran"] == 0 and not log.exists()
    assert {result["key"] for _, result in read_all(out)} == {"set/number__2", "set/number__4", "set/number__5"}


def test_results_of_an_older_version_are_found(tmp_path, log):
    old = tmp_path / "out" / "cells" / "set" / "number__8.json"
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps({"half": 4, "hash": "8"}))
    assert run_entries(tmp_path / "out", entries(log, [8]), halve, say=print) == {"fits": 1, "ran": 0, "failed": 0}


def test_a_file_in_the_place_of_the_folder_and_two_entries_of_one_name_are_refused(tmp_path, log):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file: --out names a folder"):
        run_entries(tmp_path / "file", entries(log, [2]), halve)
    with pytest.raises(InputError, match="set/number__2 is in the grid twice"):
        run_entries(tmp_path / "out", entries(log, [2, 4, 2]), halve)
    assert not log.exists()


def test_a_full_memory_and_a_key_stop_the_grid(tmp_path, log):
    def full(path, value, log):
        raise MemoryError

    with pytest.raises(MemoryError):
        run_entries(tmp_path, entries(log, [2]), full, say=print)
