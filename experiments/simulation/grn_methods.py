"""Ways to score regulatory edges from one expression matrix; each returns `(n_genes, n_genes)`, regulator by target.

Symmetric methods give both directions the same score. All see the same matrix, `(n_cells, n_genes)`, and no truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd


def pearson(expression: np.ndarray, seed: int) -> np.ndarray:
    """Absolute Pearson correlation."""
    return np.abs(np.nan_to_num(np.corrcoef(expression.T)))


def spearman(expression: np.ndarray, seed: int) -> np.ndarray:
    """Absolute Spearman correlation."""
    return np.abs(pd.DataFrame(expression).corr(method="spearman").fillna(0).to_numpy())


def partial_correlation(expression: np.ndarray, seed: int) -> np.ndarray:
    """Absolute partial correlation, with Ledoit-Wolf shrinkage."""
    from sklearn.covariance import LedoitWolf

    scale = expression.std(axis=0)
    precision = LedoitWolf().fit((expression - expression.mean(axis=0)) / np.where(scale > 0, scale, 1)).precision_
    diagonal = np.sqrt(np.diag(precision))
    return np.abs(precision / np.outer(diagonal, diagonal))


def gradient_boosting(expression: np.ndarray, seed: int) -> np.ndarray:
    """Importance of each gene in boosted trees that predict another (as GRNBoost2 and GENIE3 do)."""
    import xgboost

    n = expression.shape[1]
    scores = np.zeros((n, n))
    for target in range(n):
        others = [g for g in range(n) if g != target]
        model = xgboost.XGBRegressor(
            n_estimators=40,
            max_depth=3,
            learning_rate=0.1,
            subsample=0.9,
            n_jobs=1,
            random_state=seed,
            importance_type="total_gain",
        )
        spread = expression[:, target].std()
        model.fit(expression[:, others], expression[:, target] / (spread if spread > 0 else 1.0))
        # total gain of a target of unit variance: comparable from one target to the next
        gains = model.get_booster().get_score(importance_type="total_gain")
        scores[others, target] = [gains.get(f"f{k}", 0.0) for k in range(len(others))]
    return scores


def boltzmann_prior(expression: np.ndarray, seed: int) -> np.ndarray:
    """Absolute couplings of QBM-VAE's prior (`BoltzmannPrior`), fitted to binarised genes by maximum likelihood.

    One bit is one gene, so that a coupling is an edge; the negative phase is the model's own, the persistent sampler.
    """
    import torch

    import samplers
    from qbmvae.core.priors.boltzmann import BoltzmannPrior
    from qbmvae.core.training.negative_phase import NegativePhase

    bits = torch.tensor(binarise(expression), dtype=torch.float32)
    mean = bits.mean(dim=0).clamp(1e-3, 1 - 1e-3)
    prior = BoltzmannPrior(bits.shape[1])
    with torch.no_grad():
        prior.bias.copy_(torch.logit(mean))
    phase = NegativePhase(samplers.get("persistent"), num_reads=256, seed=seed)
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.05)
    steps = 150
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, total_iters=steps)
    for _ in range(steps):
        optimiser.zero_grad()
        (prior.energy(bits).mean() + phase.log_partition_surrogate(prior)).backward()
        optimiser.step()
        schedule.step()
    return np.abs(prior.W.detach().numpy())


def learned_circuit(expression: np.ndarray, seed: int) -> np.ndarray:
    """Absolute CRY angles of the circuit learned from binarised genes (`learn_circuit`); at most 8 genes."""
    from qbmvae.cellsim.learning import learn_circuit

    return np.abs(learn_circuit(binarise(expression), n_steps=80).angles.to_numpy())


def binarise(expression: np.ndarray) -> np.ndarray:
    """Return 1 where a gene is above the threshold that splits its values best into two groups (Otsu), uint8."""
    out = np.zeros(expression.shape, dtype=np.uint8)
    for g, values in enumerate(expression.T):
        ordered = np.sort(values)
        n = len(ordered)
        low = np.arange(1, n)
        total = np.cumsum(ordered)
        left, right = total[:-1] / low, (total[-1] - total[:-1]) / (n - low)
        between = np.where(ordered[1:] > ordered[:-1], low * (n - low) * (right - left) ** 2, -1.0)
        cut = int(np.argmax(between))
        out[:, g] = values > ordered[cut]
    return out


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "pearson": pearson,
    "spearman": spearman,
    "partial correlation": partial_correlation,
    "gradient boosting": gradient_boosting,
    "Boltzmann prior": boltzmann_prior,
    "learned circuit": learned_circuit,
}
#: Methods that list 2**n outcomes.
LIMITS = {"learned circuit": 8}
