"""The losses of the delta predictor, all on (batch, n_genes) deltas.

Parameters
----------
predicted, target
    Deltas, `(batch, n_genes)`.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, softplus


def squared_error(predicted: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Mean squared error; `weights` (batch, n_genes) are normalised to mean one a row.

    Parameters
    ----------
    weights
        Of the genes of each row; equal by default.
    """
    error = (predicted - target).square()
    if weights is not None:
        error = error * (weights / weights.mean(1, keepdim=True))
    return error.mean()


def discrimination_loss(predicted: torch.Tensor, target: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A differentiable PDS: each prediction should be nearest, by L1, to its own perturbation's effect.

    Softmax cross-entropy over the batch of minus the L1 distance, in units of the spread of the true distances; rows of
    the same perturbation are not each other's negatives.

    Parameters
    ----------
    labels
        Perturbation of each row, `(batch,)`.
    """
    if len(torch.unique(labels)) < 2:
        return predicted.sum() * 0.0
    distance = torch.cdist(predicted, target, p=1)
    with torch.no_grad():
        same = labels[:, None] == labels[None, :]
        unit = torch.cdist(target, target, p=1)[~same].mean().clamp_min(1e-8) / 8
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (-distance / unit).masked_fill(same & ~own, float("-inf"))
    return cross_entropy(logits, torch.arange(len(labels), device=labels.device))


def affected_genes_loss(
    predicted: torch.Tensor, significance: torch.Tensor, n_pairs: int = 256, top: int = 50
) -> torch.Tensor:
    """A differentiable DES: the |delta| of a perturbation's `top` significant genes should exceed those of others.

    Logistic loss on `n_pairs` random pairs a row, in units of the row's mean |delta|; `significance` (batch, n_genes) is
    the observed |delta| over its standard error.

    Parameters
    ----------
    significance
        Observed |delta| over its standard error, `(batch, n_genes)`.
    n_pairs
        Pairs of genes drawn for a row.
    top
        Significant genes of a row.
    """
    top = min(top, significance.shape[1] // 4) or 1
    order = significance.topk(top, dim=1).indices
    pick = torch.randint(top, (len(predicted), n_pairs), device=predicted.device)
    positive = order.gather(1, pick)
    negative = torch.randint(predicted.shape[1], (len(predicted), n_pairs), device=predicted.device)
    size = predicted.abs()
    unit = size.mean(1, keepdim=True).detach().clamp_min(1e-8)
    margin = (size.gather(1, positive) - size.gather(1, negative)) / unit
    # a pair drawn among the top genes themselves says nothing
    wanted = (significance.gather(1, positive) > significance.gather(1, negative)).float()
    return (softplus(-margin) * wanted).sum() / wanted.sum().clamp_min(1.0)
