"""The scores of a comparison as Markdown, for the documentation: `python -m experiments.comparison.markdown FOLDER [--seeds]`."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from experiments.report.values import markdown
from samplers.errors import InputError

#: Heading, task and metric of each table.
TABLES = (
    ("Total", "integration", "Total"),
    ("Bio conservation", "integration", "Bio conservation"),
    ("Batch correction", "integration", "Batch correction"),
    ("scGraph", "scgraph", "Weighted"),
    ("Leiden ARI at resolution 1", "clustering", "ARI"),
    ("Macro-F1 of cells held out, XGBoost", "classification", "f1"),
    ("Macro-F1 of cells held out, logistic regression", "classification", "logistic: f1"),
    ("The same with shuffled labels", "classification", "shuffled labels: f1"),
    ("Macro-F1 of batches held out, XGBoost", "held-out-batches", "f1"),
    ("Trajectory conservation", "trajectory", "score"),
    ("Share of cells that the graph does not reach", "trajectory", "unreachable"),
    ("Time regression across batches, R2", "trajectory", "regression_across"),
    ("Held-out ELBO, nats a cell", "generation", "elbo"),
    ("Generated against real cells, accuracy of nearest neighbours (.5 is best)", "generation", "two_sample_knn"),
    ("Recovery of marker genes in generated cells", "generation", "marker_overlap"),
    ("Novel type by distance to training cells, AUROC", "novelty", "kNN distance: auroc"),
    ("Novel type by energy under the prior, AUROC", "novelty", "prior energy: auroc"),
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


def tables(results: pd.DataFrame) -> str:
    """Return a section for each headline score: models in rows, data sets in columns, mean ± deviation over seeds."""
    final = results[results.epoch < 0]
    sections = []
    for heading, task, metric in TABLES:
        chosen = final[(final.task == task) & (final.metric == metric)].dropna(subset="value")
        if chosen.empty:
            continue
        sets = [d for d in final.dataset.unique() if d in set(chosen.dataset)]
        rows = [
            [model, *(spread(chosen[(chosen.model == model) & (chosen.dataset == d)].value) for d in sets)]
            for model in final.model.unique()
            if model in set(chosen.model)
        ]
        sections.append(f"### {heading}\n\n{markdown(['', *sets], rows)}\n")
    fits = final.drop_duplicates(["dataset", "model", "seed"])
    sets = list(fits.dataset.unique())
    rows = [
        [m, *(spread(fits[(fits.model == m) & (fits.dataset == d)].cpu_seconds) for d in sets)]
        for m in fits.model.unique()
    ]
    return "\n".join([*sections, f"### CPU seconds of a fit\n\n{markdown(['', *sets], rows)}\n"])


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


def main(arguments: list[str]) -> None:
    """Print the tables of a comparison's folder.

    Raises
    ------
    InputError
        Where the folder holds no results.
    """
    folder = Path(next((a for a in arguments if not a.startswith("-")), "."))
    path = folder / "results.parquet"
    if not path.is_file():
        raise InputError(f"{folder} holds no results.parquet: run `qbmvae compare` to its end first")
    results = pd.read_parquet(path)
    print(every_seed(results) if "--seeds" in arguments else tables(results))


if __name__ == "__main__":
    main(sys.argv[1:])
