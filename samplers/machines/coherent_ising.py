"""Coherent Ising machines, simulated: SimCIM and the noise-injected analogue machine."""

from __future__ import annotations

from typing import Literal

import numpy as np

from samplers.checks import integer, non_negative, one_of, positive
from samplers.machines.amplitudes import pull, signs, with_ancilla, without_ancilla
from samplers.machines.optimiser import Optimiser
from samplers.problem import Ising
from samplers.request import Request

# Measured on SK couplings of scale .5 to 1.5: with these the raw reads have an effective beta near the one asked for.
SCALES = {"simcim": 1.3, "analog": 0.85}
NOISES = {"simcim": 1.0, "analog": 0.5}


class CoherentIsing(Optimiser):
    r"""A simulated coherent Ising machine.

    "simcim" integrates :math:`\dot c = \nu(t) c - s\beta J c + \sigma\xi` with the pump :math:`\nu` ramped from -1 to
    1/2 and amplitudes clipped to [-1, 1]; fields are couplings to an ancilla amplitude, as on the optical machine.
    "analog" iterates :math:`x \leftarrow x/2 + \frac14 \sin 2(.8 x - s\beta (Jx + h/2) + \sigma\xi)`, an
    opto-electronic feedback loop below its threshold, which noise makes wander.

    Parameters
    ----------
    model
        "simcim" or "analog".
    num_steps
        Steps of the dynamics in a run.
    scale
        The gain s on the problem: it sets the temperature. By default the model's value measured to give an effective
        beta near the one asked for on dense Gaussian couplings; for another problem let `TemperatureControl` find it.
    noise
        Standard deviation :math:`\sigma`, in units of the saturated amplitude; by default the model's.
    correction_sweeps
        Gibbs sweeps that finish the reads; 0 gives the machine's raw reads.

    References
    ----------
    Tiunov, Ulanov and Lvovsky (2019), Optics Express 27, 10288 (SimCIM). Böhm et al. (2022), Nature Communications 13,
    5847 (noise injection).
    """

    name = "coherent-ising"
    told = ("model", "num_steps")

    def __init__(
        self,
        model: Literal["simcim", "analog"] = "simcim",
        *,
        num_steps: int = 100,
        scale: float | None = None,
        noise: float | None = None,
        correction_sweeps: int = 5,
    ):
        self.model = one_of("model", model, ("simcim", "analog"))
        self.num_steps = integer("num_steps", num_steps)
        self.scale = SCALES[model] if scale is None else positive("scale", scale)
        self.noise = NOISES[model] if noise is None else non_negative("noise", noise)
        self.correction_sweeps = integer("correction_sweeps", correction_sweeps, 0)

    def _raw(self, request: Request, rng: np.random.Generator) -> np.ndarray:
        run = self._simcim if self.model == "simcim" else self._analog
        return run(request.problem, request.num_reads, self.scale * request.beta, rng)

    def _simcim(self, problem: Ising, num_reads: int, gain: float, rng: np.random.Generator) -> np.ndarray:
        """Return spins by Euler steps of .05 photon lifetimes."""
        push, size = with_ancilla(problem, gain)
        step = np.float32(0.05)
        kick = np.float32(self.noise * np.sqrt(step))
        x = np.zeros((num_reads, size), dtype=np.float32)
        for t in range(self.num_steps):
            pump = np.float32(-1.0 + 1.5 * t / self.num_steps)
            x += step * (pump * x + push(x))
            x += kick * rng.standard_normal(x.shape, dtype=np.float32)
            np.clip(x, -1, 1, out=x)
        return without_ancilla(signs(x))

    def _analog(self, problem: Ising, num_reads: int, gain: float, rng: np.random.Generator) -> np.ndarray:
        couple, fields = pull(problem, gain), (-0.5 * gain * problem.h).astype(np.float32)
        x = 0.1 * rng.standard_normal((num_reads, problem.n), dtype=np.float32)
        quarter = np.float32(np.pi / 4)
        for _ in range(self.num_steps):
            drive = np.float32(0.8) * x + couple(x) + fields
            drive += np.float32(self.noise) * rng.standard_normal(x.shape, dtype=np.float32)
            # the modulator is driven within the half-period around its working point
            x = 0.5 * x + 0.25 * np.sin(2 * np.clip(drive, -quarter, quarter))
        return signs(x)
