"""Log-likelihoods of counts, element by element: the plain torch reference of the fused ones.

Parameters
----------
x
    Counts, or log-normalised values.
mean
    Of the same shape.
log_scale
    Logarithm of the standard deviation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

NAMES = ("nb", "zinb", "poisson", "gaussian")


def negative_binomial(x: Tensor, mean: Tensor, log_theta: Tensor) -> Tensor:
    r"""Return log NB(x; mean, inverse dispersion theta), with variance :math:`\mu + \mu^2 / \theta`.

    Parameters
    ----------
    x
        Counts, `(..., n_genes)`.
    mean
        Means, `(..., n_genes)`.
    log_theta
        Log inverse dispersions, broadcast against `x`.
    """
    theta = log_theta.exp()
    log_sum = torch.log(theta + mean)
    zeros = theta * (log_theta - log_sum)
    rest = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
    return zeros + rest + x * (torch.log(mean + 1e-20) - log_sum)


def zero_inflated_negative_binomial(x: Tensor, mean: Tensor, log_theta: Tensor, dropout_logits: Tensor) -> Tensor:
    """Return log ZINB: with probability sigmoid(dropout_logits) the count is 0, else it is NB (Lopez et al. 2018).

    Parameters
    ----------
    log_theta
        Logarithm of the inverse dispersion.
    dropout_logits
        Log odds of a zero that no count explains.
    """
    nb = negative_binomial(x, mean, log_theta)
    kept = F.logsigmoid(-dropout_logits)
    dropped = F.logsigmoid(dropout_logits)
    return torch.where(x < 0.5, torch.logaddexp(dropped, kept + nb), kept + nb)


def poisson(x: Tensor, mean: Tensor) -> Tensor:
    """Return log Poisson(x; mean)."""
    return x * torch.log(mean + 1e-20) - mean - torch.lgamma(x + 1)


def gaussian(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return log N(x; mean, exp(log_scale)^2), for log-normalised input."""
    return -0.5 * ((x - mean) / log_scale.exp()).square() - log_scale - 0.5 * math.log(2 * math.pi)
