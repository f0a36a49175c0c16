"""Mapping query data onto a trained reference (architecture surgery, scArches: Lotfollahi et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qbmvae.core.vae import VAE
from qbmvae.model.module import QBMVAEModule
from samplers.errors import InputError


def extended_weights(reference: QBMVAEModule, fresh: QBMVAEModule) -> dict[str, torch.Tensor]:
    """Return the reference's weights with rows for the query's new categories, which start at the mean of the old."""
    state = fresh.state_dict()
    # where the reference's batches lie stays; training finds where the new ones do
    return {
        name: trained if name.startswith("aligned.") else _extended(trained, state[name])
        for name, trained in reference.state_dict().items()
    }


def freeze(vae: VAE, reference_categories: Sequence[int]) -> None:
    """Leave to the optimiser only the rows of categories that the reference has not seen.

    Parameters
    ----------
    vae
        The query's model.
    reference_categories
        Rows of each covariate that the reference has trained.

    Raises
    ------
    InputError
        Where no category is new.
    """
    vae.frozen_statistics = True
    for parameter in vae.parameters():
        parameter.requires_grad_(False)
    for module in vae.modules():
        for rows, old in zip(getattr(module, "rows", ()), reference_categories, strict=False):
            if len(rows) > old:
                rows.requires_grad_(True)
                rows.register_hook(_new_rows(old))
    if not any(p.requires_grad for p in vae.parameters()):
        raise InputError("the query brings no new category: there is nothing to train; embed it as it is")


def _extended(trained: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """Return the trained tensor with as many rows as the fresh one; new categories start at the mean of the old."""
    if trained.shape == fresh.shape:
        return trained
    extra = trained.float().mean(0, keepdim=True).expand(len(fresh) - len(trained), *trained.shape[1:])
    return torch.cat([trained, extra.to(trained.dtype)])


def _new_rows(old: int) -> Any:
    def keep(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[:old] = 0
        return gradient

    return keep
