"""A third party's backend: twenty lines and an entry point, found in a fresh process, conforming, and trained with."""

from __future__ import annotations

import os
import subprocess
import sys

BACKEND = '''
"""A backend of a third party."""
import numpy as np
from samplers import Sampler


class Mine(Sampler):
    """Sequential Gibbs sweeps over all reads at once."""

    name = "mine"

    def __init__(self, num_sweeps=150):
        self.num_sweeps = num_sweeps

    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        rng = np.random.default_rng(seed)
        states = rng.choice([-1, 1], (num_reads, problem.n))
        for _ in range(self.num_sweeps):
            for i in range(problem.n):
                field = -problem.h[i] - states @ problem.dense[i]
                states[:, i] = np.where(rng.random(num_reads) < 1 / (1 + np.exp(-2 * beta * field)), 1, -1)
        return states
'''

TRAIN = """
import anndata, numpy as np, samplers
from qbmvae import QBMVAE
from samplers import testing

assert samplers.available()["mine"].description == "Sequential Gibbs sweeps over all reads at once."
testing.conformance(lambda: samplers.get("mine"))
adata = anndata.AnnData(np.random.default_rng(0).poisson(2.0, (80, 15)).astype(np.float32))
QBMVAE.setup_anndata(adata)
model = QBMVAE(adata, n_latent=6, n_hidden=16)
model.train(sampler="mine", num_chains=32, max_epochs=2, batch_size=32, progress_bar=False, seed=0)
assert np.isfinite(model.get_elbo())
print("trained with", model.sampler_)
"""


def test_a_backend_of_twenty_lines_found_by_entry_point_trains_a_model(tmp_path):
    assert len(BACKEND.strip().splitlines()) <= 22
    (tmp_path / "their_backend.py").write_text(BACKEND)
    info = tmp_path / "their_backend-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-backend\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[qbmvae.samplers]\nmine = their_backend:Mine\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trained with mine" in done.stdout
