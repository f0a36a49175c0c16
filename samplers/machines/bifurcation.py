"""Simulated bifurcation: classical oscillators that bifurcate into spins."""

from __future__ import annotations

from typing import Literal

import numpy as np

from samplers.checks import integer, non_negative, one_of, positive
from samplers.machines.amplitudes import pull, signs
from samplers.machines.optimiser import Optimiser
from samplers.request import Request

# Measured on SK couplings of scale .5 to 1.5 with heat .06: the effective beta is near the one asked for.
SCALES = {"discrete": 0.085, "ballistic": 0.11}


class SimulatedBifurcation(Optimiser):
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
    told = ("mode", "heat", "num_steps")

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

    def _raw(self, request: Request, rng: np.random.Generator) -> np.ndarray:
        gain = self.scale * request.beta
        couple, fields = pull(request.problem, gain), (-gain * request.problem.h).astype(np.float32)
        step = np.float32(0.7)
        shape = (request.num_reads, request.problem.n)
        x = rng.uniform(-0.1, 0.1, shape).astype(np.float32)
        y = rng.uniform(-0.1, 0.1, shape).astype(np.float32)
        for t in range(self.num_steps):
            force = couple(np.where(x >= 0, np.float32(1), np.float32(-1)) if self.mode == "discrete" else x)
            force += fields
            force -= np.float32(1 - t / self.num_steps) * x
            y += step * (force + np.float32(self.heat) * y)
            x += step * y
            outside = np.abs(x) > 1
            np.clip(x, -1, 1, out=x)
            y[outside] = 0
        return signs(x)
