"""Samplers around samplers: each takes a sampler, is a sampler, and does one thing more."""

from __future__ import annotations

import importlib
from typing import Any

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
