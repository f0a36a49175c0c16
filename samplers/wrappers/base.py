"""What every wrapper shares: a child sampler, whose kind, limits, arguments and state show through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplers.draws import Draws, Seed
from samplers.registry import get
from samplers.request import Request
from samplers.sampler import Sampler


class Wrapper(Sampler):
    """Base of samplers around a sampler.

    A subclass writes `_draw`, as any sampler, and calls `self.child.ask(request)`. One that passes requests on as they
    are sets `takes_clamped`. What it keeps from draw to draw itself goes into `_state` and `_restore`: the child's state
    goes with it.

    Parameters
    ----------
    sampler
        The child: a sampler, the name of one, or any `dimod` sampler.
    """

    name = "wrapper"

    def __init__(self, sampler: Sampler | str):
        self.child = get(sampler)
        self.kind, self.remote, self.keeps_chains = self.child.kind, self.child.remote, self.child.keeps_chains
        self.takes_initial_states = "initial_states" in self.child.parameters

    @property
    def properties(self) -> dict[str, Any]:
        """The wrapper's own, and the child's under "child"."""
        return {**super().properties, "child": dict(self.child.properties)}

    def _draw(self, request: Request) -> Draws:
        return self.child.ask(request)

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
    """Return the child's seed where `rng = default_rng(seed)` is used as well: an integer for an integer, else `rng` itself.

    A sampler that keeps chains starts them afresh at an integer and goes on at a generator, inside a wrapper too.
    """
    return int(rng.integers(2**63)) if isinstance(seed, int | np.integer) else rng


def fixed_seed(seed: Seed) -> int | None:
    """Return a number that stands for the seed: a generator moves on with every use, and would not serve twice."""
    return int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else seed


def again(seed: Seed, number: int | None) -> Seed:
    """Return the seed that `number = fixed_seed(seed)` stands for, anew: a generator for a generator."""
    return np.random.default_rng(number) if isinstance(seed, np.random.Generator) else number
