r"""The decoder's output layer and the likelihood of counts in one: value and gradients in one pass, chunk by chunk.

The logits of a few cells are computed, turned into their own gradient where they lie, and multiplied back into the
layer below: no matrix of all cells and genes is ever written. With :math:`\mu = L\,\mathrm{softmax}(a)`,
:math:`u = \mu / \theta` and a count x, the negative binomial's log-likelihood is

.. math:: -\theta \log(1 + u) + [x > 0]\,(x \log\frac{u}{1 + u} + \log\Gamma(x + \theta) - \log\Gamma(\theta) - \log x!)

so that zeros need one log1p, and only the non-zero counts need Gamma functions. Those differ by finite sums: per-gene
tables up to 8, Stirling's series above. The kernels are in `fused.counts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused import counts
from qbmvae.core.fused.sparse_linear import accumulate_rows, add_rows

#: Cells whose logits are held at once: 2,000 genes of 128 cells stay in a core's cache.
CHUNK = 128


class _CountOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, log_theta, design, library, block, rows, factor, with_gradient, *heads):
        # a head is a weight and a table: the means' logits, and the dropouts' where there are two
        x, weights, tables = hidden.detach(), [w.detach() for w in heads[::2]], [t.detach() for t in heads[1::2]]
        n, n_genes = len(x), weights[0].shape[1]
        dispersion = counts.Dispersion(log_theta.detach().numpy(), factor)
        values = np.empty(n)
        # torch's memory is aligned to 64 bytes, numpy's is not: MKL's products differ in the last bit with alignment
        buffers = [torch.empty(min(CHUNK, n), n_genes) for _ in weights]
        dx = torch.zeros_like(x) if with_gradient else None
        dweights = [torch.empty_like(w) for w in weights] if with_gradient else []
        dtables = [torch.zeros_like(t) for t in tables] if with_gradient else []
        for start in range(0, n, CHUNK):
            part = slice(start, min(start + CHUNK, n))
            edges = slice(start, part.stop + 1)
            logits = [b[: part.stop - start] for b in buffers]
            for out, weight, table in zip(logits, weights, tables, strict=True):
                torch.mm(x[part], weight, out=out)
                add_rows(design.indptr[edges], design.indices, design.data, table.numpy(), out.numpy())
            kernel = counts.negative_binomial if len(heads) == 2 else counts.zero_inflated
            kernel(
                *(b.numpy() for b in logits), library[part].numpy(), rows[part], block.indptr[edges], block.indices,
                block.data, *dispersion.arguments, values[part],
            )  # fmt: skip
            if dx is None:
                continue
            for slope, weight, dw, dt in zip(logits, weights, dweights, dtables, strict=True):
                dx[part].addmm_(slope, weight.T)
                dw.addmm_(x[part].T, slope, beta=int(start > 0))
                accumulate_rows(design.indptr[edges], design.indices, design.data, slope.numpy(), dt.numpy())
        ctx.gradients = dx, torch.from_numpy(dispersion.gradient()), dweights, dtables
        cells = torch.from_numpy(values).float()
        ctx.mark_non_differentiable(cells)
        return torch.tensor(factor * values.sum(), dtype=x.dtype), cells

    @staticmethod
    def backward(ctx, grad, _):
        dx, dtheta, dweights, dtables = ctx.gradients
        every: list[Any] = [dx, dtheta, *dweights, *dtables]
        if float(grad) != 1.0:
            every = [g * grad for g in every]
        heads = [g for pair in zip(every[2 : 2 + len(dweights)], every[2 + len(dweights) :], strict=True) for g in pair]
        return every[0], every[1], None, None, None, None, None, None, *heads


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
