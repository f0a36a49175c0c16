"""Few labelled cells of each type, the rest to be labelled: label units of the machine against plain and published methods.

    python -m experiments.comparison.label_transfer DIR/integration/kang_pbmc_ifnb_1975.h5ad --seeds 0 1 2 --out labels
    python -m experiments.comparison.label_transfer --table labels

The encoder is trained once a seed on all cells without labels. For 5, 20 and 100 labelled cells a type (half of a type at most)
the label units are fitted, and all other cells are scored: macro-F1, mean negative log probability of the true type ("nll")
and the expected calibration error in ten bins ("ece"). "20, other batches": no cell of one batch (seed by seed another one) is
labelled, and its cells alone are scored. Controls: a softmax on the bits and nearest neighbours in the default embedding, with
the same targets and cells; neighbours, logistic regression and XGBoost on 30 principal components; scANVI from scVI, in one of
`SETTINGS`. The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.comparison.grid import Entry, read_rows, require_all, run_entries
from experiments.comparison.statistics import mean_and_half
from experiments.data.datasets import load, select_hvgs, unintegrated_pca
from experiments.methods.base import one_thread
from experiments.report.values import Spread
from experiments.run_folder import quiet
from experiments.tasks.arrays import stratified_subsample
from samplers.errors import require

OTHERS = "20, other batches"
#: How many labels are shown.
CASES = ("5 a type", "20 a type", "100 a type", OTHERS)
UNKNOWN = "Unknown"
#: Epochs of scANVI after scVI's, and the share of them over which its KL warms up (None: scvi-tools' 400 epochs).
SETTINGS = {"10": (10, None), "25": (25, 0.25), "50": (50, 0.25)}


def hidden_column(label: np.ndarray, count: int, seed: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """Return the labels with all but `count` cells of each type (half of it at most) unknown.

    Parameters
    ----------
    label
        Types, `(n_cells,)`.
    count, seed
        How many, and which.
    allowed
        Cells that may be shown, `(n_cells,)` bool; all by default.
    """
    rng, column = np.random.default_rng(seed), np.full(len(label), UNKNOWN, dtype=object)
    for name in np.unique(label):
        rows = np.flatnonzero((label == name) & (True if allowed is None else allowed))
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
    place = {name: k for k, name in enumerate(names)}
    # a type of which no cell was labelled has no probability
    own = np.array([row[place[t]] if t in place else 0.0 for row, t in zip(values, truth, strict=True)])
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


def scanvi(adata: Any, batch_key: str | None, seed: int, epochs: int) -> Callable[[np.ndarray, str], pd.DataFrame]:
    """Return a function from a column of labels and a setting to scANVI's probabilities; its scVI is trained once.

    Parameters
    ----------
    adata, batch_key
        Cells, and the column of batches.
    seed, epochs
        Of the training of scVI.
    """
    import scvi

    scvi.settings.seed = seed
    options = {"accelerator": "cpu", "enable_progress_bar": False, "logger": None, "check_val_every_n_epoch": epochs}
    cells = adata.copy()
    scvi.model.SCVI.setup_anndata(cells, batch_key=batch_key)
    base = scvi.model.SCVI(cells, n_layers=2, gene_likelihood="nb")
    base.train(max_epochs=epochs, plan_kwargs={"n_epochs_kl_warmup": max(1, epochs // 4)}, **options)

    def predict(column: np.ndarray, setting: str) -> pd.DataFrame:
        more, warmup = SETTINGS[setting]
        cells.obs["shown"] = pd.Categorical(column)
        plan = {} if warmup is None else {"n_epochs_kl_warmup": max(1, round(warmup * more))}
        given = {**options, "check_val_every_n_epoch": more, "plan_kwargs": plan, "n_samples_per_label": 100}
        for batch_size in (128, 127, 126):
            model = scvi.model.SCANVI.from_scvi_model(base, unlabeled_category=UNKNOWN, labels_key="shown")
            try:
                model.train(max_epochs=more, batch_size=batch_size, **given)
                break
            except ValueError as error:
                # its batch normalisation cannot take an epoch's last batch of one labelled cell: another size of batches
                if "more than 1 value per channel" not in str(error) or batch_size == 126:
                    raise
        return model.predict(soft=True).reset_index(drop=True)

    return predict


def own(adata: Any, batch_key: str | None, seed: int, epochs: int) -> Callable[[np.ndarray], dict[str, pd.DataFrame]]:
    """Return a function from a column of labels to the probabilities of our methods and the plain ones; trained once.

    Parameters
    ----------
    adata, batch_key
        Cells, and the column of batches.
    seed, epochs
        Of the training.
    """
    from qbmvae import QBMVAE

    QBMVAE.setup_anndata(adata, batch_key=batch_key)
    model = QBMVAE(adata)
    model.train(max_epochs=epochs, seed=seed, progress_bar=False, accelerator="cpu")
    x = unintegrated_pca(adata, n_components=30)

    def predict(column: np.ndarray) -> dict[str, pd.DataFrame]:
        adata.obs["shown"] = pd.Categorical(column)
        labelled = QBMVAE.from_unlabeled(model, adata, "shown", UNKNOWN, seed=seed)
        return {m: labelled.predict(soft=True, method=m) for m in ("machine", "softmax", "knn")} | plain(x, column)

    return predict


def columns(
    adata: Any, label_key: str, batch_key: str | None, seed: int, cases: Sequence[str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield a name, the labels that are shown, and the cells that are scored, `(n_cells,)` each.

    Parameters
    ----------
    adata, label_key, batch_key
        Cells, and the columns of types and batches.
    seed
        Of the cells that stay labelled.
    cases
        Which cases to make.
    """
    truth = adata.obs[label_key].astype(str).to_numpy()
    for count in (5, 20, 100):
        if f"{count} a type" in cases:
            column = hidden_column(truth, count, seed)
            yield f"{count} a type", column, column == UNKNOWN
    if batch_key is not None and OTHERS in cases:
        batch = adata.obs[batch_key].astype(str).to_numpy()
        names = np.unique(batch)
        held_out = batch == names[seed % len(names)]
        yield OTHERS, hidden_column(truth, 20, seed, ~held_out), held_out


def compute(path: Path, source: str, seed: int, *settings: Any) -> dict[str, Any]:
    """Compute an entry of the grid.

    Parameters
    ----------
    path
        Its result file.
    source, seed, settings
        Arguments of `run`.
    """
    with quiet(), one_thread():
        return {"rows": run(source, seed, *settings)}


def run(
    path: str,
    seed: int,
    batch_key: str | None,
    label_key: str,
    epochs: int,
    settings: Sequence[str],
    n_cells: int | None = None,
    cases: Sequence[str] = CASES,
) -> list[dict[str, Any]]:
    """Return the scores of every method and number of labels for one seed.

    Parameters
    ----------
    path
        The cells.
    seed
        Of labels, networks and, where cells are left out, of nothing: the subsample is the same for every seed.
    batch_key, label_key
        Columns; no batches where the first is not there.
    epochs
        Of our model, or of scVI.
    settings
        Of scANVI; empty for our own and the plain methods.
    n_cells
        Stratified subsample of the set.
    cases
        Those of `CASES`.
    """
    adata = load(path)
    require(label_key, adata.obs, f"{path} has no column in obs named")
    batch_key = batch_key if batch_key in adata.obs else None
    adata = adata[adata.obs[label_key].notna()].copy()
    if n_cells is not None:
        adata = adata[stratified_subsample(adata.obs[label_key].astype(str), n_cells)].copy()
    adata = select_hvgs(adata, 2000, batch_key)
    adata = adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()
    truth = adata.obs[label_key].astype(str).to_numpy()
    theirs = scanvi(adata, batch_key, seed, epochs) if settings else None
    ours = None if settings else own(adata, batch_key, seed, epochs)
    rows = []
    for name, column, scored in columns(adata, label_key, batch_key, seed, cases):
        found = {f"scANVI, {k} epochs": theirs(column, k) for k in settings} if theirs else ours(column)  # type: ignore[misc]
        base = {"dataset": Path(path).stem, "seed": seed, "labels": name}
        rows += [base | {"method": k} | score(p[scored], truth[scored]) for k, p in found.items()]
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return means over seeds as Markdown, macro-F1 / nll / ece, and the machine less each other method, paired by seed."""
    frame = pd.DataFrame(rows, columns=None if rows else ["dataset"])
    lines = []
    for name, part in frame.groupby("dataset", sort=False):
        names = list(dict.fromkeys(part["labels"]))
        lines += [f"### {name}", "", f"| | seeds | {' | '.join(names)} |", "| --- | --- |" + " --- |" * len(names)]
        for method, own_rows in part.groupby("method", sort=False):
            means = own_rows.groupby("labels")[["f1", "nll", "ece"]].mean().reindex(names)
            cells = ["" if row.isna().any() else " / ".join(f"{v:.3f}" for v in row) for _, row in means.iterrows()]
            lines.append(f"| {method} | {own_rows['seed'].nunique()} | {' | '.join(cells)} |")
        lines += ["", "Machine less the other, macro-F1 / nll, 95 % intervals over seeds:", ""]
        for method in dict.fromkeys(part["method"]):
            cells = []
            for labels in names if method != "machine" else []:
                each = part[part["labels"] == labels].pivot_table(index="seed", columns="method", values=["f1", "nll"])
                if {("f1", method), ("f1", "machine")} <= set(each):
                    pairs = (each[score, "machine"] - each[score, method] for score in ("f1", "nll"))
                    cells.append(
                        f"{labels}: " + " / ".join(Spread.around(*np.round(mean_and_half(p), 3)).text(3) for p in pairs)
                    )
            lines += [f"- {method}: {'; '.join(cells)}"] if cells else []
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
    parser.add_argument("--n-cells", type=int, help="stratified subsample")
    parser.add_argument(
        "--scanvi", nargs="+", choices=SETTINGS, default=[], help="run scANVI in these settings instead of ours"
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="how many labels are shown")
    parser.add_argument("--out", type=Path, default=Path("labels"), help="folder of the results")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--table", type=Path, help="print the table of a folder and do nothing else")
    options = parser.parse_args()
    given = options.batch_key, options.label_key, options.max_epochs, options.scanvi, options.n_cells, options.cases
    grid = [
        Entry(
            f"{Path(path).stem}/{'-'.join(['scanvi', *options.scanvi]) if options.scanvi else 'ours'}__{seed}",
            (path, seed, *given),
            hashlib.sha256(repr((path, given)).encode()).hexdigest()[:16],
        )
        for seed in options.seeds
        for path in (options.paths if options.table is None else [])
    ]
    if options.table is None:
        run_entries(options.out, grid, compute, workers=options.workers)
    print(table(read_rows(options.table or options.out)))
    require_all(options.out, grid)


if __name__ == "__main__":
    main()
