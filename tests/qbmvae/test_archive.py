from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from qbmvae import archive
from samplers import InputError


@pytest.fixture
def written(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    tensors = {"net.weight": weight.T, "net.bias": weight[0], "other.x": torch.tensor(3)}
    archive.write(tmp_path / "m.safetensors", "toy", tensors, {"genes": ["a", "b"], "n": 2})
    return tmp_path / "m.safetensors", tensors


def test_tensors_and_header_come_back(written):
    path, tensors = written
    found, header = archive.read(path, "toy")
    assert header == {"genes": ["a", "b"], "n": 2}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[k], tensors[k]) and found[k].dtype == tensors[k].dtype for k in tensors)
    assert archive.part(found, "net").keys() == {"weight", "bias"}


def test_equal_contents_are_equal_files(written, tmp_path):
    path, tensors = written
    archive.write(tmp_path / "again.safetensors", "toy", tensors, {"genes": ["a", "b"], "n": 2})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_missing_damaged_and_foreign_files_are_named(written, tmp_path):
    path, _ = written
    with pytest.raises(InputError, match="there is no file"):
        archive.read(tmp_path / "none", "toy")
    with pytest.raises(InputError, match="'cat'.*holds toy"):
        archive.read(path, "cat")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="damaged"):
        archive.read(path, "toy")
    with pytest.raises(InputError, match="folder"):
        archive.write(tmp_path, "toy", {}, {})


def test_a_header_next_to_the_file_is_read_where_none_is_inside(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "old.safetensors")
    with pytest.raises(InputError, match="no header"):
        archive.read(tmp_path / "old.safetensors", "toy", sidecar=tmp_path / "old.json")
    (tmp_path / "old.json").write_text(json.dumps({"n": 1}))
    assert archive.read(tmp_path / "old.safetensors", "toy", sidecar=tmp_path / "old.json")[1] == {"n": 1}
