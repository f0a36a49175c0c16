"""Cells on their way to the model: in memory or out of core, audited and aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.data.align import MissingGenesWarning
    from qbmvae.data.atlas import open_atlas
    from qbmvae.data.opening import open_cells, select_genes

__all__ = ["MissingGenesWarning", "open_atlas", "open_cells", "select_genes"]

_WHERE = {"MissingGenesWarning": "align", "open_atlas": "atlas", "open_cells": "opening", "select_genes": "opening"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(f"qbmvae.data.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'qbmvae.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
