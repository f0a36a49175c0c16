"""The public methods about labels: prediction, and log Z of the bits given each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from qbmvae.model import cells, files, labels
from qbmvae.model.prior_methods import PriorMethods


class LabelMethods(PriorMethods):
    """Methods of `QBMVAE` about labels, of models whose registration names an `unlabeled_category`."""

    @classmethod
    def from_unlabeled(
        cls, model: Self, adata: AnnData, labels_key: str | Sequence[str], unlabeled_category: str, *, seed: int = 0
    ) -> Self:
        """Return a trained model with label units, fitted to these cells; its encoder, decoder and prior stay.

        Parameters
        ----------
        model
            A trained model; it is left as it is.
        adata
            Cells with labels, those that the model was trained on or others.
        labels_key, unlabeled_category
            As in `setup_anndata`.
        seed
            Of the fit.

        Raises
        ------
        InputError
            For labels that cannot be units, or a continuous prior.
        """
        model._check_if_trained(warn=False)
        new = cls(
            None, labels.registration(model, adata, labels_key, unlabeled_category), **model.init_params_["non_kwargs"]
        )
        new._attach(adata)
        fresh = new.module.state_dict()
        new.set_weights(
            {**fresh, **{k: v for k, v in model.module.state_dict().items() if not k.startswith("labels.")}}
        )
        new.history_, new.library_table_ = model.history_, model._libraries()
        new.reference_categories_, new.programmes_ = model.reference_categories_, model.programmes_
        if model.adata is not None and list(model.adata.obs_names) == list(adata.obs_names):
            for name in files.SPLIT:
                setattr(new, f"{name}_indices_", getattr(model, f"{name}_indices_"))
        new.set_weights(trained=True)
        labels.fit(new, seed)
        return new

    def predict(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        soft: bool = False,
        method: Literal["machine", "softmax", "knn"] = "machine",
        batch_size: int | None = None,
        labels_key: str | None = None,
    ) -> pd.Series | pd.DataFrame:
        """Predict labels of cells; a cell's prediction does not depend on which other cells are predicted.

        Parameters
        ----------
        adata
            The model's own data by default; other data are aligned by gene names. Their labels are not looked at.
        indices
            Cells to use; all by default.
        soft
            Return probabilities instead.
        method
            "machine": p(y | bits) of the machine's label units, averaged over draws of the bits. Plain controls: "softmax", a
            multinomial regression on the bits' probabilities with the same targets; "knn", votes of the 15 nearest labelled
            cells in the default embedding, weighted by inverse distance.
        batch_size
            Cells at once.
        labels_key
            Column of labels to predict, the others summed out; all by default.

        Returns
        -------
        Series of labels by `obs_names`, or DataFrame of probabilities (cells x labels), rows summing to 1. Of several columns
        of labels a DataFrame with a column each; soft, the columns are (labels_key, label), and those of a key sum to 1.

        Raises
        ------
        InputError
            For a model without label units, or an unknown method or column.
        """
        labels.units_of(self)
        self._check_if_trained(warn=False)
        known = cells.label_units(self.registry_)
        keys = list(known) if labels_key is None else [labels_key]
        groups = [labels.group_of(self, key) for key in keys]
        entered = cells.enter(self, adata)
        found = labels.probabilities(self, entered, indices, batch_size, method, groups)
        rows = cells.rows_of(entered, indices)
        index = entered.obs_names if rows is None else entered.obs_names[rows]
        tables = {
            key: pd.DataFrame(p / p.sum(1, keepdims=True), index=index, columns=pd.Index(known[key]))
            for key, p in zip(keys, found, strict=True)
        }
        if soft:
            return tables[keys[0]] if len(keys) == 1 else pd.concat(tables, axis=1)
        hard = {
            key: pd.Series(np.asarray(known[key], dtype=object)[p.argmax(1)], index=index, name=key)
            for key, p in zip(keys, found, strict=True)
        }
        return hard[keys[0]] if len(keys) == 1 else pd.DataFrame(hard)

    def get_label_log_partition(self) -> pd.DataFrame:
        """Return log Z of the bits given each label, which is what the label units' constants rest on.

        Returns
        -------
        DataFrame by label, or combination of labels: "log_partition" and "standard_error" in nats, "share", and the unit's
        "constant", log share less log Z. The standard error is that of the constant too.
        """
        machine = labels.units_of(self).machine
        self._check_if_trained(warn=False)
        table = {
            "log_partition": machine.log_z,
            "standard_error": machine.log_z_error,
            "share": machine.log_shares.exp(),
            "constant": machine.constants,
        }
        values = {name: value.cpu().numpy() for name, value in table.items()}
        known = cells.label_units(self.registry_)
        if len(known) == 1:
            return pd.DataFrame(values, index=pd.Index(next(iter(known.values()))))
        return pd.DataFrame(values, index=pd.MultiIndex.from_product(known.values(), names=list(known)))
