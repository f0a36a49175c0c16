"""`samplers` stands alone: it draws where neither the models nor their libraries can be imported."""

from __future__ import annotations

import subprocess
import sys

ALONE = """
import sys
for name in ("qbmvae", "experiments", "scvi", "anndata", "scanpy", "pandas"):
    sys.modules[name] = None  # whoever imports it gets an ImportError
import importlib, pkgutil
import samplers

for module in pkgutil.walk_packages(samplers.__path__, "samplers."):
    importlib.import_module(module.name)
problem = samplers.Ising([0.1, -0.2, 0.3], {(0, 1): 0.5, (1, 2): -0.5})
for name in ("exact", "gibbs", "persistent", "population-annealing", "parallel-tempering", "simulated-annealing"):
    assert samplers.get(name).draw(problem, 8, seed=0).states.shape == (8, 3)
samplers.log_partition(problem)
samplers.effective_beta(problem, samplers.get("exact").draw(problem, 100, seed=0).states)
print("alone")
"""


def test_every_module_imports_and_draws_without_the_models():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.stdout.strip() == "alone", done.stderr


def test_lazy_names_are_shown_and_load():
    import samplers
    import samplers.wrappers

    for package in (samplers, samplers.wrappers):
        assert set(package.__all__) <= set(dir(package))
        for name in package.__all__:
            assert getattr(package, name).__name__ == name
    done = subprocess.run(
        [sys.executable, "-c", "import samplers, sys; print([m for m in ('torch', 'numba') if m in sys.modules])"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr
