from __future__ import annotations

import json

import dimod
import numpy as np
import pytest

import samplers
from samplers.diagnostics.plots import write_plots
from samplers.diagnostics.verdict import check
from samplers.errors import InputError
from samplers.machines.mock import MockMachine
from samplers.wrappers import Correction, Quantise, TemperatureControl


def gaussian(n: int, g: float, seed: int) -> samplers.Ising:
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, 0.2, n), couplings + couplings.T)


@pytest.mark.parametrize("name", ["exact", "gibbs", "population-annealing", "parallel-tempering", "persistent"])
def test_samplers_are_good_at_the_critical_coupling(name):
    verdict = check(name, gaussian(16, 1.0, 0), num_reads=1000)
    assert verdict.level == "good", verdict.summary
    assert abs(verdict["effective beta"].value - 1) < 4 * verdict["effective beta"].error
    assert verdict["moment error"].value < 2
    assert ("R-hat" in verdict) == (name in ("gibbs", "persistent"))
    assert ("moment error, followed" in verdict) == (name == "persistent")
    assert ("families" in verdict) == (name == "population-annealing")
    assert ("round trips" in verdict) == (name == "parallel-tempering")


def test_an_optimiser_is_told_by_its_temperature():
    class Coldest(samplers.Sampler):
        """Reads at beta 8."""

        kind = "optimiser"

        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            return samplers.get("exact").draw(problem, num_reads, 8.0, seed=seed).states

    verdict = check(Coldest(), gaussian(12, 1.0, 1))
    assert verdict.level == "bad" and "wrong temperature" in verdict.summary and "Correction" in verdict.summary
    assert verdict["effective beta"].status == "bad"
    assert verdict["Callen residual"].status == "bad" or verdict["drift"].status == "bad"


def test_wrong_modes_at_the_right_temperature():
    # two clusters that never flip: from random starts each settles by itself, the field decides between them
    n = 20
    couplings = {(i, j): -0.5 for a in (0, 10) for i in range(a, a + 10) for j in range(a, i)}
    problem = samplers.Ising(np.full(n, -0.05), couplings)
    verdict = check("gibbs?num_sweeps=6", problem, num_reads=2000)
    assert verdict["effective beta"].status == "good"
    assert verdict.level != "good" and "modes" in verdict.summary


@pytest.mark.parametrize("g", [1.0, 2.0])
@pytest.mark.parametrize("wrap", [samplers.get, Correction], ids=["bare", "wrapped"])
def test_kept_chains_are_judged_by_their_own_start(wrap, g):
    # two sweeps never forget random spins, and need not: chains are cooled first, then kept
    verdict = check(wrap("persistent"), gaussian(48, g, 2), num_reads=1000)
    assert verdict.level == "good", verdict.summary
    assert verdict["R-hat"].status == "good" and "own start" in verdict["R-hat"].meaning
    assert verdict["moment error, followed"].status == "good"


class Kept(samplers.Sampler):
    """Chains kept from draw to draw without weights, started from random spins."""

    keeps_chains = True
    states = None

    def draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, seed=None):
        if initial_states is not None or self.states is None or isinstance(seed, int):
            rng = np.random.default_rng(seed)
            random = rng.choice([-1, 1], (num_reads, problem.n))
            self.states = random if initial_states is None else initial_states
        self.states = self.move(problem, beta, self.states, seed)
        return self.states.copy()

    def move(self, problem, beta, states, seed):
        return samplers.get("gibbs", num_sweeps=2).draw(
            problem, len(states), beta, initial_states=states, seed=seed
        ).states  # fmt: skip


def test_kept_chains_that_start_wrongly_are_bad():
    verdict = check(Kept(), gaussian(48, 2.0, 2), num_reads=1000)
    assert verdict.level == "bad" and verdict["R-hat"].status == "bad" and verdict["moment error"].status == "bad"


def test_kept_chains_that_do_not_follow_are_bad():
    class Stuck(Kept):
        """Right at its first draw, and never again."""

        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            if self.states is None or isinstance(seed, int):
                self.states = samplers.get("exact").draw(problem, num_reads, beta, seed=seed).states
            return self.states.copy()

    verdict = check(Stuck(), gaussian(14, 2.0, 3), num_reads=1000)
    assert verdict["moment error"].status == "good" and verdict["moment error, followed"].status == "bad"
    assert verdict.level == "bad" and "followed" in verdict.summary


def test_corrected_machines_stand_beside_the_random_start():
    verdict = check("simulated-bifurcation", gaussian(24, 0.5, 2))
    assert verdict["moment error, random start"].status == "note"
    assert verdict.random_draws is not None and len(verdict.random_draws) == 1000
    assert "adds nothing" in verdict.summary
    assert "moment error, random start" not in check("simulated-bifurcation?correction_sweeps=0", gaussian(8, 0.5, 2))


def test_machine_facts_are_shown():
    verdict = check(TemperatureControl(MockMachine(gain=2.0, j_range=0.2)), gaussian(30, 1.0, 3))
    assert {"clip fraction", "scale", "readout flips", "unique reads"} <= {f.name for f in verdict.findings}
    assert verdict["clip fraction"].status == "bad"
    assert check(Quantise("gibbs", bits=10), gaussian(12, 0.5, 3))["clip fraction"].value == 0


def test_free_spins_and_one_spin():
    assert check("gibbs", samplers.Ising(np.zeros(4), {})).level == "good"
    assert check("gibbs", samplers.Ising([0.3], {})).level == "good"
    assert check("gibbs", gaussian(6, 1.0, 0), beta=0.0).level == "good"


def test_data_start_and_seed():
    problem = gaussian(12, 1.0, 4)
    data = samplers.get("exact").draw(problem, 100, seed=0).states
    one, two = (check("gibbs?num_sweeps=1", problem, data=data, seed=5).as_dict() for _ in range(2))
    assert json.dumps(one) == json.dumps(two)
    assert one["findings"]["R-hat"]["value"] > 1.01


def test_bad_requests():
    with pytest.raises(InputError, match="50 reads"):
        check("gibbs", gaussian(4, 1.0, 0), num_reads=10)
    with pytest.raises(InputError, match="spins"):
        check("gibbs", samplers.Ising([], {}))


@pytest.mark.parametrize("name", ["parallel-tempering", "coherent-ising"])
def test_plots(tmp_path, name):
    problem = gaussian(12, 1.0, 5)
    paths = write_plots(check(name, problem, num_reads=200), problem, tmp_path / "plots")
    expected = {"energies", "moments", "fields", "residuals"} | ({"ladder"} if name == "parallel-tempering" else set())
    assert {p.stem for p in paths} == expected == {p.stem for p in (tmp_path / "plots").iterdir()}
    assert all(p.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for p in paths)


@pytest.mark.parametrize("case", range(8))
def test_the_summary_names_every_fault_and_claims_nothing_that_the_details_deny(case):
    class Same(samplers.Sampler):
        """One state, again and again."""

        def _draw(self, request):
            return np.tile([1, -1] * (request.problem.n // 2), (request.num_reads, 1))

    cold = samplers.from_dimod(samplers.get("gibbs?num_sweeps=40"), kind="sampler")
    sampler, problem, beta = (
        (Same(), gaussian(12, 1.0, 0), 1.0),
        ("gibbs?num_sweeps=1", gaussian(20, 2.0, 0), 1.0),
        ("gibbs?num_sweeps=2", gaussian(20, 1.0, 0), 1.0),
        ("simulated-annealing?num_sweeps=3", gaussian(20, 2.0, 1), 1.0),
        (Quantise("gibbs", bits=3, j_range=0.1), gaussian(16, 1.0, 1), 1.0),
        ("coherent-ising?correction_sweeps=0", gaussian(16, 1.0, 1), 0.5),
        (cold, gaussian(16, 1.0, 1), 1.0),
        (Same(), gaussian(12, 1.0, 0), 0.0),
    )[case]
    verdict = check(sampler, problem, beta=beta, num_reads=400)
    flagged = [f for f in verdict.findings if f.status in ("bad", "fair")]
    assert verdict.level == ("good" if not flagged else "bad" if any(f.status == "bad" for f in flagged) else "fair")
    for finding in flagged:
        assert finding.name in verdict.summary or finding.meaning in verdict.summary, (finding, verdict.summary)
    status = verdict["effective beta"].status
    assert ("right temperature" not in verdict.summary) or status == "good"
    assert ("wrong temperature" not in verdict.summary) or status == "bad"
    assert ("no fault" in verdict.summary) == (not flagged)
    assert verdict.summary.startswith(verdict.sampler + " on ")


def test_a_sampler_of_ones_own_shows_its_own_name():
    class Mine(samplers.Sampler):
        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            return samplers.get("exact").draw(problem, num_reads, beta, seed=seed).states

    problem = gaussian(6, 0.5, 0)
    assert Mine().draw(problem).info["sampler"] == "Mine" and check(Mine(), problem).sampler == "Mine"
    samplers.register("my-own", Mine)
    named = samplers.get("my-own")
    assert named.draw(problem).info["sampler"] == "my-own" and check(named, problem).sampler == "my-own"
    assert samplers.from_dimod(dimod.ExactSolver()).draw(problem).info["sampler"] == "ExactSolver"
    with pytest.raises(InputError, match="my-own takes no initial_states"):
        named.draw(problem, initial_states=np.ones(6))
