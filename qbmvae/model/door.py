"""The one door by which cells reach a model: genes by name, counts checked, columns as codes; the user's object is only read.

Construction, training, loading, queries, embeddings and minification all call `Door.enter`, and nothing else does what it
does. It returns `Cells`: an AnnData of the model's own, with the model's genes and codes, that shares the counts' memory
with the user's object wherever these are float32 CSR already.
"""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data._constants import (
    _ADATA_MINIFY_TYPE_UNS_KEY,
    _MODEL_NAME_KEY,
    _SETUP_ARGS_KEY,
    _SETUP_METHOD_NAME,
    ADATA_MINIFY_TYPE,
)
from scvi.data._utils import _get_adata_minify_type
from scvi.data.fields import NumericalObsField, StringUnsField

from qbmvae import fingerprint
from qbmvae.core.workers import threads
from qbmvae.data import align, audit, counts, label_names
from qbmvae.data.containers import elsewhere, where
from qbmvae.data.counts import Counts
from qbmvae.data.notes import note
from qbmvae.model.fields import Genes, Moments, columns
from samplers.errors import InputError

#: Where minified data keep the posterior's parameters, and each cell's total counts.
QZM, QZV, LIBRARY = "qbmvae_latent_qzm", "qbmvae_latent_qzv", "observed_lib_size"


class LazyRows:
    """Counts on disk as far as scvi-tools looks at them: rows are read when they are asked for.

    Parameters
    ----------
    found
        The counts.
    """

    def __init__(self, found: Counts):
        assert found.store is not None
        self._counts, self._store = found, found.store
        self.shape, self.dtype = found.store.shape, np.dtype(np.float32)

    def __getitem__(self, rows: Any) -> sp.csr_array:
        """Return rows, by a mask or positions, in memory."""
        chosen = np.atleast_1d(np.arange(self.shape[0])[rows])
        block = counts.SelectedRows(self._store, chosen).read(0, len(chosen))
        return sp.csr_array((block.data, block.indices, block.indptr), shape=(len(block), self.shape[1]))

    def sum(self, axis: int) -> np.ndarray:
        """Return the total of each gene (0) or cell (1)."""
        return self._counts.library if axis == 1 else self._counts.totals


class Cells(AnnData):
    """Cells as a model sees them; made by `Door.enter` alone.

    Parameters
    ----------
    adata
        As they came, or aligned to the model's genes.
    kept
        Their counts.
    var
        Table of their genes.

    Attributes
    ----------
    counts
        Their checked counts; None for minified data.
    manager
        Their registration with scvi-tools.
    """

    counts: Counts | None
    manager: AnnDataManager

    def __init__(self, adata: AnnData, kept: Counts | None, var: pd.DataFrame):
        obs = adata.obs if adata.obs.columns.is_unique else adata.obs.loc[:, ~adata.obs.columns.duplicated()]
        # a plain table of its own: columns that scvi-tools adds must not reach the user's, nor a view's parent
        obs = pd.DataFrame({c: obs[c].array for c in obs.columns}, index=obs.index)
        x = (
            kept.rows
            if kept is not None and kept.rows is not None
            else sp.csr_matrix((len(obs), len(var)), dtype=np.float32)
        )
        super().__init__(x, obs=obs, var=var)
        self.counts = kept

    @property
    def X(self) -> Any:
        """The counts, `(n_cells, n_genes)`."""
        kept = self.__dict__.get("counts")
        return AnnData.X.fget(self) if kept is None or kept.store is None else LazyRows(kept)

    @X.setter
    def X(self, value: Any) -> None:
        # anndata 0.13 assigns X while it makes the object, which earlier releases did not
        AnnData.X.fset(self, value)

    @property
    def genes(self) -> np.ndarray:
        """Names of the genes."""
        return np.asarray(self.var_names)


class Door:
    """Lets cells in, and remembers which counts it has already checked.

    Parameters
    ----------
    count_data
        Whether the model takes counts; finite values otherwise.
    """

    def __init__(self, count_data: bool = True):
        self.count_data = count_data
        self._checked: dict[int, tuple[Any, Any, Counts, pd.DataFrame, np.ndarray | None]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy of a model keeps: it checks its cells anew."""
        return {"count_data": self.count_data, "_checked": {}}

    def enter(
        self,
        adata: AnnData,
        setup: dict[str, Any],
        registry: dict[str, Any] | None = None,
        *,
        extend: bool = False,
        own: bool = False,
    ) -> Cells:
        """Return cells as the model sees them.

        Parameters
        ----------
        adata
            The user's object, in any container and any order of genes.
        setup
            Arguments of `QBMVAE.setup_anndata`: where the counts and the columns are.
        registry
            What the model knows of genes and categories; None for data that it is made with.
        extend
            Whether new categories may come in (a query).
        own
            Whether these are the model's own data, which must not have changed.

        Raises
        ------
        InputError
            For anything that cannot be used, naming the cell, the gene or the column.
        """
        if isinstance(adata, Cells):
            return adata
        check_object(adata)
        audit.unique(adata.obs_names, "obs_names (cells)", "adata.obs_names_make_unique()")
        check_columns(adata, setup, new=registry is None)
        minified = _get_adata_minify_type(adata)
        genes = None if registry is None else genes_of(registry)
        if minified == ADATA_MINIFY_TYPE.LATENT_POSTERIOR and genes is not None:
            kept, var, dropped = None, pd.DataFrame(index=align.as_text(genes)), None
        else:
            kept, var, dropped = self._counts(adata, setup["layer"], genes, own)
        cells = Cells(adata, kept, var)
        fields = [Genes(dropped), *columns(setup, None if kept is None else kept.library)]
        if minified is not None:
            fields += _let_in_minified(adata, cells, minified)
        method = {_MODEL_NAME_KEY: "QBMVAE", _SETUP_METHOD_NAME: "setup_anndata", _SETUP_ARGS_KEY: setup}
        cells.manager = AnnDataManager(fields=fields, setup_method_args=method)
        cells.manager.register_fields(
            cells, registry, **({"extend_categories": extend} if registry is not None else {})
        )
        return cells

    def _counts(
        self, adata: AnnData, layer: str | None, genes: np.ndarray | None, own: bool
    ) -> tuple[Counts, pd.DataFrame, np.ndarray | None]:
        """Return checked counts of the model's genes, their table, and genes that were dropped; from memory where it can."""
        x, var, _ = counts.matrix_and_genes(adata, layer)
        stamp = fingerprint.of_matrix(x, threads())
        names = None if own else fingerprint.of_array(align.as_text(var.index))
        if (known := self._checked.get(id(adata))) is not None and known[0]() is adata:
            (old, old_names), kept = known[1], known[2:]
            if old == stamp and (own or names == old_names):
                return kept
            if own:
                raise InputError(
                    f"the counts in {where(layer)} have changed since the model was made with them (normalised in place?): "
                    "keep the counts in a layer and name it in setup_anndata; pass other data as adata=adata.copy()"
                )
        wanted = align.as_text(adata.var_names if genes is None else genes)
        allowed = 0.0 if genes is None else align.MOST_MISSING
        if genes is None:
            audit.unique(adata.var_names, "var_names (genes)", "adata.var_names_make_unique()")
        place = align.genes(var.index, wanted, var=var, most_missing=allowed)
        name = where(layer)
        _not_empty((adata.n_obs, len(wanted)), name, training=genes is None)
        found = counts.load(
            x, place, counts=self.count_data, name=name, obs_names=adata.obs_names, var_names=wanted,
            hint=lambda: elsewhere(adata, layer),
        )  # fmt: skip
        table = _table(var, place, wanted)
        dropped = None
        if genes is None and self.count_data:
            found, table, dropped = _without_silent_genes(found, table, name)
        elif (place < 0).any():
            missing = wanted[place < 0]
            hint = align.hint(align.as_text(var.index), missing, var)
            text = align.missing_message(missing, len(wanted), hint)
            warnings.warn(text, align.MissingGenesWarning, stacklevel=2)

        def forget(_: Any, key: int = id(adata)) -> None:
            self._checked.pop(key, None)

        self._checked[id(adata)] = (weakref.ref(adata, forget), (stamp, names), found, table, dropped)
        return found, table, dropped


def check_object(adata: Any) -> None:
    """Raise InputError for what is no AnnData, or one whose tables are not in memory.

    Raises
    ------
    InputError
        For any other object.
    """
    if not isinstance(adata, AnnData):
        raise InputError(f"cells come as an AnnData, not as {type(adata).__name__}")
    if not isinstance(adata.obs, pd.DataFrame):
        raise InputError(
            "obs of these cells is not in memory (read_lazy): open the file with "
            'qbmvae.data.open_cells(path, in_memory="no"), or use adata.to_memory()'
        )


def check_columns(adata: AnnData, setup: dict[str, Any], new: bool) -> None:
    """Raise InputError for columns that are named wrongly, missing, or hold missing values.

    Parameters
    ----------
    adata
        The cells.
    setup
        Arguments of `QBMVAE.setup_anndata`.
    new
        Whether a model is made with these cells: then the labels' column must be there.
    """
    audit.keys(adata, [setup["batch_key"]], "batch_key")
    if new:
        audit.keys(adata, label_names.keys_of(setup["labels_key"]), "labels_key", missing=True)
    audit.keys(adata, [setup["size_factor_key"]], "size_factor_key")
    audit.keys(adata, setup["categorical_covariate_keys"], "categorical_covariate_keys")
    audit.keys(adata, setup["continuous_covariate_keys"], "continuous_covariate_keys", missing=True)
    for key in setup["continuous_covariate_keys"] or []:
        audit.numbers(adata, key, positive=False)


def genes_of(registry: dict[str, Any]) -> np.ndarray:
    """Return the names of a model's genes."""
    return np.asarray(registry["field_registries"][REGISTRY_KEYS.X_KEY]["state_registry"]["column_names"])


def _not_empty(shape: tuple[int, int], name: str, training: bool) -> None:
    if shape[1] == 0 or (shape[0] == 0 and training):
        raise InputError(f"{name} has shape {shape}: there are no {'genes' if shape[1] == 0 else 'cells'}")


def _without_silent_genes(
    found: Counts, table: pd.DataFrame, name: str
) -> tuple[Counts, pd.DataFrame, np.ndarray | None]:
    """Drop genes without any count from data that a model is made with, and say so."""
    silent = found.totals == 0
    if silent.all():
        raise InputError(f"{name} holds no count at all: is this the right layer?")
    if not silent.any():
        return found, table, None
    dropped = np.asarray(table.index[silent])
    shown = ", ".join(dropped[:3]) + (", ..." if len(dropped) > 3 else "")
    note(f"{len(dropped)} of {len(silent)} genes have no count in these data and are left out of the model: {shown}")
    return found.without(np.flatnonzero(~silent)), table[~silent], dropped


def _table(var: pd.DataFrame, place: np.ndarray, wanted: pd.Index) -> pd.DataFrame:
    """Return the rows of `var` of the wanted genes; missing ones are empty."""
    whole = pd.DataFrame({c: var[c].array for c in var.columns}, index=pd.RangeIndex(len(var)))
    table = whole.iloc[place] if (place >= 0).all() else whole.reindex(np.where(place < 0, len(whole), place))
    return table.set_axis(wanted, axis=0)


def _let_in_minified(adata: AnnData, cells: Cells, kind: str) -> list[Any]:
    """Take the posterior's parameters of minified data along, and return their fields."""
    for key in (QZM, QZV, *(k for k in adata.obsm if k.startswith("_qbmvae"))):
        if key not in adata.obsm:
            raise InputError(f"these minified data lack obsm[{key!r}]: minify with model.minify_adata()")
        cells.obsm[key] = np.asarray(adata.obsm[key])
    cells.uns[_ADATA_MINIFY_TYPE_UNS_KEY] = kind
    return [
        Moments(REGISTRY_KEYS.LATENT_QZM_KEY, QZM),
        Moments(REGISTRY_KEYS.LATENT_QZV_KEY, QZV),
        NumericalObsField(REGISTRY_KEYS.OBSERVED_LIB_SIZE, LIBRARY),
        StringUnsField(REGISTRY_KEYS.MINIFY_TYPE_KEY, _ADATA_MINIFY_TYPE_UNS_KEY),
    ]
