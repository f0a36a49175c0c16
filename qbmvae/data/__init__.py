"""Cells on their way to the model: in memory or out of core, audited and aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.lazy import lazy

__all__ = ["MissingGenesWarning", "open_atlas", "open_cells", "select_genes"]

if TYPE_CHECKING:
    from qbmvae.data.align import MissingGenesWarning
    from qbmvae.data.atlas import open_atlas
    from qbmvae.data.opening import open_cells, select_genes
else:
    __getattr__, __dir__ = lazy(__name__)
