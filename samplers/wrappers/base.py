"""What every wrapper shares: a child sampler, whose kind, limits and parameters show through."""

from __future__ import annotations

from typing import Any

from samplers.registry import get
from samplers.sampler import Sampler


class Wrapper(Sampler):
    """Base of samplers around a sampler; a subclass writes `draw` and calls `self.child.draw`.

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

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The child's keyword arguments of `sample`."""
        return dict(self.child.parameters)

    @property
    def properties(self) -> dict[str, Any]:
        """The child's properties under "child", beside our own."""
        return {**super().properties, "child": dict(self.child.properties)}
