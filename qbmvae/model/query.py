"""Mapping query data onto a trained reference (architecture surgery, scArches: Lotfollahi et al. 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from anndata import AnnData
from scvi.model.base import ArchesMixin

from qbmvae.data import align, audit
from qbmvae.model.host import Host
from samplers.errors import InputError


class QueryMixin(Host):
    """Query mapping of `QBMVAE`: new batches get new covariate rows, everything else stays."""

    #: rows of each covariate that the reference has trained; None where the model is no query model
    _reference_categories: tuple[int, ...] | None = None
    _unfrozen: bool = False

    prepare_query_anndata = ArchesMixin.prepare_query_anndata

    @classmethod
    def load_query_data(cls, adata: AnnData, reference_model: Any, unfrozen: bool = False) -> Any:
        """Return a model of the query data on top of a reference; train it to fit the new batches' rows.

        Parameters
        ----------
        adata
            Query cells with the reference's genes and columns; new batch categories are allowed.
        reference_model
            A trained `QBMVAE`, or the folder of one.
        unfrozen
            Train every weight instead of the rows of new categories alone.

        Notes
        -----
        With `encode_covariates=False` (the default) the encoder does not see the batch: the query's embedding is that
        of the reference's encoder, and training fits the decoder's rows of the new batches.
        """
        if isinstance(reference_model, str | Path):
            reference_model = cls.load(reference_model, adata=False)
        reference_model._check_if_trained(warn=False)
        audit.names(adata)
        columns = align.genes(adata.var_names, reference_model.get_var_names())
        if columns is not None:
            raise InputError("the query holds more genes than the reference: use QBMVAE.prepare_query_anndata first")
        registry = reference_model.registry_
        setup = dict(registry["setup_args"])
        if setup["labels_key"] is not None and setup["labels_key"] not in adata.obs:
            known = registry["field_registries"]["labels"]["state_registry"]["categorical_mapping"]
            adata.obs[setup["labels_key"]] = known[0]
        cls.setup_anndata(adata, source_registry=registry, extend_categories=True, **setup)
        model = cls(adata, **reference_model.init_params_["non_kwargs"])
        reference = reference_model.module.vae
        state = model.module.state_dict()
        for name, trained in reference_model.module.state_dict().items():
            state[name] = _extended(trained, state[name])
        model.module.load_state_dict(state)
        model._reference_categories = reference.n_categories
        model._unfrozen = unfrozen
        model._fresh = False
        # until it is trained it answers with the reference's weights
        model.is_trained_ = True
        return model

    def _freeze_for_query(self) -> None:
        """Leave only the rows of categories that the reference has not seen to the optimiser."""
        if self._reference_categories is None or self._unfrozen:
            return
        vae = self.module.vae
        vae.frozen_statistics = True
        for parameter in vae.parameters():
            parameter.requires_grad_(False)
        for module in vae.modules():
            for rows, old in zip(getattr(module, "rows", ()), self._reference_categories, strict=False):
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
