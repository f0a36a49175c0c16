"""Coherent Ising machines, simulated: SimCIM and the noise-injected analogue machine."""

from __future__ import annotations

from typing import Literal

import numpy as np

from samplers.checks import integer, non_negative, one_of, positive
from samplers.draws import Draws
from samplers.machines.amplitudes import pull, signs, with_ancilla, without_ancilla
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.correction import correct

# Measured on SK couplings of scale .5 to 1.5: with these the raw reads have an effective beta near the one asked for.
SCALES = {"simcim": 1.3, "analog": 0.85}
NOISES = {"simcim": 1.0, "analog": 0.5}


class CoherentIsing(Sampler):
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
    kind = "optimiser"

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

    def _draw(self, request: Request) -> Draws:
        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        run = simcim if self.model == "simcim" else analog
        states = run(problem, num_reads, self.num_steps, self.scale * beta, self.noise, rng)
        info = {"model": self.model, "num_steps": self.num_steps, "correction_sweeps": self.correction_sweeps}
        return Draws(correct(problem, states, self.correction_sweeps, beta, rng), info=info)


def simcim(
    problem: Ising, num_reads: int, num_steps: int, gain: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the spins of SimCIM runs, `(num_reads, n)` int8, with Euler steps of .05 photon lifetimes.

    Parameters
    ----------
    problem
        The Ising problem.
    num_reads, num_steps
        Runs, and steps of each.
    gain
        Factor on the problem, beta included.
    noise
        Standard deviation of the noise.
    rng
        The generator.
    """
    push, size = with_ancilla(problem, gain)
    step = np.float32(0.05)
    kick = np.float32(noise * np.sqrt(step))
    x = np.zeros((num_reads, size), dtype=np.float32)
    for t in range(num_steps):
        pump = np.float32(-1.0 + 1.5 * t / num_steps)
        x += step * (pump * x + push(x))
        x += kick * rng.standard_normal(x.shape, dtype=np.float32)
        np.clip(x, -1, 1, out=x)
    return without_ancilla(signs(x))


def analog(
    problem: Ising, num_reads: int, num_steps: int, gain: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the spins of noise-injected analogue runs, `(num_reads, n)` int8.

    Parameters
    ----------
    problem
        The Ising problem.
    num_reads, num_steps
        Runs, and steps of each.
    gain
        Factor on the problem, beta included.
    noise
        Standard deviation of the noise.
    rng
        The generator.
    """
    couple, fields = pull(problem, gain), (-0.5 * gain * problem.h).astype(np.float32)
    x = 0.1 * rng.standard_normal((num_reads, problem.n), dtype=np.float32)
    quarter = np.float32(np.pi / 4)
    for _ in range(num_steps):
        drive = np.float32(0.8) * x + couple(x) + fields
        drive += np.float32(noise) * rng.standard_normal(x.shape, dtype=np.float32)
        # the modulator is driven within the half-period around its working point
        x = 0.5 * x + 0.25 * np.sin(2 * np.clip(drive, -quarter, quarter))
    return signs(x)
