"""Few labelled cells of each type, the rest to be labelled: label units of the machine against plain and published methods.

    python -m experiments.evaluation.label_transfer DIR/integration/kang_pbmc_ifnb_1975.h5ad --seeds 0 1 --out labels.jsonl
    python -m experiments.evaluation.label_transfer --table labels.jsonl

The encoder is trained once a seed on all cells without labels. For 5, 20 and 100 labelled cells a type (half of a type at most)
the label units are fitted, and all other cells are scored: macro-F1, mean negative log probability of the true type ("nll")
and the expected calibration error in ten bins ("ece"). Controls: a softmax on the bits and nearest neighbours in the default
embedding, with the same targets and cells; neighbours, logistic regression and XGBoost on 30 principal components; scANVI from
scVI, KL warm-up over a quarter of its training.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.data.datasets import load, select_hvgs, unintegrated_pca
from experiments.methods.base import one_thread
from experiments.run_folder import quiet

COUNTS = (5, 20, 100)
UNKNOWN = "Unknown"


def hidden_column(label: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the labels with all but `count` cells of each type (half of it at most) unknown.

    Parameters
    ----------
    label
        Types, `(n_cells,)`.
    count
        Cells of each type that stay known.
    seed
        Of the choice.
    """
    rng, column = np.random.default_rng(seed), np.full(len(label), UNKNOWN, dtype=object)
    for name in np.unique(label):
        rows = np.flatnonzero(label == name)
        shown = rng.permutation(rows)[: max(1, min(count, len(rows) // 2))]
        column[shown] = name
    return column


def score(p: pd.DataFrame, truth: np.ndarray) -> dict[str, float]:
    """Return macro-F1, negative log probability and calibration error of predicted probabilities.

    Parameters
    ----------
    p
        Cells by types, rows summing to 1.
    truth
        Types, `(n_cells,)`.
    """
    from sklearn.metrics import f1_score

    names = np.asarray(p.columns, dtype=object)
    values = p.to_numpy(dtype=np.float64)
    predicted = names[values.argmax(1)]
    own = values[np.arange(len(truth)), [int(np.flatnonzero(names == t)[0]) for t in truth]]
    confidence, right = values.max(1), predicted == truth
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return {
        "f1": float(f1_score(truth, predicted, average="macro")),
        "nll": float(-np.log(np.clip(own, 1e-6, 1)).mean()),
        "ece": float(sum(gaps)),
    }


def plain(x: np.ndarray, column: np.ndarray) -> dict[str, pd.DataFrame]:
    """Return probabilities of all cells by classifiers on principal components, fitted to the labelled cells."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBClassifier

    shown = column != UNKNOWN
    names, codes = np.unique(column[shown].astype(str), return_inverse=True)
    scaled = StandardScaler().fit_transform(x)
    fitted = {
        "kNN on PCA": KNeighborsClassifier(min(15, int(shown.sum())), weights="distance").fit(x[shown], codes),
        "logistic on PCA": LogisticRegression(max_iter=2000).fit(scaled[shown], codes),
        "XGBoost on PCA": XGBClassifier(n_estimators=100, max_depth=4, n_jobs=1, verbosity=0).fit(x[shown], codes),
    }
    inputs = {"logistic on PCA": scaled}
    return {k: pd.DataFrame(m.predict_proba(inputs.get(k, x)), columns=names) for k, m in fitted.items()}


def scanvi(adata: Any, batch_key: str | None, seed: int, epochs: int) -> Any:
    """Return a function from a column of labels to scANVI's probabilities; its scVI is trained once.

    Parameters
    ----------
    adata, batch_key
        Cells, and the column of batches.
    seed, epochs
        Of the training.
    """
    import scvi

    scvi.settings.seed = seed
    options = {"accelerator": "cpu", "enable_progress_bar": False, "logger": None, "check_val_every_n_epoch": epochs}
    cells = adata.copy()
    scvi.model.SCVI.setup_anndata(cells, batch_key=batch_key)
    base = scvi.model.SCVI(cells, n_layers=2, gene_likelihood="nb")
    base.train(max_epochs=epochs, plan_kwargs={"n_epochs_kl_warmup": max(1, epochs // 4)}, **options)

    def predict(column: np.ndarray) -> pd.DataFrame:
        cells.obs["shown"] = pd.Categorical(column)
        more = max(5, epochs // 5)
        model = scvi.model.SCANVI.from_scvi_model(base, unlabeled_category=UNKNOWN, labels_key="shown")
        plan = {"n_epochs_kl_warmup": max(1, more // 4)}
        model.train(
            max_epochs=more, n_samples_per_label=100, plan_kwargs=plan, **{**options, "check_val_every_n_epoch": more}
        )
        return model.predict(soft=True).reset_index(drop=True)

    return predict


def run(
    path: str, seed: int, batch_key: str | None, label_key: str, epochs: int, published: bool
) -> list[dict[str, Any]]:
    """Return the scores of every method and number of labels for one seed.

    Parameters
    ----------
    path, batch_key, label_key
        The data and their columns.
    seed, epochs
        Of the training.
    published
        Whether scANVI is run too.
    """
    from qbmvae import QBMVAE

    adata = load(path)
    batch_key = batch_key if batch_key in adata.obs else None
    adata = select_hvgs(adata[adata.obs[label_key].notna()].copy(), 2000, batch_key)
    truth = adata.obs[label_key].astype(str).to_numpy()
    QBMVAE.setup_anndata(adata, batch_key=batch_key)
    model = QBMVAE(adata)
    model.train(max_epochs=epochs, seed=seed, progress_bar=False, accelerator="cpu")
    x = unintegrated_pca(adata, n_components=30)
    theirs = scanvi(adata, batch_key, seed, epochs) if published else None
    rows = []
    for count in COUNTS:
        column = hidden_column(truth, count, seed)
        rest = column == UNKNOWN
        adata.obs["shown"] = pd.Categorical(column)
        start = time.process_time()
        labelled = QBMVAE.from_unlabeled(model, adata, "shown", UNKNOWN, seed=seed)
        seconds = time.process_time() - start
        found = {m: labelled.predict(soft=True, method=m) for m in ("machine", "softmax", "knn")} | plain(x, column)
        if theirs is not None:
            found["scANVI"] = theirs(column)
        base = {"dataset": Path(path).stem, "seed": seed, "labels": count, "fit_seconds": round(seconds, 1)}
        rows += [
            base | {"method": k} | score(p[rest] if len(p) == len(rest) else p, truth[rest]) for k, p in found.items()
        ]
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return means over seeds as Markdown: macro-F1 / nll / ece by method and number of labels."""
    frame = pd.DataFrame(rows)
    lines = []
    for name, part in frame.groupby("dataset", sort=False):
        lines += [f"### {name}, {part['seed'].nunique()} seeds", ""]
        lines += ["| | " + " | ".join(f"{c} a type" for c in COUNTS) + " |", "| --- |" + " --- |" * len(COUNTS)]
        means = part.groupby(["method", "labels"], sort=False)[["f1", "nll", "ece"]].mean()
        for method in part["method"].unique():
            cells = [" / ".join(f"{v:.3f}" for v in means.loc[(method, c)]) for c in COUNTS]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--batch-key", default="batch")
    parser.add_argument("--label-key", default="cell_type")
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--no-scanvi", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("labels.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and do nothing else")
    options = parser.parse_args()
    if options.table is None:
        for path in options.paths:
            for seed in options.seeds:
                with quiet(), warnings.catch_warnings(), one_thread():
                    rows = run(
                        path, seed, options.batch_key, options.label_key, options.max_epochs, not options.no_scanvi
                    )
                with options.out.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
    print(table([json.loads(line) for line in (options.table or options.out).read_text().splitlines()]))


if __name__ == "__main__":
    main()
