"""A stand-in for an analogue Ising machine: hidden gain, coarse coefficients, clipping, readout flips, drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplers.checks import integer, interval, non_negative, positive, share
from samplers.draws import Draws, Seed
from samplers.quantisation import Range, quantise_problem
from samplers.registry import get
from samplers.request import Request
from samplers.sampler import Sampler


class MockMachine(Sampler):
    """A machine that samples exp(-gain * beta * E) of the coefficients that it could take, and reads some spins wrongly.

    It stands in for a QPU or a coherent Ising machine where a control loop or a training run is to be tested offline.

    Parameters
    ----------
    gain
        The hidden factor between what was asked and the temperature at which it samples; the ideal scale of a problem
        is its inverse.
    bits
        Bits of a coefficient; None does not round.
    h_range, j_range
        Ranges of fields and couplings; values beyond are clipped.
    flip_rate
        Probability that a spin is read with the wrong sign.
    drift
        Standard deviation of the random walk of log(gain), per draw.
    engine
        The sampler that does the work.
    drift_seed
        Seed of the random walk.
    """

    name = "mock-machine"

    def __init__(
        self,
        *,
        gain: float = 3.0,
        bits: int | None = 8,
        h_range: Range | float = 4.0,
        j_range: Range | float = 1.0,
        flip_rate: float = 0.01,
        drift: float = 0.0,
        engine: Sampler | str = "population-annealing?num_sweeps=64",
        drift_seed: Seed = 0,
    ):
        self.gain = positive("gain", gain)
        self.bits = None if bits is None else integer("bits", bits, 2)
        self.h_range, self.j_range = interval("h_range", h_range), interval("j_range", j_range)
        self.flip_rate = share("flip_rate", flip_rate)
        self.drift = non_negative("drift", drift)
        self.engine = get(engine)
        self._walk = np.random.default_rng(drift_seed)

    @property
    def properties(self) -> dict[str, Any]:
        """The machine's limits; its gain stays hidden."""
        return {**super().properties, "bits": self.bits, "h_range": self.h_range, "j_range": self.j_range}

    def _draw(self, request: Request) -> Draws:
        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        if self.drift:
            self.gain *= float(np.exp(self.drift * self._walk.standard_normal()))
        taken, report = quantise_problem(problem.scaled(beta), self.bits, self.h_range, self.j_range)
        states = self.engine.draw(taken, num_reads, self.gain, seed=rng).resample(seed=rng).states
        flips = rng.random(states.shape) < self.flip_rate
        return Draws(np.where(flips, -states, states), info={"quantise": report})

    def state_dict(self) -> dict[str, Any]:
        """Return where the gain has wandered to; empty where it does not wander."""
        return {"gain": self.gain, "walk": self._walk.bit_generator.state} if self.drift else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        if state:
            self.gain, self._walk.bit_generator.state = float(state["gain"]), state["walk"]
