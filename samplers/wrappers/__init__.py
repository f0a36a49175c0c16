"""Samplers around samplers: each takes a sampler, is a sampler, and does one thing more."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplers.wrappers.cache import Cache as Cache
    from samplers.wrappers.correction import Correction as Correction
    from samplers.wrappers.correction import correct as correct
    from samplers.wrappers.gauge import Gauge as Gauge
    from samplers.wrappers.ledger import Ledger as Ledger
    from samplers.wrappers.ledger import read_ledger as read_ledger
    from samplers.wrappers.prefetch import Ahead as Ahead
    from samplers.wrappers.prefetch import reweight as reweight
    from samplers.wrappers.quantise import Quantise as Quantise
    from samplers.wrappers.quantise import quantise_problem as quantise_problem
    from samplers.wrappers.readout import fit_readout as fit_readout
    from samplers.wrappers.replay import Record as Record
    from samplers.wrappers.replay import Replay as Replay
    from samplers.wrappers.resilience import Fallback as Fallback
    from samplers.wrappers.resilience import Retry as Retry
    from samplers.wrappers.resilience import Timeout as Timeout
    from samplers.wrappers.resilience import resilient as resilient
    from samplers.wrappers.temperature_control import TemperatureControl as TemperatureControl

_HOMES = {
    "Ahead": "prefetch",
    "Cache": "cache",
    "Correction": "correction",
    "Fallback": "resilience",
    "Gauge": "gauge",
    "Ledger": "ledger",
    "Quantise": "quantise",
    "Record": "replay",
    "Replay": "replay",
    "Retry": "resilience",
    "TemperatureControl": "temperature_control",
    "Timeout": "resilience",
    "correct": "correction",
    "fit_readout": "readout",
    "quantise_problem": "quantise",
    "read_ledger": "ledger",
    "resilient": "resilience",
    "reweight": "prefetch",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"samplers.wrappers.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'samplers.wrappers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
