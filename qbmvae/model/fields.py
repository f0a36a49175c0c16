"""Columns of `obs` as scvi-tools registers them, with our rules for categories, labels and size factors.

scvi-tools' own fields compare categories by type, refuse missing labels, and are kept as base classes: the registries that
they write, and that models saved before hold, stay the same.

Parameters
----------
state_registry
    What the model remembers of the column.
adata_target
    Cells to register.
extend_categories
    Whether new categories may come in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
    ObsmField,
)

from qbmvae.data import audit, categories, label_names


class Category(CategoricalObsField):
    """A categorical column as codes.

    Parameters
    ----------
    registry_key, attr_key
        As in scvi-tools: its name in the registry, and the column (None for a single category).
    """

    _original_attr_key: str

    def register_field(self, adata: AnnData) -> dict:
        """Learn the categories."""
        return self._coded(adata, None, False)

    def transfer_field(self, state_registry: dict, adata_target: AnnData, extend_categories: bool = False) -> dict:
        """Match the known categories."""
        return self._coded(adata_target, state_registry[self.CATEGORICAL_MAPPING_KEY], extend_categories)

    def _coded(self, adata: AnnData, known: Any, extend: bool) -> dict:
        key = self._original_attr_key
        if self.is_default:
            codes, found = np.zeros(adata.n_obs, dtype=np.int64), np.zeros(1, dtype=np.int64)
            key = self._original_attr_key = self.attr_key
        else:
            codes, found = self._codes(adata, key, known, extend)
        adata.obs[self.attr_key] = codes
        return {self.CATEGORICAL_MAPPING_KEY: found, self.ORIGINAL_ATTR_KEY: key}

    def _codes(self, adata: AnnData, key: str, known: Any, extend: bool) -> tuple[np.ndarray, np.ndarray]:
        if known is None:
            return categories.learn(adata.obs[key], key)
        return categories.match(adata.obs[key], known, key, extend=extend)


class Labels(Category):
    """Labels: the column, or values of it, may be missing or new, for the encoder and the decoder do not use them.

    Parameters
    ----------
    registry_key, attr_key
        As in `Category`.
    unlabelled
        Category of cells without a label, where labels are units of the machine: then labels that are new are as good as
        none. None where labels are not used.
    """

    def __init__(self, registry_key: str, attr_key: str | None, unlabelled: str | None = None):
        super().__init__(registry_key, attr_key)
        self._unlabelled = unlabelled

    def validate_field(self, adata: AnnData) -> None:
        """Nothing can be wrong with labels."""

    def _codes(self, adata: AnnData, key: str, known: Any, extend: bool) -> tuple[np.ndarray, np.ndarray]:
        missing = categories.UNLABELLED if self._unlabelled is None else self._unlabelled
        if known is None:
            codes, found = categories.learn(adata.obs[key], key, missing=missing)
            if self._unlabelled is not None and self._unlabelled not in found:
                found = np.asarray([*found, self._unlabelled], dtype=object)
            return codes, found
        if self._unlabelled is not None:
            return label_names.known_or_none(adata.obs, key, known, self._unlabelled, warn=extend)
        if key not in adata.obs:
            return np.zeros(adata.n_obs, dtype=np.int64), np.asarray(known)
        return categories.match(adata.obs[key], known, key, extend=True, missing=missing)


class JointCategories(CategoricalJointObsField):
    """Further categorical covariates as codes."""

    def register_field(self, adata: AnnData) -> dict:
        """Learn the categories of each column."""
        return self._coded(adata, None, False)

    def transfer_field(self, state_registry: dict, adata_target: AnnData, extend_categories: bool = False) -> dict:
        """Match the known categories of each column."""
        return self._coded(adata_target, state_registry[self.MAPPINGS_KEY], extend_categories)

    def _coded(self, adata: AnnData, known: Any, extend: bool) -> dict:
        table, mappings = {}, {}
        for key in self.attr_keys:
            if known is None:
                table[key], mappings[key] = categories.learn(adata.obs[key], key)
            else:
                table[key], mappings[key] = categories.match(adata.obs[key], known[key], key, extend=extend)
        adata.obsm[self.attr_key] = pd.DataFrame(table, index=adata.obs_names)
        return {
            self.MAPPINGS_KEY: mappings,
            self.FIELD_KEYS_KEY: list(self.attr_keys),
            self.N_CATS_PER_KEY: [len(mappings[key]) for key in self.attr_keys],
        }


class JointNumbers(NumericalJointObsField):
    """Continuous covariates, finite."""

    def register_field(self, adata: AnnData) -> dict:
        """Check them and put them together."""
        table = {key: audit.numbers(adata, key, positive=False) for key in self.attr_keys}
        adata.obsm[self.attr_key] = pd.DataFrame(table, index=adata.obs_names)
        return {self.COLUMNS_KEY: np.asarray(self.attr_keys)}


class SizeFactors(NumericalObsField):
    """Size factors, on the scale of counts.

    The decoder's shares add up to 1, so that factors of mean 1 (scran's convention) would ask for one count a cell: they
    are scaled by what makes their sum the training data's sum of counts, once for all. (scvi-tools leaves the scale of the
    decoder's output free instead.)

    Parameters
    ----------
    registry_key, attr_key
        As in scvi-tools.
    totals
        Total counts of each cell, `(n_cells,)`; None leaves the factors as they are.
    """

    SCALE_KEY = "scale"

    def __init__(self, registry_key: str, attr_key: str | None, totals: np.ndarray | None = None):
        super().__init__(registry_key, f"_scvi_{registry_key}" if attr_key is not None else None, required=False)
        self._column, self._totals = attr_key, totals

    def validate_field(self, adata: AnnData) -> None:
        """Check the column itself."""
        audit.keys(adata, [self._column], "size_factor_key")

    def register_field(self, adata: AnnData) -> dict:
        """Find the scale."""
        factors = self._factors(adata)
        scale = 1.0
        if self._totals is not None and len(factors) and self._totals.sum() > 0:
            scale = float(self._totals.sum(dtype=np.float64) / factors.sum())
        return self._scaled(adata, scale)

    def transfer_field(self, state_registry: dict, adata_target: AnnData, extend_categories: bool = False) -> dict:
        """Use the scale of the training data; models saved before it was measured have 1."""
        return self._scaled(adata_target, state_registry.get(self.SCALE_KEY, 1.0))

    def _scaled(self, adata: AnnData, scale: float) -> dict:
        adata.obs[self.attr_key] = self._factors(adata) * scale
        return {self.SCALE_KEY: scale}

    def _factors(self, adata: AnnData) -> np.ndarray:
        # scvi-tools registers no field that names no column
        assert self._column is not None
        return audit.numbers(adata, self._column, positive=True)


class Genes(LayerField):
    """The model's genes, and those that its training data held no count of.

    Parameters
    ----------
    dropped
        Names of the latter.
    """

    DROPPED_KEY = "dropped_genes"

    def __init__(self, dropped: np.ndarray | None = None):
        # our own audit says more than scvi-tools' warning
        super().__init__(REGISTRY_KEYS.X_KEY, None, is_count_data=False, correct_data_format=False)
        self._dropped = dropped

    def register_field(self, adata: AnnData) -> dict:
        """Keep the genes' names."""
        state = {
            self.N_OBS_KEY: adata.n_obs,
            self.N_VARS_KEY: adata.n_vars,
            # as text, not objects: scvi-tools copies the registry deeply, name by name
            self.COLUMN_NAMES_KEY: np.asarray(adata.var_names).astype(str),
        }
        return state | {self.DROPPED_KEY: np.asarray([] if self._dropped is None else self._dropped, dtype=object)}

    def transfer_field(self, state_registry: dict, adata_target: AnnData, extend_categories: bool = False) -> dict:
        """Take what the model remembers; the cells are already aligned to its genes."""
        return {**state_registry, self.N_OBS_KEY: adata_target.n_obs}


class Moments(ObsmField):
    """The posterior's mean or variance that minified data keep."""

    def register_field(self, adata: AnnData) -> dict:
        """Number its columns."""
        return {self.COLUMN_NAMES_KEY: np.arange(np.shape(adata.obsm[self.attr_key])[1])}

    def transfer_field(self, state_registry: dict, adata_target: AnnData, extend_categories: bool = False) -> dict:
        """Number its columns."""
        return self.register_field(adata_target)


def labels(setup: dict[str, Any]) -> list[Labels]:
    """Return the fields of the labels' columns: scvi-tools' own, then one each for further columns."""
    keys: list[Any] = label_names.keys_of(setup["labels_key"]) or [None]
    return [Labels(label_field(k), key, setup.get("unlabeled_category")) for k, key in enumerate(keys)]


def label_field(k: int) -> str:
    """Return under which name the registry holds the k-th column of labels."""
    return REGISTRY_KEYS.LABELS_KEY if k == 0 else f"{REGISTRY_KEYS.LABELS_KEY}_{k}"


def columns(setup: dict[str, Any], totals: np.ndarray | None = None) -> list[Any]:
    """Return the fields of the columns that a registration names.

    Parameters
    ----------
    setup
        Arguments of `QBMVAE.setup_anndata`.
    totals
        See `SizeFactors`.
    """
    return [
        Category(REGISTRY_KEYS.BATCH_KEY, setup["batch_key"]),
        *labels(setup),
        SizeFactors(REGISTRY_KEYS.SIZE_FACTOR_KEY, setup["size_factor_key"], totals),
        JointCategories(REGISTRY_KEYS.CAT_COVS_KEY, setup["categorical_covariate_keys"]),
        JointNumbers(REGISTRY_KEYS.CONT_COVS_KEY, setup["continuous_covariate_keys"]),
    ]
