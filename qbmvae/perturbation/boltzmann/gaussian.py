"""The continuous twin of the conditional machine: a normal latent whose mean depends on the condition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qbmvae.perturbation.boltzmann.codes import Wanted


@dataclass
class ConditionalGaussian:
    """z ~ N(centre + slopes f(c), covariance), one covariance for all conditions, as the machine has one set of couplings.

    Attributes
    ----------
    centre
        Mean of the controls, `(n,)`; f of the controls is 0.
    slopes
        `(n, n_features)`.
    covariance
        `(n, n)`.
    """

    centre: np.ndarray
    slopes: np.ndarray
    covariance: np.ndarray

    @property
    def n(self) -> int:
        """Number of dimensions."""
        return len(self.centre)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.n + self.slopes.size + self.n * (self.n + 1) // 2

    def codes(self, rows: np.ndarray, wanted: Wanted, rng: np.random.Generator) -> np.ndarray:
        """Return codes of perturbed cells, `(sum(n_cells), n)` float32, drawn anew or moved by the shift.

        Parameters
        ----------
        rows
            Features of the conditions, `(n_conditions, n_features)`.
        wanted
            What is asked for.
        rng
            The generator.
        """
        shift = wanted.dose * np.repeat(rows @ self.slopes.T, wanted.n_cells, axis=0)
        if wanted.how == "transport":
            return (wanted.start + shift).astype(np.float32)
        noise = rng.multivariate_normal(np.zeros(self.n), self.covariance, len(shift), method="eigh")
        return (self.centre + shift + noise).astype(np.float32)


def fit_gaussian(mean: np.ndarray, condition: np.ndarray, features: np.ndarray) -> ConditionalGaussian:
    """Fit by least squares of cells' latent means.

    Parameters
    ----------
    mean
        Latent means of the cells, `(n_cells, n)`.
    condition
        Each cell's row of `features`, `(n_cells,)`.
    features
        `(n_conditions, n_features)`; zeros for the controls.
    """
    mean = np.asarray(mean, dtype=np.float64)
    centre = mean[~features[condition].any(1)].mean(0)
    count = np.bincount(condition, minlength=len(features)).astype(np.float64)
    by_condition = np.zeros((len(features), mean.shape[1]))
    np.add.at(by_condition, condition, mean - centre)
    # one row a condition, weighted by its cells: the same solution as one row a cell
    root = np.sqrt(count)[:, None]
    weighted = features * root
    # a ridge of one cell keeps features that few cells tell apart finite
    slopes = np.linalg.solve(weighted.T @ weighted + np.eye(features.shape[1]), features.T @ by_condition).T
    rest = mean - centre - (features @ slopes.T)[condition]
    return ConditionalGaussian(centre, slopes, np.cov(rest.T) + 1e-9 * np.eye(mean.shape[1]))
