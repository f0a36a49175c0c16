"""Where a training stands within an epoch; checkpoints of version 0.1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Position:
    """Where a training stands within an epoch, with torch's random state there.

    Attributes
    ----------
    step
        Steps of the running epoch that are done.
    sums
        Losses of these steps, summed over cells.
    torch_rng
        State of torch's generator that a restored training starts from; None for a fresh one.
    """

    step: int = 0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    torch_rng: torch.Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the position, with torch's generator as it is now."""
        return {"step": self.step, "sums": dict(self.sums), "torch_rng": torch.get_rng_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.step, self.sums, self.torch_rng = state["step"], defaultdict(float, state["sums"]), state["torch_rng"]


def converted(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a checkpoint as `Loop.load_state_dict` takes it, this version's or one of version 0.1."""
    if "vae" not in state:
        return state
    value, waited, stopped = state["watch"]
    position = {"step": state["step_in_epoch"], "sums": state["sums"], "torch_rng": state["torch_rng"]}
    parts = {name: state[name] for name in ("optimiser", "negative_phase")} | {"position": position}
    watch = {"value": value, "epoch": 0, "waited": waited, "stopped": stopped}
    return {**state, "stage": "", "network": state["vae"], "parts": parts, "watch": watch}
