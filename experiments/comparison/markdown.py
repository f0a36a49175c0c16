"""The scores of a comparison as Markdown, for the documentation.

`python -m experiments.comparison.markdown FOLDER` prints a table a score, and for the headline scores our model minus each
other with 95 % intervals; `--seeds` prints every seed instead. With `--for NAME=OTHER` the model OTHER stands for NAME on data
sets where NAME was not run, as scVI with another likelihood does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from experiments.comparison.statistics import paired, score_grid
from experiments.report.values import markdown
from samplers.errors import InputError, require

#: Heading, task and metric of each table.
TABLES = (
    ("Total", "integration", "Total"),
    ("Total with the best of ten k-means starts", "integration", "Total (10 starts)"),
    ("Bio conservation", "integration", "Bio conservation"),
    ("Batch correction", "integration", "Batch correction"),
    ("scGraph", "scgraph", "Weighted"),
    ("Conservation within types", "integration", "Within-type conservation"),
    ("CiLISI", "integration", "CiLISI"),
    ("Leiden ARI at resolution 1", "clustering", "ARI"),
    ("Macro-F1 of cells held out, XGBoost", "classification", "f1"),
    ("Macro-F1 of cells held out, logistic regression", "classification", "logistic: f1"),
    ("The same with shuffled labels", "classification", "shuffled labels: f1"),
    ("Macro-F1 of batches held out, XGBoost", "held-out-batches", "f1"),
    ("Trajectory conservation", "trajectory", "score"),
    ("Trajectory conservation on a graph of 30 neighbours", "trajectory", "score_wide"),
    ("Share of cells that the graph does not reach", "trajectory", "unreachable"),
    ("Time regression across batches, R2", "trajectory", "regression_across"),
    ("Held-out ELBO, nats a cell", "generation", "elbo"),
    ("Generated against real cells, accuracy of nearest neighbours (.5 is best)", "generation", "two_sample_knn"),
    ("Recovery of marker genes in generated cells", "generation", "marker_overlap"),
    ("Novel type by distance to training cells, AUROC", "novelty", "kNN distance: auroc"),
    ("Novel type by energy under the prior, AUROC", "novelty", "prior energy: auroc"),
)
#: Those of which our model minus each other is shown too.
COMPARED = (
    "Total",
    "Total with the best of ten k-means starts",
    "Batch correction",
    "scGraph",
    "Macro-F1 of cells held out, XGBoost",
    "Macro-F1 of batches held out, XGBoost",
    "Trajectory conservation",
    "Trajectory conservation on a graph of 30 neighbours",
)
#: Those that are columns of the table with every seed.
IN_SHORT = (
    "Total",
    "Bio conservation",
    "Batch correction",
    "scGraph",
    "Macro-F1 of cells held out, XGBoost",
    "Trajectory conservation",
)


def number(value: float) -> str:
    """Return a number with three decimals and no leading zero; nothing for NaN."""
    if pd.isna(value):
        return ""
    text = f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def spread(values: pd.Series) -> str:
    """Return mean and standard deviation over seeds, or the one value there is."""
    known = values.dropna()
    if len(known) < 2:
        return number(known.mean()) if len(known) else ""
    return f"{number(known.mean())} ± {number(known.std(ddof=1))}"


def tables(results: pd.DataFrame, ours: str = "qbmvae") -> str:
    """Return a section for each headline score: models in rows, data sets in columns, mean ± deviation over seeds.

    Parameters
    ----------
    results
        One row a score, see `results.results_table`.
    ours
        The model that the others are subtracted from.
    """
    final = results[results.epoch < 0]
    sections = []
    for heading, task, metric in TABLES:
        chosen = final[(final.task == task) & (final.metric == metric)].dropna(subset="value")
        if chosen.empty:
            continue
        sets = [d for d in final.dataset.unique() if d in set(chosen.dataset)]
        models = [m for m in final.model.unique() if m in set(chosen.model)]
        seen = chosen.groupby(["model", "dataset"]).value
        means = seen.mean().unstack("dataset").reindex(index=models, columns=sets)
        rows = [
            # a mean over fewer sets than the others' would mislead
            [
                m,
                *(spread(chosen[(chosen.model == m) & (chosen.dataset == d)].value) for d in sets),
                number(means.loc[m].mean(skipna=False)),
            ]
            for m in models
        ]
        sections.append(f"### {heading}\n\n{markdown(['', *sets, 'mean'], rows)}\n")
        if heading in COMPARED and ours in models and len(models) > 1:
            sections.append(
                f"{ours} minus the others, mean and 95 % interval:\n\n{differences(final, task, metric, models, sets, ours)}\n"
            )
    fits = final.drop_duplicates(["dataset", "model", "seed"])
    sets = list(fits.dataset.unique())
    rows = [
        [m, *(spread(fits[(fits.model == m) & (fits.dataset == d)].cpu_seconds) for d in sets)]
        for m in fits.model.unique()
    ]
    return "\n".join([*sections, f"### CPU seconds of a fit\n\n{markdown(['', *sets], rows)}\n"])


def differences(
    results: pd.DataFrame, task: str, metric: str, models: list[str], sets: list[str], ours: str = "qbmvae"
) -> str:
    """Return our model minus each other, paired by seed, with Student's t interval of each set and of their mean.

    Parameters
    ----------
    results, ours
        As in `tables`.
    task, metric
        Which score.
    models, sets
        Rows and columns, in this order.
    """
    found = paired(score_grid(results, task, metric), ours)

    def cell(model: str, column: str) -> str:
        if (model, column) not in found.index:
            return ""
        row = found.loc[(model, column)]
        half = row.high - row.difference
        return number(row.difference) + (f" ± {number(half)}" if half < float("inf") else "")

    rows = [[m, *(cell(m, c) for c in (*sets, "mean"))] for m in models if m != ours]
    return markdown(["", *sets, "mean of these"], rows)


def stand_in(results: pd.DataFrame, name: str, other: str) -> pd.DataFrame:
    """Return the results with one model's name for another on the data sets that lack the one.

    Parameters
    ----------
    results
        As in `tables`.
    name, other
        The model that is missing on some data sets, and the one that stands for it there.

    Raises
    ------
    InputError
        Where the results hold no such model.
    """
    for model in (name, other):
        require(model, set(results.model), "the results hold no model")
    missing = ~results.dataset.isin(results.dataset[results.model == name])
    return results.assign(model=results.model.astype(str).mask((results.model == other) & missing, name))


def every_seed(results: pd.DataFrame) -> str:
    """Return one row a fit, with its headline scores."""
    final = results[results.epoch < 0]
    names = [row for row in TABLES if row[0] in IN_SHORT]
    rows = []
    for (dataset, model, seed), part in final.groupby(["dataset", "model", "seed"], sort=False):
        scores = part.set_index(["task", "metric"]).value
        rows.append(
            [
                dataset,
                model,
                str(seed),
                *(number(scores.get((task, metric), float("nan"))) for _, task, metric in names),
            ]
        )
    return markdown(["data set", "model", "seed", *(heading for heading, *_ in names)], rows)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables of a comparison's folder.

    Raises
    ------
    InputError
        Where the folder holds no results.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.comparison.markdown", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the comparison")
    parser.add_argument("--seeds", action="store_true", help="every seed in a row of its own")
    parser.add_argument(
        "--for",
        dest="pairs",
        metavar="NAME=OTHER",
        action="append",
        default=[],
        help="OTHER stands for NAME where NAME is missing",
    )
    parser.add_argument("--ours", default="qbmvae", help="the model that the others are subtracted from")
    chosen = parser.parse_args(arguments)
    path = chosen.folder / "results.parquet"
    if not path.is_file():
        raise InputError(f"{chosen.folder} holds no results.parquet: run `qbmvae compare` to its end first")
    results = pd.read_parquet(path)
    for pair in chosen.pairs:
        name, _, other = pair.partition("=")
        results = stand_in(results, name, other)
    print(every_seed(results) if chosen.seeds else tables(results, chosen.ours))


if __name__ == "__main__":
    main()
