from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from samplers import InputError, files


def left(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_whole_with_its_suffix_and_the_folder_is_made(tmp_path):
    seen = []
    path = files.write_atomically(tmp_path / "a" / "b.npz", lambda p: (seen.append(p.suffix), np.savez(p, x=[1])))
    assert path == tmp_path / "a" / "b.npz" and seen == [".npz"]
    assert np.load(path)["x"].tolist() == [1] and left(tmp_path / "a") == ["b.npz"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_writer_that_fails_leaves_the_old_and_no_temporary(tmp_path, folder):
    target = tmp_path / "t"
    files.write_atomically(
        target, (lambda p: (p / "f").write_text("old")) if folder else (lambda p: p.write_text("old")), folder=folder
    )

    def full(path):
        (path / "f" if folder else path).write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_atomically(target, full, folder=folder)
    assert (target / "f" if folder else target).read_text() == "old" and left(tmp_path) == ["t"]


def test_a_folder_is_replaced_in_one_step(tmp_path):
    target = tmp_path / "model"
    files.write_atomically(target, lambda p: (p / "old").write_text("1"), folder=True)
    files.write_atomically(target, lambda p: (p / "new").write_text("2"), folder=True)
    assert left(target) == ["new"] and left(tmp_path) == ["model"]


def test_a_folder_is_replaced_where_the_system_cannot_exchange(tmp_path, monkeypatch):
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *a, **k: object())
    test_a_folder_is_replaced_in_one_step(tmp_path)


def test_permissions_follow_the_umask_and_then_the_old_file(tmp_path):
    old = os.umask(0o027)
    try:
        path = files.write_text(tmp_path / "a", "1")
        folder = files.write_atomically(tmp_path / "d", lambda p: None, folder=True)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and stat.S_IMODE(folder.stat().st_mode) == 0o750
    path.chmod(0o604)
    files.write_text(path, "2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_symbolic_link_stays(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_places_that_cannot_be_written_to_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a folder"):
        files.write_text(tmp_path, "x")
    with pytest.raises(InputError, match="a file has this name"):
        files.write_atomically(tmp_path / "file", lambda p: None, folder=True)
    with pytest.raises(InputError, match="cannot write .*below"):
        files.write_text(tmp_path / "file" / "below", "x")


def test_a_kill_leaves_the_old_file_and_its_temporary_is_swept_later(tmp_path):
    target = tmp_path / "a.json"
    files.write_json(target, {"x": 1})
    code = (
        "import sys, time; from samplers import files\n"
        "def write(p): p.write_text('half'); print('ready', flush=True); time.sleep(60)\n"
        "files.write_atomically(sys.argv[1], write)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE)
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert '"x": 1' in target.read_text() and len(left(tmp_path)) == 2
    # a young temporary could be of a process that only looks dead from here
    files.write_json(target, {"x": 2})
    assert len(left(tmp_path)) == 2
    stale = next(p for p in tmp_path.iterdir() if p != target)
    os.utime(stale, (time.time() - 2 * files.STALE,) * 2)
    files.write_json(target, {"x": 3})
    assert left(tmp_path) == ["a.json"]


def test_json_holds_arrays_and_no_nan(tmp_path):
    import torch

    value = {"a": np.arange(2), "b": float("nan"), "c": np.float32(0.5), "d": torch.ones(1), 3: {1}, "e": True}
    path = files.write_json(tmp_path / "a.json", value)
    import json

    assert json.loads(path.read_text()) == {"a": [0, 1], "b": None, "c": 0.5, "d": [1.0], "3": [1], "e": True}
