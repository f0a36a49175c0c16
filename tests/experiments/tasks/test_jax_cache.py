from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.tasks.jax_cache import drop_compilations

COUNT = """
import os
import numpy as np
from experiments.tasks.integration import integration
x = np.random.default_rng(0).normal(size=(60, 4))
integration(x, np.arange(60) % 2, np.arange(60) // 30, x, extra=False)
print(os.environ["JAX_COMPILATION_CACHE_DIR"])
"""


def run(environment):
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_xla_compiles_is_kept_in_the_users_cache_folder(tmp_path):
    import os

    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    assert run({**clean, "XDG_CACHE_HOME": str(tmp_path)}) == str(tmp_path / "qbmvae" / "jax")
    kept = {p.name for p in (tmp_path / "qbmvae" / "jax").iterdir() if "-cache" in p.name}
    assert len(kept) > 10
    # a second process compiles nothing new; the user's own folder wins
    run({**clean, "XDG_CACHE_HOME": str(tmp_path)})
    assert {p.name for p in (tmp_path / "qbmvae" / "jax").iterdir() if "-cache" in p.name} == kept
    other = {**clean, "XDG_CACHE_HOME": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "mine")}
    assert run(other) == str(tmp_path / "mine") and any((tmp_path / "mine").iterdir())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists a process's memory maps")
def test_compilations_are_dropped_before_they_fill_the_process():
    import jax

    squared = jax.jit(lambda x: x**2)
    squared(np.ones(3))
    assert not drop_compilations(10**9) and squared._cache_size() == 1
    assert drop_compilations(0) and squared._cache_size() == 0
    assert squared(np.ones(3)).tolist() == [1, 1, 1]


def test_every_scoring_looks_how_full_the_process_is(monkeypatch):
    from experiments.tasks import integration as tasks

    asked = []
    monkeypatch.setattr(tasks, "drop_compilations", lambda: asked.append(1))
    x = np.random.default_rng(0).normal(size=(60, 4))
    tasks.integration(x, np.arange(60) % 2, np.arange(60) // 30, x, extra=False)
    assert asked == [1]
