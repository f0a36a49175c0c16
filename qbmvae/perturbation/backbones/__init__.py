"""Backbones: a set of control cells and a perturbation in, one vector of fixed width out, behind one interface."""

from __future__ import annotations

from typing import Any

from qbmvae.perturbation.backbones.base import Backbone


def build(spec: dict[str, Any]) -> Backbone:
    """Rebuild the module that `Backbone.spec` describes, its weights still to be loaded."""
    import torch

    spec = dict(spec)
    if spec.pop("backbone") == "local":
        from qbmvae.perturbation.backbones.local import LocalBackbone

        return LocalBackbone(spec["kind"], *spec["sizes"])
    from qbmvae.perturbation.backbones.state import StateBackbone

    vectors, head = spec.pop("map"), spec.pop("head")
    backbone = StateBackbone(**spec)
    backbone.head = head
    backbone.map = {name: torch.tensor(vector) for name, vector in vectors.items()}
    return backbone


__all__ = ["Backbone", "build"]
