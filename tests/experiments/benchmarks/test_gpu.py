from __future__ import annotations

import pytest

from experiments.benchmarks import gpu
from samplers import InputError


def test_the_whole_script_runs_on_the_cpu(tmp_path):
    rows = gpu.main(
        ["--device", "cpu", "--bits", "16", "--chains", "64", "--cells", "256", "--genes", "50", "--batch-sizes", "64",
         "--epochs", "1", "--latent", "16", "--repeats", "1", "--out", str(tmp_path / "gpu.json")]
    )  # fmt: skip
    assert [row["what"] for row in rows] == [
        "negative phase, 16 bits, dense", "negative phase, 16 bits, bipartite", "scVI, batch 64", "QBM-VAE, 32, batch 64",
        "QBM-VAE, bf16, batch 64",
    ]  # fmt: skip
    assert all(row["ms"] > 0 for row in rows[:2])
    assert all(row["cells_s"] > 0 for row in rows[2:])
    assert (tmp_path / "gpu.json").is_file()


def test_an_absent_device_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="--device cpu"):
        gpu.main([])
