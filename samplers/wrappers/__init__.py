"""Samplers around samplers: each takes a sampler, is a sampler, and does one thing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    _HOMES = {
        "Ahead": "samplers.wrappers.prefetch",
        "Cache": "samplers.wrappers.cache",
        "Correction": "samplers.wrappers.correction",
        "Fallback": "samplers.wrappers.resilience",
        "Gauge": "samplers.wrappers.gauge",
        "Ledger": "samplers.wrappers.ledger",
        "Quantise": "samplers.wrappers.quantise",
        "Record": "samplers.wrappers.replay",
        "Replay": "samplers.wrappers.replay",
        "Retry": "samplers.wrappers.resilience",
        "TemperatureControl": "samplers.wrappers.temperature_control",
        "Timeout": "samplers.wrappers.resilience",
        "correct": "samplers.wrappers.correction",
        "fit_readout": "samplers.wrappers.readout",
        "quantise_problem": "samplers.quantisation",
        "read_ledger": "samplers.wrappers.ledger",
        "resilient": "samplers.wrappers.resilience",
        "reweight": "samplers.wrappers.prefetch",
    }

    def __getattr__(name):
        if name in _HOMES:
            import importlib

            return getattr(importlib.import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'samplers.wrappers' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
