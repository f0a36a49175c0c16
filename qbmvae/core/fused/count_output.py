r"""The decoder's output layer and the likelihood of counts in one: value and gradients in one pass, chunk by chunk.

The logits of a few cells are computed, turned into their own gradient where they lie, and multiplied back into the
layer below: no matrix of all cells and genes is ever written. With :math:`\mu = L\,\mathrm{softmax}(a)`,
:math:`u = \mu / \theta` and a count x, the negative binomial's log-likelihood is

.. math:: -\theta \log(1 + u) + [x > 0]\,(x \log\frac{u}{1 + u} + \log\Gamma(x + \theta) - \log\Gamma(\theta) - \log x!)

so that zeros need one log1p, and only the non-zero counts need Gamma functions. Those differ by finite sums: per-gene
tables up to 8, Stirling's series above. The kernels are in `fused.counts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused import counts
from qbmvae.core.fused.dispersion import Dispersion
from qbmvae.core.fused.products import mm, rounding

#: Cells whose logits are held at once: with 2,000 genes they stay in a core's second cache.
CHUNK = 256
#: The same where torch's products round their inputs to bfloat16: they round the weights for every chunk.
ROUNDED_CHUNK = 512


@dataclass
class Gradients:
    """Where the gradients go.

    Attributes
    ----------
    hidden
        `(n_cells, n_hidden)`.
    log_theta
        `(n_rows, n_genes)`.
    heads
        Weight's and table's, for each head.
    """

    hidden: Tensor
    log_theta: Tensor
    heads: list[tuple[Tensor, Tensor]]


def evaluate(
    hidden: Tensor,
    heads: list[tuple[Tensor, Tensor]],
    design: CsrBlock,
    log_theta: Tensor,
    library: Tensor,
    block: CsrBlock,
    rows: np.ndarray,
    factor: float,
    gradients: Gradients | None,
) -> tuple[float, np.ndarray]:
    """Return what `count_output` does, in float64, and write the gradients, if they are wanted; no autograd.

    Parameters
    ----------
    hidden, heads, design, log_theta, library, block, rows
        As in `count_output`.
    factor
        Multiplies value and gradients.
    gradients
        Where to write them; None for none.
    """
    n = len(hidden)
    dispersion = Dispersion(log_theta.numpy(), factor)
    values, sizes = np.empty(n), library.numpy()
    tables = [table.numpy() for _, table in heads]
    dtables = [np.empty_like(t) for t in tables] if gradients is None else [t.numpy() for _, t in gradients.heads]
    for dtable in dtables:
        dtable.fill(0.0)
    rounds = gradients is not None and rounding()
    weights = [weight.bfloat16() if rounds else weight for weight, _ in heads]
    chunk = min(n, CHUNK if rounds or torch.get_float32_matmul_precision() == "highest" else ROUNDED_CHUNK)
    kernel: Any = counts.negative_binomial if len(heads) == 1 else counts.zero_inflated
    for start in range(0, n, chunk):
        part = slice(start, min(start + chunk, n))
        edges = slice(start, part.stop + 1)
        x = hidden if chunk == n else hidden[part]
        x = x.bfloat16() if rounds else x
        logits = [mm(x, weight).float() for weight in weights]
        kernel(
            *(b.numpy() for b in logits), sizes[part], rows[part], block.indptr[edges], block.indices, block.data,
            design.indptr[edges], design.indices, design.data, *tables, *dtables, *dispersion.arguments, values[part],
        )  # fmt: skip
        if gradients is None:
            continue
        dx = gradients.hidden if chunk == n else gradients.hidden[part]
        for k, (slope, weight, (dweight, _)) in enumerate(zip(logits, weights, gradients.heads, strict=True)):
            slope = slope.bfloat16() if rounds else slope
            back, own = mm(slope, weight.T), mm(x.T, slope)
            dx.add_(back) if k else dx.copy_(back)
            dweight.add_(own) if start else dweight.copy_(own)
    if gradients is not None:
        dispersion.write_gradient(gradients.log_theta.numpy())
    return factor * float(values.sum()), values


class _CountOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, log_theta, design, library, block, rows, factor, with_gradient, *flat):
        hidden, log_theta = hidden.detach(), log_theta.detach()
        heads = [(w.detach(), t.detach()) for w, t in zip(flat[::2], flat[1::2], strict=True)]
        gradients = None
        if with_gradient:
            empty = [(torch.empty_like(w), torch.empty_like(t)) for w, t in heads]
            gradients = Gradients(torch.empty_like(hidden), torch.empty_like(log_theta), empty)
        total, values = evaluate(hidden, heads, design, log_theta, library, block, rows, factor, gradients)
        ctx.gradients, cells = gradients, torch.from_numpy(values).float()
        ctx.mark_non_differentiable(cells)
        return torch.tensor(total, dtype=torch.float32), cells

    @staticmethod
    def backward(ctx, grad, _):
        own = ctx.gradients
        every = [own.hidden, own.log_theta, *(tensor for head in own.heads for tensor in head)]
        if float(grad) != 1.0:
            every = [g * grad for g in every]
        return every[0], every[1], None, None, None, None, None, None, *every[2:]


def count_output(
    hidden: Tensor,
    heads: list[tuple[Tensor, Tensor]],
    design: CsrBlock,
    log_theta: Tensor,
    library: Tensor,
    block: CsrBlock,
    rows: np.ndarray,
    factor: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return the log-likelihood summed over cells, times `factor` (with gradients), and each cell's (without).

    Parameters
    ----------
    hidden
        The last hidden layer, `(n_cells, n_hidden)` float32 on the CPU.
    heads
        Weight `(n_hidden, n_genes)` and table (see `ConditionalLinear.table`) of the means' logits (frequencies are
        their softmax) and, for the zero-inflated likelihood, of the dropouts' logits.
    design
        See `Covariates.design`.
    log_theta
        Log inverse dispersions, `(n_rows, n_genes)`.
    library
        Total counts, `(n_cells,)`.
    block
        The counts.
    rows
        Row of `log_theta` that each cell uses, `(n_cells,)` int64.
    factor
        Folded into the gradients as they are computed.

    Returns
    -------
    A scalar and `(n_cells,)`, in nats.
    """
    flat = [tensor for head in heads for tensor in head]
    return _CountOutput.apply(
        hidden.contiguous(), log_theta, design, library, block, rows, float(factor), torch.is_grad_enabled(), *flat
    )
