"""Samplers around samplers: each takes a sampler, is a sampler, and does one thing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.lazy import lazy

__all__ = [
    "Ahead",
    "Cache",
    "Correction",
    "Fallback",
    "Gauge",
    "Ledger",
    "Quantise",
    "Record",
    "Replay",
    "Retry",
    "TemperatureControl",
    "Timeout",
    "correct",
    "fit_readout",
    "quantise_problem",
    "read_ledger",
    "resilient",
    "reweight",
]

if TYPE_CHECKING:
    from samplers.quantisation import quantise_problem
    from samplers.wrappers.cache import Cache
    from samplers.wrappers.correction import Correction, correct
    from samplers.wrappers.gauge import Gauge
    from samplers.wrappers.ledger import Ledger, read_ledger
    from samplers.wrappers.prefetch import Ahead, reweight
    from samplers.wrappers.quantise import Quantise
    from samplers.wrappers.readout import fit_readout
    from samplers.wrappers.replay import Record, Replay
    from samplers.wrappers.resilience import Fallback, Retry, Timeout, resilient
    from samplers.wrappers.temperature_control import TemperatureControl
else:
    # each wrapper loads what it needs when it is asked for
    __getattr__, __dir__ = lazy(__name__)
