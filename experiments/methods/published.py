"""The preset of the QBM-VAE authors' public code, written anew from its description, as run and with the exact KL."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from experiments.data.datasets import log_normalised
from experiments.methods.base import Fitted

if TYPE_CHECKING:
    from anndata import AnnData

    from experiments.methods.base import Task


def spike_and_exponential(logits: Tensor, noise: Tensor, b: float = 0.5) -> Tensor:
    r"""Return smoothed bits: 0 with probability 1 - q, else exponential on (0, 1], by the inverse distribution.

    :math:`\zeta = \log(1 + (\rho - (1 - q)) (e^b - 1) / q) / b` where rho > 1 - q, else 0
    (Rolfe, ICLR 2017, section 2.1).

    Parameters
    ----------
    logits, noise
        Of each bit; noise uniform on [0, 1].
    b
        Rate of the exponential part.
    """
    q = torch.sigmoid(logits)
    inside = (noise - (1 - q)).clamp(min=0) / q.clamp(min=1e-7)
    return torch.log1p(inside * (np.exp(b) - 1)) / b


class Preset(nn.Module):
    """Encoder and decoder of widths 1,024 and 512, layer-normalised, 256 bits, batch one-hot at the decoder's input.

    Parameters
    ----------
    n_genes, n_batches, n_bits, widths
        Sizes of input, covariate, code and hidden layers.
    restricted
        Couplings between the two halves of the bits alone.
    """

    pairs: Tensor

    def __init__(self, n_genes: int, n_batches: int, n_bits: int, widths: tuple[int, ...], restricted: bool = False):
        super().__init__()
        self.n_batches = n_batches
        self.encoder = nn.Sequential(*_layers(n_genes, widths), nn.Linear(widths[-1], n_bits))
        self.decoder = nn.Sequential(*_layers(n_bits + n_batches, widths[::-1]), nn.Linear(widths[0], n_genes))
        self.fields = nn.Parameter(torch.zeros(n_bits))
        self.couplings = nn.Parameter(torch.randn(n_bits, n_bits) * 0.01)
        pairs = torch.ones(n_bits, n_bits)
        if restricted:
            # a restricted machine: couplings between the two halves of the bits alone
            pairs[: n_bits // 2, : n_bits // 2] = pairs[n_bits // 2 :, n_bits // 2 :] = 0
        self.register_buffer("pairs", pairs)

    def symmetric(self) -> Tensor:
        """Couplings of the prior, symmetric with zero diagonal."""
        w = torch.triu(self.couplings * self.pairs, 1)
        return w + w.T

    def score(self, z: Tensor) -> Tensor:
        """Return b.z + z'Wz / 2 of each row: minus the prior's energy."""
        return z @ self.fields + 0.5 * ((z @ self.symmetric()) * z).sum(-1)


def _layers(n_in: int, widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(n_in, width), nn.LayerNorm(width), nn.LeakyReLU(), nn.Dropout(0.1)]
        n_in = width
    return layers


def fit_preset(
    task: Task,
    exact_kl: bool = False,
    n_bits: int = 256,
    widths: tuple[int, ...] = (1024, 512),
    kl_weight: float = 1e-4,
    batch_size: int = 256,
    patience: int = 10,
    restricted: bool = False,
) -> Fitted:
    """Train the preset.

    Parameters
    ----------
    task
        The cells and the budget; width, depth and batch size are the preset's own.
    exact_kl
        False: as published. Bits pass a hard threshold on their way into the prior's term, so it gives the encoder
        no gradient, its entropy is averaged over bits where the energy is summed, it lacks log Z, and the embedding
        is one random draw of the smoothed bits. True: the exact KL of a factorial posterior in nats, log Z's gradient
        by persistent chains, and the posterior probabilities as embedding.
    n_bits, widths, kl_weight, batch_size, patience
        As in the authors' defaults: squared error on log-normalised counts, Adam at 1e-3, early stopping on the
        held-out loss.
    restricted
        Couplings between the first and the second half of the bits only, as in the preset of the coherent Ising machine
        vendor's public plugin (written from its description: 128 + 128 bits, KL weight 1e-5).
    """
    batch_names = _batches(task.adata, task.batch_key)
    x, onehot = _inputs(task.adata, task, batch_names)
    order = np.random.default_rng(task.seed).permutation(len(x))
    cut = int(np.ceil(0.9 * len(x)))
    rows, held = order[:cut], order[cut:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        model = Preset(x.shape[1], onehot.shape[1], n_bits, tuple(widths), restricted)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        chains = torch.bernoulli(torch.full((512, n_bits), 0.5))
        best, best_value, waited, curve = copy.deepcopy(model.state_dict()), np.inf, 0, []
        by_epoch: dict[int, np.ndarray] = {}
        for epoch in range(1, task.max_epochs + 1):
            model.train()
            losses = []
            for part in np.array_split(
                np.random.default_rng((task.seed, epoch)).permutation(rows), max(1, cut // batch_size)
            ):
                chains = _gibbs(model, chains)
                loss = _loss(model, x[part], onehot[part], chains, kl_weight, exact_kl)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
            model.eval()
            with torch.no_grad():
                value = (
                    float(_loss(model, x[held], onehot[held], chains, kl_weight, exact_kl)) if len(held) else losses[-1]
                )
            curve.append((epoch, float(np.mean(losses)), value))
            if epoch in task.snapshots:
                by_epoch[epoch] = _embed(model, x, task.seed, exact_kl)
            if value < best_value:
                # a copy: live tensors would go on training
                best, best_value, waited = copy.deepcopy(model.state_dict()), value, 0
            elif (waited := waited + 1) >= patience:
                break
    model.load_state_dict(best)
    model.eval()

    def embed(adata: AnnData | None = None) -> np.ndarray:
        cells = x if adata is None else _inputs(adata, task, batch_names)[0]
        return _embed(model, cells, task.seed, exact_kl)

    history = pd.DataFrame(curve, columns=["epoch", "train_loss", "validation_loss"]).set_index("epoch")
    return Fitted(embed, history=history, model=_Holder(model), by_epoch=by_epoch)


class _Holder:
    """Holds the network under the name that `Fitted.fingerprint` reads."""

    def __init__(self, module: nn.Module):
        self.module = module


def _loss(model: Preset, x: Tensor, onehot: Tensor, chains: Tensor, kl_weight: float, exact: bool) -> Tensor:
    logits = model.encoder(x)
    bits = spike_and_exponential(logits, torch.rand_like(logits))
    made = model.decoder(torch.cat([bits, onehot], dim=-1))
    error = ((made - x) ** 2).sum(-1).mean()
    q = torch.sigmoid(logits)
    entropy = -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q))
    # the gradient of log Z is that of the chains' mean score
    negative = model.score(chains).mean()
    if exact:
        kl = -entropy.sum(-1).mean() - model.score(q).mean() + negative
    else:
        hard = (bits > 0.5).float()
        kl = -entropy.detach().mean() - model.score(hard).mean() + negative
    return error + kl_weight * kl


@torch.no_grad()
def _gibbs(model: Preset, chains: Tensor) -> Tensor:
    """Return the chains after one sequential Gibbs sweep."""
    w, fields = model.symmetric(), model.fields
    noise = torch.rand_like(chains)
    for i in range(chains.shape[1]):
        chains[:, i] = (noise[:, i] < torch.sigmoid(fields[i] + chains @ w[i])).float()
    return chains


def _embed(model: Preset, x: Tensor, seed: int, exact: bool) -> np.ndarray:
    was = model.training
    model.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        logits = model.encoder(x)
        out = torch.sigmoid(logits) if exact else spike_and_exponential(logits, torch.rand_like(logits))
    model.train(was)
    return out.numpy()


def _batches(adata: AnnData, key: str | None) -> list[str]:
    return [] if key is None else sorted(adata.obs[key].astype(str).unique())


def _inputs(adata: AnnData, task: Any, batch_names: list[str]) -> tuple[Tensor, Tensor]:
    log = log_normalised(adata, task.layer).X
    x = torch.from_numpy(np.asarray(log.toarray() if hasattr(log, "toarray") else log, dtype=np.float32))
    if task.batch_key is None:
        return x, torch.zeros(len(x), 0)
    values = adata.obs[task.batch_key].astype(str).to_numpy()
    return x, torch.from_numpy((values[:, None] == np.array(batch_names)[None]).astype(np.float32))
