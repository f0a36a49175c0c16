from __future__ import annotations

import pytest

import samplers
from samplers import testing
from samplers.machines.bifurcation_package import SimulatedBifurcationPackage
from samplers.machines.mock import MockMachine
from samplers.machines.openjij import OpenJij
from samplers.wrappers import Ahead, Correction, Gauge, Quantise

MAKERS = {
    "simulated-annealing": lambda: samplers.get("simulated-annealing"),
    "path-integral-annealing": lambda: samplers.get("path-integral-annealing", num_sweeps=20),
    "simcim": lambda: samplers.get("coherent-ising", num_steps=30),
    "analog": lambda: samplers.get("coherent-ising", model="analog", num_steps=30),
    "discrete": lambda: samplers.get("simulated-bifurcation", num_steps=30),
    "ballistic": lambda: samplers.get("simulated-bifurcation", mode="ballistic", num_steps=30),
    "bifurcation-package": lambda: SimulatedBifurcationPackage(num_steps=50),
    "mock": lambda: MockMachine(gain=1.0, flip_rate=0.0, bits=None, j_range=9.0, engine="exact"),
    "gauge": lambda: Gauge("exact", num_gauges=3),
    "correction": lambda: Correction("exact", 2),
    "quantise": lambda: Quantise("exact", bits=None),
    "ahead": lambda: Ahead("exact"),
}


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_conformance(name, check):
    check(MAKERS[name])


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
def test_conformance_of_openjij(check):
    # a seeded draw costs one call a read; the contract clamps and splits batches for every machine alike
    if check not in (testing.check_clamped, testing.check_batch):
        check(lambda: OpenJij(num_sweeps=20))


@pytest.mark.parametrize("algorithm", ["sa", "sqa"])
def test_openjij_reads_differ_with_and_without_a_seed(algorithm):
    free = samplers.Ising([0.0] * 30, {(0, 1): 0.1})
    for seed in (None, 3):
        states = OpenJij(algorithm, correction_sweeps=0).draw(free, 40, seed=seed).states
        assert len({row.tobytes() for row in states}) >= 39
