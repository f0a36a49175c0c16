"""Metrics of drug-response predictions, as functions of arrays.

Parameters
----------
observed, predicted
    Responses, `(n_pairs,)`.
drug
    Code of each pair's drug, `(n_pairs,)`.
"""

from __future__ import annotations

import numpy as np
from scipy import stats


def mse(observed: np.ndarray, predicted: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.mean((np.asarray(observed) - np.asarray(predicted)) ** 2))


def pearson(observed: np.ndarray, predicted: np.ndarray) -> float:
    """Pearson correlation; NaN where one side is constant."""
    if len(observed) < 2 or np.ptp(observed) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(stats.pearsonr(observed, predicted).statistic)


def spearman(observed: np.ndarray, predicted: np.ndarray) -> float:
    """Spearman rank correlation; NaN where one side is constant."""
    if len(observed) < 2 or np.ptp(observed) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(stats.spearmanr(observed, predicted).statistic)


def concordance(observed: np.ndarray, predicted: np.ndarray) -> float:
    """Concordance index: the share of pairs with different observations that are predicted in their order, ties half.

    Notes
    -----
    From Kendall's tau-b in n log n: concordant - discordant = tau_b sqrt((N - T_o)(N - T_p)) for N pairs of which T_o
    and T_p are tied; the index is 1/2 + (concordant - discordant) / (2 (N - T_o)). NaN without untied observations.
    """
    n = len(observed)
    total = n * (n - 1) / 2
    untied_o, untied_p = total - _tied(observed), total - _tied(predicted)
    if untied_o == 0:
        return float("nan")
    if untied_p == 0:
        return 0.5
    tau = stats.kendalltau(observed, predicted, variant="b").statistic
    return float(0.5 + tau * np.sqrt(untied_o * untied_p) / (2 * untied_o))


def within_drug_pearson(observed: np.ndarray, predicted: np.ndarray, drug: np.ndarray) -> float:
    """Pearson correlation after each drug's mean is taken from both sides: what is known beyond the drug's potency.

    Drugs with one pair add nothing.
    """
    _, group, counts = np.unique(drug, return_inverse=True, return_counts=True)
    keep = counts[group] > 1
    if keep.sum() < 2:
        return float("nan")

    def centred(values: np.ndarray) -> np.ndarray:
        return (values - np.bincount(group, values)[group] / counts[group])[keep]

    left, right = centred(np.asarray(observed)), centred(np.asarray(predicted))
    # a prediction of the drug alone leaves rounding errors, which correlate with nothing
    if np.ptp(right) <= 1e-9 * np.abs(predicted).max():
        return float("nan")
    return pearson(left, right)


def within_drug_spearman(observed: np.ndarray, predicted: np.ndarray, drug: np.ndarray) -> float:
    """Spearman correlation within drugs: Pearson's of the ranks inside each drug, as shares of the drug's pairs.

    Drugs with one pair add nothing; NaN where no drug's predictions differ.
    """
    _, group, counts = np.unique(drug, return_inverse=True, return_counts=True)
    observed, predicted = np.asarray(observed, dtype=float), np.asarray(predicted, dtype=float)
    # a prediction of the drug alone leaves rounding errors, whose order says nothing
    predicted = np.round(predicted / (np.abs(predicted).max() or 1.0), 9)
    ranks = [np.zeros(len(group)) for _ in range(2)]
    for k in np.flatnonzero(counts > 1):
        rows = np.flatnonzero(group == k)
        for side, values in zip(ranks, (observed, predicted), strict=True):
            side[rows] = (stats.rankdata(values[rows]) - (counts[k] + 1) / 2) / counts[k]
    keep = counts[group] > 1
    return pearson(ranks[0][keep], ranks[1][keep])


def all_metrics(observed: np.ndarray, predicted: np.ndarray, drug: np.ndarray) -> dict[str, float]:
    """Return every metric by name; those within drugs first, as the drug's mean explains most of the others."""
    return {
        "pearson_within_drug": within_drug_pearson(observed, predicted, drug),
        "spearman_within_drug": within_drug_spearman(observed, predicted, drug),
        "mse": mse(observed, predicted),
        "pearson": pearson(observed, predicted),
        "spearman": spearman(observed, predicted),
        "concordance": concordance(observed, predicted),
    }


def by_mechanism(
    observed: np.ndarray, predicted: np.ndarray, drug: np.ndarray, mechanism: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return the correlations within drugs of each mechanism's pairs, and their number: arrays `(n_pairs,)`.

    Parameters
    ----------
    mechanism
        What each pair's drug acts on, `(n_pairs,)`.
    """
    found = {}
    for name in np.unique(mechanism):
        rows = mechanism == name
        sides = observed[rows], predicted[rows], drug[rows]
        found[str(name)] = {
            "pearson_within_drug": within_drug_pearson(*sides),
            "spearman_within_drug": within_drug_spearman(*sides),
            "pairs": int(rows.sum()),
        }
    return found


def _tied(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())
