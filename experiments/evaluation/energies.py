"""Energies at work: do they tell cells of an unseen type, and do they order cells along differentiation?

    python -m experiments.evaluation.energies novelty DIR/integration/kang_pbmc_ifnb_1975.h5ad --novel B --seeds 0 1 2
    python -m experiments.evaluation.energies time DIR/trajectory/paul15_myeloid.h5ad --time-key KEY --seeds 0 1 2

`novelty` trains without one type and a fifth of the other cells, and prints the AUROC with which a score tells that type from
the fifth. `time` prints Spearman's correlation with a known time, of the energies and of the number of expressed genes, the
count on which CytoTRACE builds (Gulati et al. 2020): the claim that a prior's energy orders cells along differentiation.
"""

from __future__ import annotations

import argparse
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd

from experiments.data.datasets import load, require_key, select_hvgs
from experiments.methods.base import one_thread
from experiments.run_folder import quiet
from experiments.tasks.classification import folds
from experiments.tasks.novelty import knn_distance, novelty

KINDS = ("prior", "free", "labels", "bound")


def _trained(adata: Any, batch_key: str | None, label_key: str | None, seed: int, epochs: int) -> Any:
    from qbmvae import QBMVAE

    labels: dict[str, Any] = {}
    if label_key is not None:
        adata.obs["shown"] = adata.obs[label_key].astype(str).astype("category").cat.add_categories("Unknown")
        labels = {"labels_key": "shown", "unlabeled_category": "Unknown"}
    QBMVAE.setup_anndata(adata, batch_key=batch_key, **labels)
    model = QBMVAE(adata)
    model.train(max_epochs=epochs, seed=seed, progress_bar=False, accelerator="cpu")
    return model


def unseen_type(
    path: str, novel: str, batch_key: str | None, label_key: str, seed: int, epochs: int
) -> dict[str, float]:
    """Return the AUROC of each score for cells of a type that was not trained on.

    Parameters
    ----------
    path, batch_key, label_key
        The data and their columns.
    novel
        The type that training does not see.
    seed, epochs
        Of the training.
    """
    adata = load(path)
    batch_key = batch_key if batch_key in adata.obs else None
    adata = select_hvgs(adata[adata.obs[label_key].notna()].copy(), 2000, batch_key)
    label = adata.obs[label_key].astype(str).to_numpy()
    known = np.flatnonzero(label != novel)
    train, test = next(folds(label[known], None, 5, seed))
    cells = adata[np.sort(known[train])].copy()
    cells = cells[:, np.asarray(cells.X.sum(0)).ravel() > 0].copy()
    model = _trained(cells, batch_key, label_key, seed, epochs)
    sides = [adata[np.sort(rows)][:, cells.var_names].copy() for rows in (known[test], np.flatnonzero(label == novel))]
    embedded = [model.get_latent_representation(c) for c in (cells, *sides)]
    scores = {kind: [model.get_energy(c, kind=kind, seed=seed) for c in sides] for kind in KINDS}
    scores["distance"] = [knn_distance(embedded[0], x) for x in embedded[1:]]
    ranks = {}
    for name in ("distance", "labels"):
        both = pd.Series(np.concatenate(scores[name])).rank().to_numpy()
        ranks[name] = [both[: len(scores[name][0])], both[len(scores[name][0]) :]]
    scores["distance + labels, mean rank"] = [sum(ranks[n][i] for n in ranks) for i in (0, 1)]
    return {name: novelty(*pair)["auroc"] for name, pair in scores.items()}


def along_time(path: str, time_key: str, batch_key: str | None, seed: int, epochs: int) -> dict[str, float]:
    """Return Spearman's correlation of each energy, and of the number of expressed genes, with time.

    Parameters
    ----------
    path, batch_key, time_key
        The data and their columns.
    seed, epochs
        Of the training.
    """
    from scipy.stats import spearmanr

    adata = load(path)
    require_key(adata, time_key)
    batch_key = batch_key if batch_key in adata.obs else None
    keys = [k for k in (time_key, batch_key) if k is not None]
    adata = adata[adata.obs[keys].notna().all(axis=1)].copy()
    expressed = np.asarray((adata.X > 0).sum(1)).ravel()
    adata = select_hvgs(adata, 2000, batch_key)
    model = _trained(adata, batch_key, None, seed, epochs)
    time = pd.to_numeric(adata.obs[time_key]).to_numpy()
    found = {kind: model.get_energy(kind=kind, seed=seed) for kind in ("prior", "free", "bound")}
    found["expressed genes"] = expressed
    return {name: float(spearmanr(value, time).statistic) for name, value in found.items()}


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("novelty", "time"))
    parser.add_argument("path")
    parser.add_argument("--novel", help="the type that is not trained on")
    parser.add_argument("--time-key")
    parser.add_argument("--batch-key", default="batch")
    parser.add_argument("--label-key", default="cell_type")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--max-epochs", type=int, default=100)
    options = parser.parse_args()
    if (options.novel if options.what == "novelty" else options.time_key) is None:
        parser.error("novelty needs --novel, time needs --time-key")
    found = []
    for seed in options.seeds:
        with quiet(), warnings.catch_warnings(), one_thread():
            if options.what == "novelty":
                given = options.novel, options.batch_key, options.label_key
                found.append(unseen_type(options.path, *given, seed, options.max_epochs))
            else:
                found.append(along_time(options.path, options.time_key, options.batch_key, seed, options.max_epochs))
        print(json.dumps({"seed": seed, **{name: round(value, 3) for name, value in found[-1].items()}}), flush=True)
    print(pd.DataFrame(found).agg(["mean", "std"]).round(3).T.to_string())


if __name__ == "__main__":
    main()
