"""Do bits mean the same from seed to seed? Bits of two trainings matched one to one by the cells in which they are on.

    python -m experiments.evaluation.bit_stability DIR/integration/kang_pbmc_ifnb_1975.h5ad --seeds 0 1 2
    python -m experiments.evaluation.bit_stability DIR/integration/kang_pbmc_ifnb_1975.h5ad --model drvi --seeds 0 1 2

One model is trained a seed on all cells. For each pair of seeds, bits that vary (standard deviation over cells above .05) are
matched one to one so that the sum of the absolute correlations of their probabilities over cells is largest. Of the matched
pairs: the mean absolute correlation, the share above .5 and .8, the same of a null in which one model's cells are shuffled, the
mean correlation of their effects on genes, and that of their couplings, signs turned where a bit is turned. "explained" is the
mean share of a bit's variance that all bits of the other model explain linearly: high where the same information is spread
differently. `--model drvi` asks the same of the dimensions of DRVI (Moinfar and Theis, bioRxiv 2024; `pip install drvi-py`):
32 of them, its default, in the place of bits, without couplings; its effects are those of a standard deviation up less one down
about the mean cell. `--condition COLUMN --control NAME` prints each training's best AUROC of one factor for "not control".
"""

from __future__ import annotations

import argparse
import itertools
import json
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.data.datasets import load, select_hvgs
from experiments.methods.base import one_thread
from experiments.run_folder import quiet
from samplers.errors import InputError, require

#: Standard deviation over cells below which a bit says nothing of them.
VARIES = 0.05


@dataclass(frozen=True)
class Bits:
    """What is compared of one training's bits.

    Attributes
    ----------
    q
        Probabilities, `(n_cells, n_bits)`.
    effects
        Changes of log expression, `(n_bits, n_genes)`.
    couplings
        `(n_bits, n_bits)`, or None where there are none.
    """

    q: np.ndarray
    effects: np.ndarray
    couplings: np.ndarray | None


def train(adata: Any, batch_key: str | None, seed: int, epochs: int) -> Bits:
    """Return the bits of one training that vary over the cells.

    Parameters
    ----------
    adata
        Cells with counts in X.
    batch_key
        Column of obs with the batch, or None.
    seed
        Of the training.
    epochs
        How many.
    """
    from qbmvae import QBMVAE

    QBMVAE.setup_anndata(adata, batch_key=batch_key)
    model = QBMVAE(adata)
    model.train(max_epochs=epochs, seed=seed, progress_bar=False, accelerator="cpu")
    q = np.asarray(model.get_latent_representation(representation="probabilities"), dtype=np.float64)
    rows = np.flatnonzero(q.std(0) > VARIES)
    W: np.ndarray = model.module.vae.prior.get_parameter("W").detach().numpy()
    return Bits(q[:, rows], model.bit_effects().to_numpy()[rows], W[np.ix_(rows, rows)])


def train_drvi(adata: Any, batch_key: str | None, seed: int, epochs: int) -> Bits:
    """Return the dimensions of one training of DRVI that vary over the cells; parameters as in `train`.

    Parameters
    ----------
    adata, batch_key, seed, epochs
        As in `train`.

    Raises
    ------
    InputError
        Where `drvi-py` is not installed.
    """
    try:
        from drvi.model import DRVI
    except ImportError as error:
        raise InputError("--model drvi needs a package that is not installed: pip install drvi-py") from error
    import scvi

    scvi.settings.seed = seed
    cells = adata.copy()
    DRVI.setup_anndata(cells, is_count_data=True, categorical_covariate_keys=None if batch_key is None else [batch_key])
    model = DRVI(cells)
    model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, logger=None)
    z = np.asarray(model.get_latent_representation(), dtype=np.float64)
    rows = np.flatnonzero(z.std(0) > VARIES)
    steps = np.eye(z.shape[1])[rows] * z.std(0)[rows, None]
    batch = None if batch_key is None else np.repeat(cells.obs[[batch_key]].to_numpy()[:1], len(rows), axis=0)
    options = {"cat_values": batch, "map_cat_values": batch is not None}
    up, down = (model.decode_latent_samples((z.mean(0) + s * steps).astype(np.float32), **options) for s in (1, -1))
    return Bits(z[:, rows], np.asarray(up - down, dtype=np.float64), None)


def compare(one: Bits, other: Bits, seed: int = 0) -> dict[str, float]:
    """Return how alike the matched bits of two trainings are, see the module's docstring.

    Parameters
    ----------
    one, other
        Bits of the same cells and genes.
    seed
        Of the null's shuffle.
    """
    a, b, sign = match(one.q, other.q)
    matched = np.abs(_correlations(one.q, other.q)[a, b])
    shuffled = np.random.default_rng(seed).permutation(other.q)
    null = np.abs(_correlations(one.q, shuffled)[match(one.q, shuffled)[:2]])
    effects = [np.corrcoef(x, s * y)[0, 1] for x, y, s in zip(one.effects[a], other.effects[b], sign, strict=True)]
    found = {
        "bits": float(len(a)),
        "matched": float(matched.mean()),
        "above .5": float((matched > 0.5).mean()),
        "above .8": float((matched > 0.8).mean()),
        "null": float(null.mean()),
        "effects": float(np.mean(effects)),
        "explained": (_explained(one.q, other.q) + _explained(other.q, one.q)) / 2,
    }
    if one.couplings is None or other.couplings is None or len(a) < 3:
        return found
    above = np.triu_indices(len(a), 1)
    pairs = one.couplings[np.ix_(a, a)][above], (other.couplings[np.ix_(b, b)] * np.outer(sign, sign))[above]
    return found | {"couplings": float(np.corrcoef(*pairs)[0, 1])}


def best_auroc(found: Bits, treated: np.ndarray) -> float:
    """Return the best AUROC with which one factor, up or down, tells the treated cells, `(n_cells,)` bool; .5 for none."""
    from sklearn.metrics import roc_auc_score

    each = [roc_auc_score(treated, column) for column in found.q.T]
    return float(max((max(value, 1 - value) for value in each), default=0.5))


def match(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of both that belong together, and the signs of their correlations, `(n_pairs,)` each."""
    from scipy.optimize import linear_sum_assignment

    found = _correlations(one, other)
    a, b = linear_sum_assignment(-np.abs(found))
    return a, b, np.sign(found[a, b])


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    x, y = ((v - v.mean(0)) / v.std(0) for v in (one, other))
    return x.T @ y / len(x)


def _explained(one: np.ndarray, other: np.ndarray) -> float:
    x = np.column_stack([np.ones(len(other)), other])
    rest = one - x @ np.linalg.lstsq(x, one, rcond=None)[0]
    return float(1 - np.mean(rest.var(0) / one.var(0)))


MODELS = {"qbmvae": train, "drvi": train_drvi}


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--batch-key")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--model", choices=sorted(MODELS), default="qbmvae")
    parser.add_argument("--condition", help="column of a condition, to print the best AUROC of one factor for it")
    parser.add_argument("--control", help="the condition's untreated value")
    options = parser.parse_args()
    if len(set(options.seeds)) < 2:
        parser.error("--seeds takes two or more: stability is between trainings")
    with quiet(), warnings.catch_warnings(), one_thread():
        adata = select_hvgs(load(options.path), 2000, options.batch_key)
        if options.condition is not None:
            values = adata.obs[options.condition].astype(str)
            require(options.control, set(values), f"column {options.condition!r} has no value")
        fit = MODELS[options.model]
        trained = {seed: fit(adata, options.batch_key, seed, options.max_epochs) for seed in options.seeds}
    if options.condition is not None:
        treated = (values != options.control).to_numpy()
        best = {seed: round(best_auroc(found, treated), 3) for seed, found in trained.items()}
        print(json.dumps({"best AUROC of one factor": best}))
    rows = {f"{a}, {b}": compare(trained[a], trained[b]) for a, b in itertools.combinations(trained, 2)}
    for pair, row in rows.items():
        print(json.dumps({"seeds": pair, **{name: round(value, 3) for name, value in row.items()}}))
    print(pd.DataFrame(rows).T.agg(["mean", "std"]).round(3).T.to_string())


if __name__ == "__main__":
    main()
