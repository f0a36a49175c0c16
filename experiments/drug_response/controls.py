"""Classical controls: regressions on a molecule's fingerprint and a line's features, tuned on validation pairs.

Parameters
----------
name
    Of `CONTROLS`.
data, parts
    All pairs, and which of them train, validate and test.
seed
    Of trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qbmvae.drug_response import DrugData, Split, fingerprints
from qbmvae.drug_response.means import effects

Predictor = Callable[[np.ndarray], np.ndarray]


def drug_mean(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """The mean response of the drug's training pairs, shrunk towards the overall mean by one pair."""
    response, drug = data.response[parts.train], data.drug[parts.train]
    centre = response.mean()
    n = np.bincount(drug, minlength=len(data.molecules))
    means = (np.bincount(drug, response, minlength=len(n)) + centre) / (n + 1)
    yield lambda rows: means[data.drug[rows]]


def line_mean(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """The mean response of the cell line's training pairs, shrunk towards the overall mean by one pair."""
    response, line = data.response[parts.train], data.line[parts.train]
    centre = response.mean()
    n = np.bincount(line, minlength=len(data.line_ids))
    means = (np.bincount(line, response, minlength=len(n)) + centre) / (n + 1)
    yield lambda rows: means[data.line[rows]]


def drug_and_line_mean(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """One effect a drug plus one a cell line, fitted in turn, each shrunk towards nought by one pair."""
    response, drug, line = (values[parts.train] for values in (data.response, data.drug, data.line))
    centre, by_drug, by_line = effects(response, drug, line, len(data.molecules), len(data.line_ids))
    yield lambda rows: centre + by_drug[data.drug[rows]] + by_line[data.line[rows]]


def ridge(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """Ridge regression, penalty 1 to 1,000."""
    from sklearn.linear_model import Ridge

    for alpha in (1.0, 10.0, 100.0, 1000.0):
        yield _fitted(Ridge(alpha=alpha), data, parts)


def elastic_net(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """Elastic net with half of the penalty on absolute values, 1e-4 to 1e-2."""
    from sklearn.linear_model import ElasticNet

    for alpha in (1e-4, 1e-3, 1e-2):
        yield _fitted(ElasticNet(alpha=alpha, l1_ratio=0.5, max_iter=2000, tol=1e-3), data, parts)


def random_forest(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """Random forest of 100 trees, a tenth of the features a split."""
    from sklearn.ensemble import RandomForestRegressor

    yield _fitted(
        RandomForestRegressor(n_estimators=100, max_features=0.1, min_samples_leaf=2, random_state=seed), data, parts
    )


def gradient_boosting(data: DrugData, parts: Split, seed: int) -> Iterator[Predictor]:
    """XGBoost, 300 trees of depth 6 at learning rate .1, half of the columns a tree."""
    from xgboost import XGBRegressor

    yield _fitted(
        XGBRegressor(
            n_estimators=300,
            max_depth=6,
            learning_rate=0.1,
            colsample_bytree=0.5,
            tree_method="hist",
            random_state=seed,
            n_jobs=1,
        ),
        data,
        parts,
    )


CONTROLS: dict[str, Callable[[DrugData, Split, int], Iterator[Predictor]]] = {
    "drug-mean": drug_mean,
    "line-mean": line_mean,
    "drug-and-line-mean": drug_and_line_mean,
    "ridge": ridge,
    "elastic-net": elastic_net,
    "random-forest": random_forest,
    "gradient-boosting": gradient_boosting,
}


#: Controls of means alone, by their names in metrics and tables.
MEANS = {"drug_mean": "drug-mean", "line_mean": "line-mean", "drug_and_line_mean": "drug-and-line-mean"}


def fit_control(name: str, data: DrugData, parts: Split, seed: int) -> Predictor:
    """Return the candidate of a control with the least validation error."""
    observed = data.response[parts.validation]
    candidates = list(CONTROLS[name](data, parts, seed))
    errors = [np.mean((candidate(parts.validation) - observed) ** 2) for candidate in candidates]
    return candidates[int(np.argmin(errors))]


def design(data: DrugData, rows: np.ndarray) -> np.ndarray:
    """Return `(n_rows, 1024 + width)` float32: the molecule's Morgan fingerprint, then the line's features."""
    drugs, positions = np.unique(data.drug[rows], return_inverse=True)
    bits = fingerprints([data.molecules.molecules[k].smiles for k in drugs])
    return np.hstack([bits[positions], data.features[data.line[rows]]]).astype(np.float32)


def _fitted(regressor: Any, data: DrugData, parts: Split) -> Predictor:
    regressor.fit(design(data, parts.train), data.response[parts.train])
    return lambda rows: np.asarray(regressor.predict(design(data, rows)), dtype=np.float64)
