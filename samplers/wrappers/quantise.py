"""Quantise: coefficients as a machine can take them, on a grid and within ranges, with a report of what was lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from samplers.machines.options import interval, whole
from samplers.problem import Ising
from samplers.sampler import Draws, Sampler, Seed
from samplers.wrappers.base import Wrapper

Range = tuple[float, float]


def quantise_problem(
    problem: Ising, bits: int | None = 8, h_range: Range | None = None, j_range: Range | None = None
) -> tuple[Ising, dict[str, float]]:
    """Return the problem with clipped and rounded coefficients, and the report.

    Parameters
    ----------
    problem
        The Ising problem, in the machine's units.
    bits
        Levels of the grid: 2^bits - 1, symmetric around 0, over each range; None does not round.
    h_range, j_range
        The machine's ranges of fields and couplings (low, high); None means (-m, m), m being the largest magnitude of
        the coefficients, so that nothing is clipped.

    Returns
    -------
    Ising
        The same layout, with the same pairs where no coupling rounds to 0.
    dict
        "clip_fraction" of all coefficients that were outside a range, "clip_fraction_h" and "clip_fraction_j", and
        "rms_error": the root mean square change over the root mean square coefficient.
    """
    h, clipped_h = _grid(problem.h, bits, h_range)
    _, _, values = problem.edges
    _, clipped_j = _grid(values, bits, j_range)
    largest = np.abs(values).max(initial=0.0)
    limits = j_range if j_range is not None else (-largest, largest)
    if problem.layout == "bipartite":
        nv = problem.n_visible
        rounded = Ising.bipartite(h[:nv], h[nv:], _grid(problem.block, bits, limits)[0], offset=problem.offset)
    elif problem.layout == "sparse":
        matrix = problem.sparse.copy()
        matrix.data = _grid(matrix.data, bits, limits)[0]
        rounded = Ising(h, sp.csr_array(matrix), offset=problem.offset, labels=problem.labels)
    else:
        rounded = Ising(h, _grid(problem.dense, bits, limits)[0], offset=problem.offset, labels=problem.labels)
    total = max(1, len(h) + len(values))
    change = np.concatenate([h - problem.h, _grid(values, bits, limits)[0] - values])
    scale = np.sqrt(np.mean(np.square(np.concatenate([problem.h, values])))) if len(h) else 0.0
    report = {
        "clip_fraction": float((clipped_h + clipped_j) / total),
        "clip_fraction_h": float(clipped_h / max(1, len(h))),
        "clip_fraction_j": float(clipped_j / max(1, len(values))),
        "rms_error": float(np.sqrt(np.mean(np.square(change))) / scale) if scale else 0.0,
    }
    return rounded, report


class Quantise(Wrapper):
    """A sampler that sees the problem, times beta, rounded and clipped as a machine would.

    The energies of the reads are the true problem's; `info["quantise"]` holds the report of `quantise_problem`.

    Parameters
    ----------
    sampler
        A sampler, or the name of one.
    bits
        Bits of a coefficient; None does not round.
    h_range, j_range
        The machine's ranges; None means as wide as the coefficients.
    """

    name = "quantise"

    def __init__(
        self,
        sampler: Sampler | str,
        bits: int | None = 8,
        h_range: Range | float | None = None,
        j_range: Range | float | None = None,
    ):
        super().__init__(sampler)
        self.bits = None if bits is None else whole("bits", bits, 2)
        self.h_range = None if h_range is None else interval("h_range", h_range)
        self.j_range = None if j_range is None else interval("j_range", j_range)

    @property
    def properties(self) -> dict[str, Any]:
        """The limits, beside the child's properties."""
        return {**super().properties, "bits": self.bits, "h_range": self.h_range, "j_range": self.j_range}

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw of the rounded problem; beta is folded into it, as on a machine that has no beta."""
        rounded, report = quantise_problem(problem.scaled(beta), self.bits, self.h_range, self.j_range)
        draws = self.child.draw(rounded, num_reads, 1.0, initial_states=initial_states, seed=seed)
        return Draws(draws.states, draws.log_weights, info={**draws.info, "quantise": report})


def _grid(values: np.ndarray, bits: int | None, limits: Range | None) -> tuple[np.ndarray, int]:
    largest = float(np.abs(values).max(initial=0.0))
    low, high = limits if limits is not None else (-largest, largest)
    clipped = int(((values < low) | (values > high)).sum())
    inside = np.clip(values, low, high)
    reach = max(-low, high)
    if bits is None or reach == 0:
        return inside, clipped
    # a grid through 0, so that absent couplings stay absent
    step = reach / (2 ** (bits - 1) - 1)
    return np.clip(np.round(inside / step) * step, low, high), clipped
