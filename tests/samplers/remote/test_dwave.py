from __future__ import annotations

import json
import warnings

import dimod
import dimod.testing
import numpy as np
import pytest
from dwave.system.testing import MockDWaveSampler
from vendor_fakes import ExactQpu

from samplers import InputError, Ising
from samplers.errors import RemoteError, RemoteTimeoutError
from samplers.remote.dwave import DWave

MOCK = MockDWaveSampler(topology_type="pegasus", topology_shape=[3], parameter_warnings=False)


def exact(problem: Ising, beta: float = 1.0) -> np.ndarray:
    states = 1 - 2 * ((np.arange(2**problem.n)[:, None] >> np.arange(problem.n)) & 1)
    weights = np.exp(-beta * (problem.energies(states) - problem.energies(states).min()))
    return weights / weights.sum()


def histogram(states: np.ndarray) -> np.ndarray:
    codes = ((1 - states.astype(int)) // 2) @ (2 ** np.arange(states.shape[1]))
    return np.bincount(codes, minlength=2 ** states.shape[1]) / len(states)


def random_problem(n: int, seed: int, scale: float = 0.5) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=n) * scale, np.triu(rng.normal(size=(n, n)) * scale, 1))


@pytest.mark.parametrize("gauges", [1, 4])
def test_embedded_gauged_batched_reads_follow_the_problem(tmp_path, gauges):
    problem = random_problem(5, 3)
    qpu = ExactQpu(MOCK, beta=2.5, num_reads_range=[1, 5000], extended_j_range=[-9.0, 9.0])
    sampler = DWave(qpu=qpu, machine_beta=2.5, gauges=gauges, chain_strength=2.5, cache_folder=tmp_path)
    draws = sampler.draw(problem, 20_000, beta=0.8, seed=1)
    # the total variation of 20,000 exact samples over 32 states is about .013
    assert 0.5 * np.abs(histogram(draws.states) - exact(problem, 0.8)).sum() < 0.025
    assert len(qpu.sent) == 4 and draws.info["calls"] == 4 and draws.info["timing"]["machine"] == 2.0
    assert draws.info["clip"]["clipped"] == 0 and draws.info["longest_chain"] >= 1
    for _, options in qpu.sent:
        assert options["auto_scale"] is False and options["answer_mode"] == "raw" and options["num_reads"] == 5000
    # every batch has a gauge of its own: same magnitudes, other signs
    one, two = (np.array(list(bqm.linear.values())) for bqm, _ in qpu.sent[:2])
    np.testing.assert_allclose(np.abs(one), np.abs(two))
    assert (one != two).any()


def test_clamped_spins_keep_the_embedding(tmp_path):
    problem = random_problem(5, 4)
    qpu = ExactQpu(MOCK, extended_j_range=[-9.0, 9.0])
    sampler = DWave(qpu=qpu, chain_strength=4.0, cache_folder=tmp_path)
    draws = sampler.draw(problem, 10_000, clamped={0: 1, 3: -1}, seed=0)
    rest, free = problem.condition({0: 1, 3: -1})
    assert (draws.states[:, 0] == 1).all() and (draws.states[:, 3] == -1).all()
    assert 0.5 * np.abs(histogram(draws.states[:, free]) - exact(rest)).sum() < 0.025
    np.testing.assert_allclose(draws.energies, problem.energies(draws.states))
    everything = dict.fromkeys(range(5), 1)
    assert (sampler.draw(problem, 3, clamped=everything).states == 1).all()


def test_coefficients_beyond_the_range_are_cut_and_reported(tmp_path):
    qpu = ExactQpu(MOCK)
    problem = Ising(np.array([9.0, 0.1, 0.0]), {(0, 1): 5.0, (1, 2): 0.2})
    draws = DWave(qpu=qpu, cache_folder=tmp_path).draw(problem, 10)
    bqm, _ = qpu.sent[0]
    assert max(map(abs, bqm.linear.values())) <= 4.0 and max(map(abs, bqm.quadratic.values())) <= 2.0
    assert min(bqm.quadratic.values()) >= -2.0
    assert draws.info["clip"]["clipped"] == pytest.approx(0.5) and draws.info["clip"]["worst"] == pytest.approx(5.0)


def test_an_embedding_is_found_once_and_kept(tmp_path, monkeypatch):
    DWave(qpu=ExactQpu(MOCK), cache_folder=tmp_path).draw(Ising(np.zeros(4), np.zeros((4, 4))), 5)
    (path,) = tmp_path.glob("*.json")
    import samplers.remote.embedding as embeddings

    def never(*_):
        raise AssertionError("searched again")

    monkeypatch.setattr(embeddings, "_search", never)
    # zero couplings grow: the embedding of a dense layout holds all pairs from the start
    DWave(qpu=ExactQpu(MOCK), cache_folder=tmp_path).draw(random_problem(4, 0), 5)
    monkeypatch.undo()
    path.write_text(json.dumps({"0": [999999]}))
    DWave(qpu=ExactQpu(MOCK), cache_folder=tmp_path).draw(random_problem(4, 0), 5)
    assert "999999" not in path.read_text()


@pytest.mark.parametrize("layout", ["sparse", "bipartite"])
def test_other_layouts_embed_as_well(tmp_path, layout):
    if layout == "sparse":
        problem = Ising(np.array([0.3, -0.2, 0.5, 0.0, 0.4]), {(0, 1): 0.5, (1, 2): -0.5, (0, 2): 0.3})
    else:
        problem = Ising.bipartite(np.array([0.3, -0.2]), np.array([0.1, 0.0, 0.2]), np.full((2, 3), 0.3))
    qpu = ExactQpu(MOCK, extended_j_range=[-9.0, 9.0])
    draws = DWave(qpu=qpu, chain_strength=6.0, cache_folder=tmp_path).draw(problem, 10_000, seed=0)
    assert 0.5 * np.abs(histogram(draws.states) - exact(problem)).sum() < 0.025


def test_a_problem_that_does_not_fit_is_told_what_would(tmp_path):
    sampler = DWave(qpu=MOCK, cache_folder=tmp_path)
    with pytest.raises(
        InputError, match=r"100 spins and 4950 pairs does not fit 'MockDWaveSampler' .* at most \d+ fully"
    ):
        sampler.draw(Ising(np.zeros(100), np.zeros((100, 100))))
    with pytest.raises(InputError, match="9000 spins does not fit"):
        sampler.draw(Ising(np.zeros(9000), {}))


def test_a_wrong_embedding_is_named():
    problem = Ising(np.zeros(3), {(0, 1): 1.0})
    u, v = MOCK.edgelist[0]
    other = next(q for q in MOCK.nodelist if q not in (u, v) and (u, q) not in MOCK.edgelist)
    for embedding, named in (
        ({0: [u], 1: [v]}, "spin 2 has no chain"),
        ({0: [u], 1: [u], 2: [v]}, "serves spins 0 and 1"),
        ({0: [u], 1: [other], 2: [v]}, "no coupler joins spins 0 and 1"),
        ({0: [u, other], 1: [v], 2: [v]}, "chain of spin 0 is broken"),
        ({0: [-5], 1: [v], 2: [u]}, "not on the machine"),
    ):
        with pytest.raises(InputError, match=named):
            DWave(qpu=MOCK, embedding=embedding).draw(problem)
    assert len(DWave(qpu=MOCK, embedding={0: [u], 1: [v], 2: [other]}).draw(problem, 4)) == 4
    # by label, and a qubit alone for a chain of one
    named = Ising(dict(zip("abc", problem.h, strict=True)), dict(zip([("a", "b")], [0.5], strict=True)))
    assert len(DWave(qpu=MOCK, embedding={"c": other, "b": [v], "a": (u,)}).draw(named, 4)) == 4
    for wrong in ({"a": [u], "b": [v], "z": [other]}, {0.5: [u]}):
        with pytest.raises(InputError, match=r"no spin"):
            DWave(qpu=MOCK, embedding=wrong).draw(named)


def test_batches_overlap_with_other_work(tmp_path):
    pending = DWave(qpu=ExactQpu(MOCK), cache_folder=tmp_path).submit(random_problem(3, 0), 7)
    assert pending.done() and len(pending.result().states) == 7


def test_errors_of_the_vendor_become_ours_without_credentials(tmp_path, monkeypatch):
    qpu = ExactQpu(MOCK)
    sampler = DWave(qpu=qpu, cache_folder=tmp_path)

    class SolverAuthenticationError(Exception):
        pass

    class RequestTimeout(Exception):
        pass

    for fault, ours, named in (
        (SolverAuthenticationError(), InputError, "DWAVE_API_TOKEN"),
        (RequestTimeout("late"), RemoteTimeoutError, "late"),
        (ValueError("internal"), RemoteError, "internal"),
    ):
        qpu.fault = fault
        with pytest.raises(ours, match=named):
            sampler.draw(random_problem(3, 0))
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    with pytest.raises(InputError, match="set the environment variable DWAVE_API_TOKEN"):
        DWave().draw(random_problem(3, 0))
    monkeypatch.setenv("DWAVE_API_TOKEN", "DEV-tell-nobody")
    monkeypatch.setattr("dwave.system.DWaveSampler", lambda **o: (_ for _ in ()).throw(OSError(f"no route for {o}")))
    with pytest.raises(RemoteError, match=r"'token': '\*\*\*'"):
        DWave().draw(random_problem(3, 0))


def test_the_vendors_mock_and_the_dimod_contract(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler = DWave(qpu=MOCK, cache_folder=tmp_path)
        dimod.testing.assert_sampler_api(sampler)
        answer = sampler.sample_ising({"a": 0.5}, {("a", "b"): -1.0, ("b", "c"): 0.5}, num_reads=25, seed=0)
    bqm = dimod.BQM.from_ising({"a": 0.5}, {("a", "b"): -1.0, ("b", "c"): 0.5})
    dimod.testing.assert_response_energies(answer, bqm)
    assert len(answer) == 25 and sampler.properties["machine"]["connectivity"] == "pegasus"
    with pytest.raises(InputError, match="initial_states"):
        sampler.draw(random_problem(2, 0), 1, initial_states=np.ones((1, 2)))
