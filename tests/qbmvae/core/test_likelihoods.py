from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from qbmvae.core import likelihoods


def test_counts_against_scipy():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 40, size=200).astype(float)
    mean, theta = rng.gamma(2, 3, size=200), rng.gamma(2, 1, size=200)
    t = torch.tensor
    nb = likelihoods.negative_binomial(t(x), t(mean), t(np.log(theta))).numpy()
    np.testing.assert_allclose(nb, stats.nbinom.logpmf(x, theta, theta / (theta + mean)), rtol=1e-7)
    np.testing.assert_allclose(likelihoods.poisson(t(x), t(mean)).numpy(), stats.poisson.logpmf(x, mean), rtol=1e-7)
    pi = rng.normal(size=200)
    zero = 1 / (1 + np.exp(-pi))
    p = (1 - zero) * stats.nbinom.pmf(x, theta, theta / (theta + mean)) + zero * (x == 0)
    zinb = likelihoods.zero_inflated_negative_binomial(t(x), t(mean), t(np.log(theta)), t(pi)).numpy()
    np.testing.assert_allclose(zinb, np.log(p), rtol=1e-7)
    scale = rng.gamma(2, 1, size=200)
    gaussian = likelihoods.gaussian(t(x), t(mean), t(np.log(scale))).numpy()
    np.testing.assert_allclose(gaussian, stats.norm.logpdf(x, mean, scale), rtol=1e-7)
