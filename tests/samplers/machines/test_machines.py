from __future__ import annotations

import dimod
import dimod.testing
import numpy as np
import pytest

import samplers
from samplers.errors import InputError


def make(name: str):
    from samplers.machines.bifurcation_package import SimulatedBifurcationPackage
    from samplers.machines.mock import MockMachine
    from samplers.machines.openjij import OpenJij

    return {
        "simulated-annealing": lambda: samplers.get("simulated-annealing"),
        "path-integral-annealing": lambda: samplers.get("path-integral-annealing"),
        "simcim": lambda: samplers.get("coherent-ising"),
        "analog": lambda: samplers.get("coherent-ising", model="analog"),
        "discrete": lambda: samplers.get("simulated-bifurcation"),
        "ballistic": lambda: samplers.get("simulated-bifurcation", mode="ballistic"),
        "bifurcation-package": SimulatedBifurcationPackage,
        "openjij": OpenJij,
        "openjij-sqa": lambda: OpenJij("sqa"),
        "mock": lambda: MockMachine(gain=1.0, flip_rate=0.0, bits=None, engine="gibbs?num_sweeps=50"),
    }[name]()


MACHINES = [
    "simulated-annealing", "path-integral-annealing", "simcim", "analog", "discrete", "ballistic",
    "bifurcation-package", "openjij", "openjij-sqa", "mock",
]  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_is_a_dimod_sampler(name):
    sampler = make(name)
    dimod.testing.assert_sampler_api(sampler)
    bqm = dimod.BinaryQuadraticModel({"a": 0.3, "b": -0.2, "c": 0.0}, {"ab": 0.5, "bc": -0.7}, 1.5, "BINARY")
    for model in (bqm, bqm.spin):
        answer = sampler.sample(model, num_reads=7, seed=1)
        dimod.testing.assert_response_energies(answer, model)
        assert len(answer) == 7
    with pytest.raises(InputError, match="num_read"):
        sampler.sample(bqm, num_read=99)


@pytest.mark.parametrize("name", MACHINES)
def test_equal_seeds_equal_reads_and_reads_differ(name, weak):
    first = make(name).draw(weak, 50, seed=4).states
    again = make(name).draw(weak, 50, seed=4).states
    other = make(name).draw(weak, 50, seed=5).states
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first, axis=0)) > 10


@pytest.mark.parametrize("name", MACHINES)
def test_weak_couplings_are_sampled_within_the_floor(name, weak, excess):
    states = make(name).draw(weak, 2000, seed=0).states
    # independent exact reads lie at 1 +- .25 here; machines are finished by five sweeps
    assert excess(weak, states) < 1.5


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("layout", ["sparse", "bipartite", "free", "one"])
def test_layouts_and_corner_problems(name, layout):
    rng = np.random.default_rng(0)
    problem = {
        "sparse": lambda: samplers.Ising(rng.normal(0, 0.3, 6), {(i, i + 1): 0.4 for i in range(5)}),
        "bipartite": lambda: samplers.Ising.bipartite(
            rng.normal(0, 0.3, 3), rng.normal(0, 0.3, 2), rng.normal(0, 0.5, (3, 2))
        ),
        "free": lambda: samplers.Ising(np.zeros(4), np.zeros((4, 4))),
        "one": lambda: samplers.Ising([-0.5], np.zeros((1, 1))),
    }[layout]()
    draws = make(name).draw(problem, 1500, seed=2)
    mean = draws.states.mean(axis=0)
    exact = np.array([_mean(problem, i) for i in range(problem.n)])
    np.testing.assert_allclose(mean, exact, atol=0.12)


def _mean(problem, i):
    states = ((np.arange(2**problem.n)[:, None] >> np.arange(problem.n)) & 1) * 2 - 1
    weights = np.exp(-problem.energies(states))
    return (weights @ states[:, i]) / weights.sum()


@pytest.mark.parametrize("name", MACHINES)
def test_beta_zero_is_uniform_and_clamped_spins_stay(name, weak):
    uniform = make(name).draw(weak, 1000, beta=0.0, seed=1).states
    assert np.abs(uniform.mean(axis=0)).max() < 0.13
    clamped = make(name).draw(weak, 20, clamped={2: -1, 5: 1}, seed=1).states
    assert (clamped[:, 2] == -1).all() and (clamped[:, 5] == 1).all()


@pytest.mark.parametrize("name", ["simcim", "analog", "discrete", "ballistic", "path-integral-annealing"])
def test_optimisers_say_so(name):
    assert make(name).kind == "optimiser"
    assert make(name).properties["kind"] == "optimiser"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("simulated-annealing?num_sweeps=0", "num_sweeps"),
        ("simulated-annealing?acceptance=heat", "acceptance"),
        ("simulated-annealing?ramp=2", "ramp"),
        ("simulated-annealing?num_read=99", "num_sweeps"),
        ("coherent-ising?model=laser", "simcim"),
        ("coherent-ising?scale=-1", "scale"),
        ("simulated-bifurcation?mode=cold", "discrete"),
        ("simulated-bifurcation?heat=nan", "heat"),
        ("path-integral-annealing?transverse_field=0", "transverse_field"),
    ],
)
def test_bad_options_name_themselves(spec, words):
    with pytest.raises(InputError, match=words):
        samplers.get(spec)
