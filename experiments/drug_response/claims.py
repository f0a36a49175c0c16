"""What the paper claims, against what was measured: paired over seeds, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.comparison.statistics import mean_and_half

METRICS = ("pearson_within_drug", "spearman_within_drug", "mse", "pearson", "spearman", "concordance")
WITHIN = METRICS[:2]


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Return mean, low and high of the 95 % t interval; the ends are NaN for fewer than two values."""
    mean, half = mean_and_half(values)
    return mean, mean - half, mean + half


def reduction(results: pd.DataFrame, reference: str, n_train: int, *, column: str = "mse") -> np.ndarray:
    """Return log(MSE of quantum / MSE of reference) of each seed that has both, `(n_seeds,)`.

    Parameters
    ----------
    results
        One row a training, see `compare.read_cells`.
    reference
        The model that the quantum head is compared with.
    n_train
        Number of training pairs.
    column
        The error.
    """
    wide = results[results["n_train"] == n_train].pivot(index="seed", columns="name", values=column)
    if "quantum" not in wide or reference not in wide:
        return np.zeros(0)
    return np.log(wide["quantum"] / wide[reference]).dropna().to_numpy()


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return mean and interval of every metric on the common test, by model and number of training pairs."""
    rows = []
    for (split, n, name), group in results.groupby(["split", "n_train", "name"], sort=False):
        row = {"split": split, "n_train": n, "model": name, "seeds": len(group), "cpu_seconds": group["seconds"].mean()}
        for metric in METRICS:
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = interval(
                group[metric] if metric in group else []
            )
        row["mse_last_epoch"] = interval(group["last_mse"])[0] if "last_mse" in group else float("nan")
        rows.append(row)
    order = {split: k for k, split in enumerate(results["split"].unique())}
    return (
        pd.DataFrame(rows)
        .sort_values("mse", kind="stable")
        .sort_values(["split", "n_train"], key=lambda c: c.map(order) if c.name == "split" else c, kind="stable")
        .reset_index(drop=True)
    )


def differences(results: pd.DataFrame) -> pd.DataFrame:
    """Return the quantum head against each other model, paired by seed.

    Columns: the gain in Pearson and Spearman correlation within drugs, then by how many per cent its MSE is lower, each
    with its interval.
    """
    rows = []
    for (split, n), part in results.groupby(["split", "n_train"], sort=False):
        for name in results["name"].unique():
            logs = reduction(part, name, n)
            if name == "quantum" or not len(logs):
                continue
            row: dict[str, object] = {"split": split, "n_train": n, "against": name, "seeds": len(logs)}
            for metric in WITHIN:
                gain = []
                if metric in part:
                    wide = part.pivot(index="seed", columns="name", values=metric)
                    gain = list((wide["quantum"] - wide[name]).dropna())
                row[f"{metric}_gain"], row[f"{metric}_gain_low"], row[f"{metric}_gain_high"] = interval(gain)
            mean, low, high = (100 * (1 - np.exp(v)) for v in interval(logs))
            rows.append(row | {"lower_by_percent": mean, "low": high, "high": low})
    gains = [f"{m}_gain{end}" for m in WITHIN for end in ("", "_low", "_high")]
    return pd.DataFrame(
        rows, columns=["split", "n_train", "against", *gains, "lower_by_percent", "low", "high", "seeds"]
    )


def claims(results: pd.DataFrame) -> pd.DataFrame:
    """Return a row a claim: what the paper says, the measured value with its interval, and whether it holds.

    The paper's pairs are held out at random: where several splits were run, the first is held against it.
    """
    results = results[results["split"] == results["split"].iloc[0]]
    sizes = sorted(results["n_train"].unique())
    largest, smallest = sizes[-1], sizes[0]
    rows = [
        _row(
            f"MSE at {largest:,} training pairs lower than the twin's (%)",
            "more than 15",
            _percent(reduction(results, "twin", largest)),
            above=15,
        ),
        _row(
            "the same at the last epoch instead of the best by validation (%)",
            "more than 15",
            _percent(reduction(results, "twin", largest, column="last_mse")) if "last_mse" in results else [],
            above=15,
        ),
    ]
    if smallest != largest:
        growth = _growth(results, smallest, largest)
        rows.append(
            _row(f"advantage at {smallest} pairs minus at {largest:,} (percentage points)", "grows", growth, above=0)
        )
    epochs, rough = _curves(results, largest)
    rows += [
        _row("epochs to the twin's best test MSE, share of the twin's (1 = as many)", "fewer", epochs, below=1),
        _row("roughness of the test curve, ratio to the twin's", "smoother", rough, below=1),
    ]
    return pd.DataFrame(rows)


def reach(curve: Sequence[float], level: float) -> float:
    """Return the first epoch (from 1) at which a curve is at or below a level; infinite where it never is."""
    below = np.flatnonzero(np.asarray(curve) <= level)
    return float(below[0] + 1) if len(below) else float("inf")


def roughness(curve: Sequence[float]) -> float:
    """Return the mean absolute second difference of log MSE over epochs, without the first epoch."""
    return float(np.abs(np.diff(np.log(np.asarray(curve)[1:]), n=2)).mean()) if len(curve) > 3 else float("nan")


def mechanisms(results: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations within drugs by mechanism of action at the largest size, one row a split, mechanism and model.

    Columns: split, mechanism, model, seeds, pairs (mean number on the common test), and each of `WITHIN` with its 95 %
    interval over seeds. Empty where the drug table names no mechanisms.
    """
    columns = ["split", "mechanism", "model", "seeds", "pairs"]
    rows = []
    known = results[results["mechanisms"].notna()] if "mechanisms" in results else results.iloc[:0]
    for (split, name), group in known[known["n_train"] == known["n_train"].max()].groupby(
        ["split", "name"], sort=False
    ):
        for mechanism in sorted({m for found in group["mechanisms"] for m in found}):
            found = [f[mechanism] for f in group["mechanisms"] if mechanism in f]
            row = dict(
                zip(columns, (split, mechanism, name, len(found), np.mean([f["pairs"] for f in found])), strict=True)
            )
            for metric in WITHIN:
                # what has no order within drugs is None in the file
                row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = interval([f[metric] for f in found])
            rows.append(row)
    return pd.DataFrame(rows, columns=[*columns, *(f"{m}{end}" for m in WITHIN for end in ("", "_low", "_high"))])


def _curves(results: pd.DataFrame, n_train: int) -> tuple[list[float], list[float]]:
    # a seed that never reaches the twin's best counts as twice the epochs that were run: a floor, not an estimate
    histories = results[results["n_train"] == n_train].pivot(index="seed", columns="name", values="history")
    epochs, rough = [], []
    if "quantum" in histories and "twin" in histories:
        for quantum, twin in histories[["quantum", "twin"]].dropna().itertuples(index=False):
            q, t = quantum["mse_test"], twin["mse_test"]
            own = int(np.argmin(t)) + 1
            reached = reach(q, min(t))
            epochs.append((reached if np.isfinite(reached) else 2 * len(q)) / own)
            rough.append(roughness(q) / roughness(t))
    return epochs, rough


def _growth(results: pd.DataFrame, smallest: int, largest: int) -> list[float]:
    seeds = results.groupby("seed")
    found = []
    for _, group in seeds:
        few, many = (_percent(reduction(group, "twin", n)) for n in (smallest, largest))
        if len(few) and len(many):
            found.append(few[0] - many[0])
    return found


def _percent(logs: np.ndarray) -> list[float]:
    return list(100 * (1 - np.exp(logs)))


def _row(
    claim: str, paper: str, values: Sequence[float], *, above: float | None = None, below: float | None = None
) -> dict[str, object]:
    mean, low, high = interval(values)
    # "less than" is "more than" with the sign turned
    least, most = (low - above, high - above) if above is not None else (below - high, below - low)  # type: ignore[operator]
    if not np.isfinite(low):
        verdict = "open: fewer than two values"
    elif least > 0:
        verdict = "holds"
    else:
        verdict = "does not hold" if most < 0 else "open: the interval contains the threshold"
    return {
        "claim": claim,
        "paper": paper,
        "measured": mean,
        "low": low,
        "high": high,
        "seeds": len(values),
        "verdict": verdict,
    }
