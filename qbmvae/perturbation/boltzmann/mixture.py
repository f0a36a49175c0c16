"""Cells made in several ways, each its share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData


def allotted(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many of n cells each way makes, by largest remainders.

    Parameters
    ----------
    n
        Cells.
    shares
        Way to its share.
    """
    exact = {how: n * share for how, share in shares.items()}
    out = {how: int(value + 1e-9) for how, value in exact.items()}
    for how in sorted(exact, key=lambda name: out[name] - exact[name])[: n - sum(out.values())]:
        out[how] += 1
    return out


def mixed(
    predict: Callable[..., AnnData],
    n_cells: Mapping[str, int],
    controls: AnnData,
    shares: Mapping[str, float],
    n_control: int | None,
    seed: int,
    **more: Any,
) -> AnnData:
    """Return what `BoltzmannPerturbation.predict` does, the cells of a perturbation made in several ways, in random order.

    Parameters
    ----------
    predict
        Of the model.
    n_cells, controls, n_control, seed
        As there.
    shares
        Way to its share of the cells.
    more
        Dose, clamp and mean.
    """
    import anndata as ad

    rng = np.random.default_rng(seed)
    each = {name: allotted(int(n), shares) for name, n in n_cells.items()}
    parts, owner = [], []
    for k, how in enumerate(shares):
        wanted = {name: counts[how] for name, counts in each.items()}
        kept = n_control if k == len(shares) - 1 else 0
        own = int(rng.integers(2**31))
        parts.append(predict(wanted, controls, n_control=kept, seed=own, how=how, **more))
        owner.append(np.repeat(np.arange(len(wanted)), list(wanted.values())))
    whole = ad.concat(parts, index_unique="-")
    label = np.concatenate([*owner, np.full(whole.n_obs - sum(map(len, owner)), len(n_cells))])
    # control cells come last and stay in their order
    key = np.where(label == len(n_cells), np.arange(len(label)) / len(label), rng.random(len(label)))
    whole = whole[np.lexsort([key, label])].copy()
    whole.obs_names = [f"predicted-{i}" for i in range(whole.n_obs)]
    return whole
