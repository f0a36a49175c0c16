"""Simulated bifurcation: classical oscillators that bifurcate into spins."""

from __future__ import annotations

from typing import Literal

import numpy as np

from samplers.checks import integer, non_negative, one_of, positive
from samplers.draws import Draws
from samplers.machines.amplitudes import pull, signs
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.correction import correct

# Measured on SK couplings of scale .5 to 1.5 with heat .06: the effective beta is near the one asked for.
SCALES = {"discrete": 0.085, "ballistic": 0.11}


class SimulatedBifurcation(Sampler):
    r"""Heated, discrete or ballistic simulated bifurcation.

    Positions and momenta follow :math:`\dot y = -(1 - a(t)) x + s\beta F(u) + \gamma y`, :math:`\dot x = y` with a
    rising from 0 to 1 and inelastic walls at ±1; the field F sees the signs u of the positions ("discrete") or the
    positions themselves ("ballistic"). Heating (:math:`\gamma > 0`) keeps the oscillators moving.

    Parameters
    ----------
    mode
        "discrete" or "ballistic".
    heat
        The rate :math:`\gamma`, per unit of time; 0 is the unheated algorithm.
    num_steps
        Symplectic Euler steps of .7 units of time in a run.
    scale
        The gain s on the problem: it sets the temperature. By default the mode's value measured to give an effective
        beta near the one asked for on dense Gaussian couplings; for another problem let `TemperatureControl` find it.
    correction_sweeps
        Gibbs sweeps that finish the reads; 0 gives the machine's raw reads.

    References
    ----------
    Goto et al. (2021), Science Advances 7, eabe7953 (ballistic, discrete). Kanao and Goto (2022), Communications
    Physics 5, 153 (heated).
    """

    name = "simulated-bifurcation"
    kind = "optimiser"

    def __init__(
        self,
        mode: Literal["discrete", "ballistic"] = "discrete",
        *,
        heat: float = 0.06,
        num_steps: int = 100,
        scale: float | None = None,
        correction_sweeps: int = 5,
    ):
        self.mode = one_of("mode", mode, ("discrete", "ballistic"))
        self.heat = non_negative("heat", heat)
        self.num_steps = integer("num_steps", num_steps)
        self.scale = SCALES[mode] if scale is None else positive("scale", scale)
        self.correction_sweeps = integer("correction_sweeps", correction_sweeps, 0)

    def _draw(self, request: Request) -> Draws:
        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        states = bifurcate(
            problem, num_reads, self.num_steps, self.scale * beta, self.heat, self.mode == "discrete", rng
        )
        info = {
            "mode": self.mode, "heat": self.heat, "num_steps": self.num_steps,
            "correction_sweeps": self.correction_sweeps,
        }  # fmt: skip
        return Draws(correct(problem, states, self.correction_sweeps, beta, rng), info=info)


def bifurcate(
    problem: Ising,
    num_reads: int,
    num_steps: int,
    gain: float,
    heat: float,
    discrete: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the spins of simulated-bifurcation runs, `(num_reads, n)` int8.

    Parameters
    ----------
    problem
        The Ising problem.
    num_reads, num_steps
        Runs, and steps of each.
    gain
        Factor on the problem, beta included.
    heat
        Heating rate.
    discrete
        Whether the field sees the signs of the positions.
    rng
        The generator.
    """
    couple, fields = pull(problem, gain), (-gain * problem.h).astype(np.float32)
    step = np.float32(0.7)
    x = rng.uniform(-0.1, 0.1, (num_reads, problem.n)).astype(np.float32)
    y = rng.uniform(-0.1, 0.1, (num_reads, problem.n)).astype(np.float32)
    for t in range(num_steps):
        force = couple(np.where(x >= 0, np.float32(1), np.float32(-1)) if discrete else x)
        force += fields
        force -= np.float32(1 - t / num_steps) * x
        y += step * (force + np.float32(heat) * y)
        x += step * y
        outside = np.abs(x) > 1
        np.clip(x, -1, 1, out=x)
        y[outside] = 0
    return signs(x)
