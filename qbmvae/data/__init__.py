"""Cells on their way to the model: in memory or out of core, audited and aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.data.atlas import open_atlas as open_atlas

__all__ = ["open_atlas"]


def __getattr__(name: str) -> Any:
    if name == "open_atlas":
        from qbmvae.data.atlas import open_atlas

        return open_atlas
    raise AttributeError(f"module 'qbmvae.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
