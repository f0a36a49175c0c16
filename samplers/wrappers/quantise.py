"""Quantise: coefficients as a machine can take them, on a grid and within ranges, with a report of what was lost."""

from __future__ import annotations

from typing import Any

from samplers.checks import integer, interval
from samplers.draws import Draws
from samplers.quantisation import Range, quantise_problem
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper


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
        self.bits = None if bits is None else integer("bits", bits, 2)
        self.h_range = None if h_range is None else interval("h_range", h_range)
        self.j_range = None if j_range is None else interval("j_range", j_range)

    @property
    def properties(self) -> dict[str, Any]:
        """The child's properties, and the limits."""
        return {**super().properties, "bits": self.bits, "h_range": self.h_range, "j_range": self.j_range}

    def _draw(self, request: Request) -> Draws:
        # beta is folded into the problem, as on a machine that has no beta
        rounded, report = quantise_problem(request.problem.scaled(request.beta), self.bits, self.h_range, self.j_range)
        draws = self.child.ask(request.replace(problem=rounded, beta=1.0))
        return Draws(draws.states, draws.log_weights, info={**draws.info, "quantise": report})
