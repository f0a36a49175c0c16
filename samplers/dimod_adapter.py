"""Any `dimod` sampler as one of ours."""

from __future__ import annotations

from typing import Any, Literal

import dimod
import numpy as np

from samplers.draws import Draws
from samplers.errors import BadAnswerError, InputError, nearest
from samplers.request import Request
from samplers.sampler import Sampler


class FromDimod(Sampler):
    """A `dimod` sampler behind our contract: beta is folded into the problem, multiplicities become rows.

    Parameters
    ----------
    sampler
        The `dimod.Sampler`.
    kind
        What its reads are: "sampler" of exp(-E), or "optimiser" (the default: most of `dimod`'s are).
    **options
        Keyword arguments of its `sample`; unknown ones are refused by name.

    Raises
    ------
    InputError
        For what is no dimod sampler, or an option that it does not take.
    """

    def __init__(self, sampler: dimod.Sampler, *, kind: Literal["sampler", "optimiser"] = "optimiser", **options: Any):
        if not hasattr(sampler, "sample_ising"):
            raise InputError(f"from_dimod takes a dimod sampler, not {type(sampler).__name__}")
        known = set(getattr(sampler, "parameters", {}) or {})
        for option in options:
            # foreign samplers ignore what they do not know, silently
            if known and option not in known:
                raise InputError(f"{type(sampler).__name__} takes no option {option!r}{nearest(option, known)}")
        self.child = sampler
        self.name = type(sampler).__name__
        self.options = options
        self.kind = kind
        self._takes = known

    @property
    def properties(self) -> dict[str, Any]:
        """Our own properties, and the child's under "child"."""
        return {**super().properties, "child": dict(getattr(self.child, "properties", {}) or {})}

    def _draw(self, request: Request) -> Draws:
        problem, num_reads, rng = request.problem, request.num_reads, request.rng
        options = dict(self.options)
        bqm = problem.scaled(request.beta).to_bqm()
        takes_reads = "num_reads" in self._takes
        if takes_reads:
            options.setdefault("num_reads", num_reads)
        blocks: list[np.ndarray] = []
        # a child without `num_reads` is called until there are enough reads
        while sum(map(len, blocks)) < num_reads:
            if "seed" in self._takes and "seed" not in self.options:
                options["seed"] = int(rng.integers(2**31))
            answer = self.child.sample(bqm, **options)
            columns = [answer.variables.index(v) for v in problem.labels]
            rows = np.repeat(answer.record.sample, answer.record.num_occurrences, axis=0)[:, columns]
            if not len(rows):
                raise BadAnswerError(f"{type(self.child).__name__} returned no reads")
            blocks.append(rows)
        states = np.concatenate(blocks).astype(np.int8)
        info = {"child": type(self.child).__name__, "unique_reads": len(np.unique(states, axis=0))}
        return Draws(states[:num_reads], info=info)


def from_dimod(sampler: dimod.Sampler, **options: Any) -> Sampler:
    """Return a `dimod` sampler as one of ours; options are those of `FromDimod`."""
    return FromDimod(sampler, **options)
