"""Paired differences between models over seeds and data sets, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.report.values import Spread


def score_grid(results: pd.DataFrame, task: str, metric: str) -> pd.DataFrame:
    """Return one score's final values: rows (dataset, seed), a column for each model.

    A model that has no randomness was run for one seed; its value stands for every seed. One that has, but ran for one
    seed, is compared with that seed alone.

    Parameters
    ----------
    results
        One row a score, see `results.results_table`.
    task, metric
        Which score.
    """
    chosen = results[(results.task == task) & (results.metric == metric) & (results.epoch < 0)]
    grid = chosen.pivot_table(index=["dataset", "seed"], columns="model", values="value", dropna=False, observed=True)
    grid = grid.dropna(how="all")
    fixed = set(chosen.model[chosen.deterministic.astype(bool)])
    for model in grid.columns.intersection(list(fixed)):
        for _, rows in grid.groupby(level="dataset").groups.items():
            known = grid.loc[rows, model].dropna()
            if len(known) == 1:
                grid.loc[rows, model] = known.iloc[0]
    return grid


def mean_and_half(values: Iterable[float | None], level: float = 0.95) -> tuple[float, float]:
    """Return the mean of the finite values and the half-width of its Student's t interval; NaN where there is none."""
    from scipy.stats import t

    known = np.asarray([v for v in values if v is not None and np.isfinite(v)], dtype=np.float64)
    if len(known) < 2:
        return (float(known[0]) if len(known) else float("nan")), float("nan")
    half = t.ppf(0.5 + level / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), float(half)


def interval(differences: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return mean, low and high of paired differences by Student's t; one difference has an infinite interval."""
    mean, half = mean_and_half(differences, level)
    half = float("inf") if np.isfinite(mean) and not np.isfinite(half) else half
    return mean, mean - half, mean + half


def standing(gain: float, half: float) -> str:
    """Return "better", "level" or "worse": whether the interval of a gain lies above, around or below 0.

    Parameters
    ----------
    gain, half
        Mean of paired differences, positive where the model is ahead, and half-width of its interval; NaN where there is
        none, of which nothing is said but that two equal values are level.
    """
    if not np.isfinite(gain):
        return ""
    if gain and not np.isfinite(half):
        return "no interval"
    half = half if np.isfinite(half) else 0.0
    return "better" if gain > half else "level" if gain >= -half else "worse"


def lead(label: str, gain: np.ndarray) -> str:
    """Return a line such as "error against ridge: +0.0012 ± 0.0004, better" of gains, by 1.96 standard errors.

    Parameters
    ----------
    label
        What was compared.
    gain
        Paired differences, positive where the model is ahead, `(n,)`.
    """
    mean = float(np.mean(gain))
    if len(gain) < 2:
        return f"{label}: {mean:+.4f}, no interval"
    half = float(1.96 * np.std(gain, ddof=1) / np.sqrt(len(gain)))
    return f"{label}: {mean:+.4f} ± {half:.4f}, {standing(mean, half)}"


def means(rows: pd.DataFrame, keys: list[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return means over seeds with their 95 % half-widths.

    Parameters
    ----------
    rows
        One row a seed and whatever `keys` tell apart.
    keys
        Columns to group by, in the order of their first rows.
    columns
        Scores.

    Returns
    -------
    pandas.DataFrame
        `keys`, and for each score its mean and, under the name with the suffix " +-", its half-width.
    """
    found = []
    for key, part in rows.groupby(keys, sort=False):
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        for column in columns:
            row[column], row[f"{column} +-"] = mean_and_half(part[column])
        found.append(row)
    return pd.DataFrame(found)


def paired(grid: pd.DataFrame, ours: str, level: float = 0.95) -> pd.DataFrame:
    """Return our model minus each other, per data set and in the mean over data sets.

    Parameters
    ----------
    grid
        What `score_grid` returns.
    ours
        The model that the others are subtracted from.
    level
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        Index (model, dataset), "dataset" being "mean" for the mean; columns "difference", "low", "high", "pairs".
        Per data set: Student's t over seeds. Mean: the data sets are taken as they are (fixed), the interval is that of
        the mean of their means, from the seeds' spread within each, with Welch and Satterthwaite's degrees of freedom.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for model in grid.columns:
        if model == ours:
            continue
        parts = []
        for dataset, part in grid.groupby(level="dataset"):
            values = (part[ours] - part[model]).dropna().to_numpy()
            if not len(values):
                continue
            mean, low, high = interval(values, level)
            rows[model, str(dataset)] = {"difference": mean, "low": low, "high": high, "pairs": len(values)}
            parts.append(values)
        if parts:
            rows[model, "mean"] = _mean_of_means(parts, level)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high", "pairs"])
    frame.index = pd.MultiIndex.from_tuples(list(rows) or [], names=["model", "dataset"])
    return frame


def _mean_of_means(parts: list[np.ndarray], level: float) -> dict[str, Any]:
    from scipy.stats import t

    mean = float(np.mean([p.mean() for p in parts]))
    pairs = sum(map(len, parts))
    if any(len(p) < 2 for p in parts):
        return {"difference": mean, "low": float("-inf"), "high": float("inf"), "pairs": pairs}
    variances = np.array([p.var(ddof=1) / len(p) for p in parts]) / len(parts) ** 2
    total = variances.sum()
    if total <= 0:
        return {"difference": mean, "low": mean, "high": mean, "pairs": pairs}
    freedom = total**2 / sum(v**2 / (len(p) - 1) for v, p in zip(variances, parts, strict=True))
    half = float(t.ppf(0.5 + level / 2, freedom) * np.sqrt(total))
    return {"difference": mean, "low": mean - half, "high": mean + half, "pairs": pairs}


def verdict(difference: float, low: float, high: float) -> str:
    """Return what an interval tells about "ours is better": holds, fails, or open where it spans zero.

    Parameters
    ----------
    difference, low, high
        Ours minus another, with its interval.
    """
    if not np.isfinite(difference):
        return "no data"
    return "holds" if low > 0 else "fails" if high < 0 else "open"


def spread_table(grid: pd.DataFrame) -> pd.DataFrame:
    """Return means with standard deviations over seeds as `Spread` objects: models by data sets, the mean last.

    The mean over data sets, where a model has them all, has the deviation over seeds of the mean of the sets.
    """
    mean, deviation = mean_table(grid)
    shown = mean.astype(object)
    for dataset in deviation.columns:
        shown[dataset] = [Spread.around(value, deviation.loc[model, dataset]) for model, value in mean[dataset].items()]
    by_seed = grid.groupby(level="seed").mean().where(grid.groupby(level="seed").count() == mean.shape[1] - 1)
    halves = by_seed.std(ddof=1)
    shown["mean"] = [Spread.around(value, halves.get(model)) for model, value in mean["mean"].items()]
    if mean.shape[1] == 2:
        # of one data set, the mean says nothing new
        shown = shown.drop(columns="mean")
    return shown


def mean_table(grid: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return means and standard deviations over seeds, models in rows, data sets in columns and their mean last."""
    by_set = grid.groupby(level="dataset")
    mean, deviation = by_set.mean().T, by_set.std(ddof=1).T
    # the mean over sets only where a model has them all
    mean["mean"] = mean.mean(axis=1, skipna=False)
    return mean.sort_values("mean", ascending=False, na_position="last"), deviation
