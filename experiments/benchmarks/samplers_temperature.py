"""Where the loop of temperature control ends on a stand-in machine, against the ideal scale.

Hidden gain, 8-bit coefficients, couplings clipped to [-1, 1], 1 % of the spins read wrongly, g = 2; ten rounds of 500
reads; the mean of the last four scales times the gain, less 1. Asked: within 15 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import samplers
from experiments.benchmarks.report import arguments, finish
from samplers.machines.mock import MockMachine
from samplers.wrappers import TemperatureControl

SEEDS = 5


def row(n: int, gain: float) -> dict[str, Any]:
    """Return the loop's error at each seed, and the worst of the last four rounds of any."""
    ends: list[float] = []
    worst = 0.0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        couplings = np.triu(rng.normal(0, 2 / np.sqrt(n), (n, n)), 1)
        problem = samplers.Ising(rng.normal(0, 0.2, n), couplings + couplings.T)
        control = TemperatureControl(MockMachine(gain=gain, bits=8, j_range=1.0, h_range=4.0, flip_rate=0.01))
        scales = np.array(control.calibrate(problem, 500, rounds=10, seed=seed))[-4:] * gain - 1
        ends.append(float(scales.mean()))
        worst = max(worst, float(np.abs(scales).max()))
    return {"n": n, "gain": gain, "mean": float(np.mean(ends)), "worst round": worst, "each seed": ends}


def main() -> None:
    options = arguments(__doc__)
    rows = [row(n, gain) for n, gain in ((48, 8.0), (64, 3.0), (64, 0.5), (96, 1.0))]
    finish("Temperature control: relative error of the scale", rows, options.out)


if __name__ == "__main__":
    main()
