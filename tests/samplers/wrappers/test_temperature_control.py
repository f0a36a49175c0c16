from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers.errors import InputError
from samplers.machines.mock import MockMachine
from samplers.wrappers import TemperatureControl, fit_readout


def gaussian(n: int, g: float, seed: int) -> samplers.Ising:
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, 0.2, n), couplings + couplings.T)


@pytest.mark.parametrize(("n", "gain"), [(64, 3.0), (64, 0.5), (48, 8.0), (96, 1.0)])
def test_ends_within_15_percent_of_the_ideal_scale(n, gain):
    # hidden scale, 8-bit coefficients, clipping to [-1, 1], 1 % readout flips, g = 2
    problem = gaussian(n, 2.0, seed=n)
    machine = MockMachine(gain=gain, bits=8, j_range=1.0, h_range=4.0, flip_rate=0.01)
    control = TemperatureControl(machine)
    scales = np.array(control.calibrate(problem, 500, rounds=10, seed=0))
    assert (np.abs(scales[-4:] * gain - 1) < 0.15).all()
    draws = control.draw(problem, 500, seed=1)
    assert draws.info["flip_rate"] == pytest.approx(0.01, abs=0.003)
    assert draws.info["scale"] == pytest.approx(scales[-1])


def test_follows_a_drifting_machine():
    problem = gaussian(48, 1.0, seed=1)
    machine = MockMachine(gain=2.0, drift=0.03, flip_rate=0.005, engine="gibbs?num_sweeps=30")
    control = TemperatureControl(machine)
    off = []
    for step in range(30):
        control.draw(problem, 500, seed=step)
        off.append(np.log(control.scale * machine.gain))
    assert np.abs(off[5:]).max() < 0.25
    assert abs(np.mean(off[5:])) < 0.1


def test_free_spins_leave_the_scale():
    control = TemperatureControl(MockMachine(engine="gibbs?num_sweeps=2"), scale=1.7)
    control.draw(samplers.Ising(np.zeros(5), np.zeros((5, 5))), 50, seed=0)
    assert control.scale == 1.7


@pytest.mark.parametrize("fit", ["readout", "pseudo-likelihood"])
def test_frozen_reads_ask_for_a_smaller_scale(fit):
    problem = samplers.Ising(np.zeros(10), {(i, i + 1): -1.0 for i in range(9)})
    control = TemperatureControl(MockMachine(gain=200.0, flip_rate=0.0, bits=None), fit=fit)
    control.draw(problem, 100, seed=0)
    assert control.scale < 0.3
    control.calibrate(problem, 500, rounds=8, seed=1)
    assert control.scale == pytest.approx(1 / 200, rel=0.2)


def test_pseudo_likelihood_fit_of_a_machine_that_reads_well():
    problem = gaussian(40, 0.8, seed=2)
    machine = MockMachine(gain=2.5, flip_rate=0.0, engine="gibbs?num_sweeps=60")
    control = TemperatureControl(machine, fit="pseudo-likelihood")
    control.calibrate(problem, 1000, rounds=6, seed=0)
    assert control.scale == pytest.approx(0.4, rel=0.08)


def test_seen_through_the_contract():
    control = TemperatureControl("coherent-ising?correction_sweeps=0")
    assert control.kind == "optimiser"
    draws = control.draw(gaussian(20, 0.8, seed=0), 300, seed=0)
    assert {"scale", "effective_beta", "effective_beta_error", "flip_rate"} <= set(draws.info)
    with pytest.raises(InputError, match="rate"):
        TemperatureControl("gibbs", rate=3)


@pytest.mark.parametrize("flip", [0.0, 0.01, 0.05])
def test_readout_fit_within_its_error(flip):
    # exact samples of a weak problem; the fields see flipped neighbours, which costs a little of beta
    problem = gaussian(12, 1.0, seed=5)
    states = samplers.get("exact").draw(problem, 20_000, seed=0).states
    flips = np.random.default_rng(1).random(states.shape) < flip
    found = fit_readout(problem, np.where(flips, -states, states))
    assert found.beta == pytest.approx(1.0, abs=4 * found.beta_error + 2.5 * flip)
    assert found.flip == pytest.approx(flip, abs=4 * found.flip_error + 0.002)
    assert 0 < found.beta_error < 0.05


def test_readout_fit_has_honest_errors():
    problem = gaussian(12, 1.0, seed=5)
    fits = [fit_readout(problem, samplers.get("exact").draw(problem, 1000, seed=s).states) for s in range(40)]
    betas = np.array([f.beta for f in fits])
    assert betas.std() / np.mean([f.beta_error for f in fits]) == pytest.approx(1.0, abs=0.35)


def test_readout_fit_takes_weights():
    problem = gaussian(10, 1.0, seed=6)
    draws = samplers.get("exact").draw(problem, 20_000, beta=0.7, seed=0)
    # reads of beta .7 reweighted to beta 1
    found = fit_readout(problem, draws.states, -0.3 * problem.energies(draws.states))
    assert found.beta == pytest.approx(1.0, abs=4 * found.beta_error + 0.01)


def test_readout_fit_refuses_free_spins():
    with pytest.raises(InputError, match="every temperature"):
        fit_readout(samplers.Ising(np.zeros(3), {}), np.ones((5, 3)))
