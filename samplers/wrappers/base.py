"""What every wrapper shares: a child sampler, whose kind, limits, parameters and state show through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.problem import Ising
from samplers.registry import get
from samplers.sampler import Draws, Sampler, Seed


@dataclass(frozen=True)
class Request:
    """The arguments of one `draw`, to be handed on as they are."""

    problem: Ising
    num_reads: int
    beta: float
    initial_states: np.ndarray | None = None
    clamped: Mapping[int, int] | None = None
    seed: Seed = None

    def ask(self, sampler: Sampler) -> Draws:
        """Return what `sampler` draws for this request."""
        return sampler.draw(
            self.problem, self.num_reads, self.beta,
            initial_states=self.initial_states, clamped=self.clamped, seed=self.seed,
        )  # fmt: skip


class Wrapper(Sampler):
    """Base of samplers around a sampler.

    A subclass that hands requests on as they are writes `answer`; one that changes the problem or the reads writes
    `draw`, as any sampler, and calls `self.child.draw`. What it keeps from draw to draw itself goes into `_state` and
    `_restore`: the child's state travels along.

    Parameters
    ----------
    sampler
        The child: a sampler, the name of one, or any `dimod` sampler.
    """

    name = "wrapper"

    def __init__(self, sampler: Sampler | str):
        self.child = get(sampler)
        self.kind = self.child.kind
        self.remote = self.child.remote  # type: ignore[misc]
        self.keeps_chains = self.child.keeps_chains

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The child's keyword arguments of `sample`."""
        return dict(self.child.parameters)

    @property
    def properties(self) -> dict[str, Any]:
        """The child's properties under "child", beside our own."""
        return {**super().properties, "child": dict(self.child.properties)}

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        clamped: Mapping[int, int] | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw through the child."""
        return self.answer(Request(problem, num_reads, beta, initial_states, clamped, seed))

    def answer(self, request: Request) -> Draws:
        """Return the draws of a request; the child's, unless a subclass does more."""
        return request.ask(self.child)

    def state_dict(self) -> dict[str, Any]:
        """Return what the wrapper and its child keep from draw to draw; empty where they keep nothing."""
        own, child = self._state(), self.child.state_dict()
        return {**own, **({"child": child} if child else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.child.load_state_dict(state.get("child", {}))
        self._restore(state)

    def _state(self) -> dict[str, Any]:
        return {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        pass


def seed_for_child(seed: Seed, rng: np.random.Generator) -> Seed:
    """Return the seed to hand on beside `rng = default_rng(seed)`: an integer for an integer, else `rng` itself.

    A sampler that keeps chains starts them afresh at an integer and goes on at a generator, inside a wrapper too.
    """
    return int(rng.integers(2**63)) if isinstance(seed, int | np.integer) else rng


def fixed_seed(seed: Seed) -> int | None:
    """Return a number that stands for the seed: a generator moves on with every use, and would not serve twice."""
    return int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else seed


def again(seed: Seed, number: int | None) -> Seed:
    """Return the seed that `number = fixed_seed(seed)` stands for, anew: a generator for a generator."""
    return np.random.default_rng(number) if isinstance(seed, np.random.Generator) else number
