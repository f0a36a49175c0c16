"""Where a training's held-out ELBO is best, what the end costs, and what the embedding gains meanwhile.

At most 500 cells of each data set, all epochs to the end, ours and scVI, negative binomial with and without zero inflation,
with dropout in our decoder: the best held-out -ELBO and its epoch, that of the last epoch, and the share of cells whose label
their 15 nearest neighbours tell (five folds) at an eighth of the epochs and at the end, means and standard deviations over
seeds. Run with `python -m experiments.benchmarks.overfitting --data FOLDER --picture curves.svg`, which draws the curves too;
`--runs FOLDER` keeps each training's figures, and reads those that are there.

Parameters
----------
adata, label
    Cells and their types, `(n_cells,)`.
epochs, seed
    Of the training.
options, likelihood
    Options of `QBMVAE`; likelihood of scVI.
curve, early, late
    Held-out -ELBO by epoch, and neighbours' accuracy at an eighth of the epochs and at the end.
seeds
    Rows of one data set and model, see `figures`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.report import arguments, finish, one_quiet_thread
from experiments.data.datasets import load, select_hvgs
from samplers.files import write_json

SETS = (
    "integration/panc8_small_5tech.h5ad",
    "trajectory/primate_neural_diff_croconet.h5ad",
    "integration/scmix_celllines_5batches.h5ad",
    "integration/kang_pbmc_ifnb_1975.h5ad",
)
OURS = {
    "nb": {"gene_likelihood": "nb"},
    "nb, decoder dropout .3": {"gene_likelihood": "nb", "decoder_dropout_rate": 0.3},
    "zinb": {"gene_likelihood": "zinb"},
    "zinb, decoder dropout .3": {"gene_likelihood": "zinb", "decoder_dropout_rate": 0.3},
}
CELLS, GENES = 500, 2000


def cells_of(path: str, root: Path) -> Any:
    """Return at most `CELLS` cells of a data set with its most variable genes, all of them with counts."""
    adata = load(path, root)
    rows = np.sort(np.random.default_rng(0).permutation(adata.n_obs)[:CELLS])
    adata = select_hvgs(adata[rows].copy(), GENES, "batch")
    adata = adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()
    adata = adata[:, np.asarray(adata.X.sum(0)).ravel() > 0].copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str).astype("category")
    return adata


def accuracy(z: np.ndarray, label: np.ndarray) -> float:
    """Return the share of cells whose label their neighbours in other folds tell."""
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    return float(cross_val_score(KNeighborsClassifier(15), z, label, cv=5).mean())


def ours(adata: Any, label: np.ndarray, epochs: int, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one training of `QBMVAE`."""
    from qbmvae import QBMVAE

    QBMVAE.setup_anndata(adata, batch_key="batch")
    model, known = QBMVAE(adata, **options), {}

    def look(trainer: Any) -> None:
        if trainer.epoch in (epochs // 8, epochs):
            known[trainer.epoch] = accuracy(model.get_latent_representation(), label)

    model.train(max_epochs=epochs, seed=seed, progress_bar=False, refine_prior=False, on_epoch=look)
    curve = model.history["elbo_validation"].iloc[:, 0].to_numpy()
    return figures(curve, known[epochs // 8], known[epochs])


def scvi_model(adata: Any, label: np.ndarray, epochs: int, seed: int, likelihood: str) -> dict[str, Any]:
    """Return the figures of one training of scVI."""
    import scvi
    from lightning.pytorch.callbacks import LambdaCallback

    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    model, known = scvi.model.SCVI(adata, n_layers=2, gene_likelihood=likelihood), {}

    def look(trainer: Any, module: Any) -> None:
        if trainer.current_epoch + 1 in (epochs // 8, epochs):
            model.is_trained = True
            known[trainer.current_epoch + 1] = accuracy(model.get_latent_representation(), label)
            model.is_trained = False
            module.train()

    model.train(
        max_epochs=epochs, check_val_every_n_epoch=1, accelerator="cpu", enable_progress_bar=False,
        callbacks=[LambdaCallback(on_train_epoch_end=look)],
    )  # fmt: skip
    # its KL is warmed up over 400 epochs: the bound takes it whole
    history = model.history
    curve = history["reconstruction_loss_validation"].iloc[:, 0] + history["kl_local_validation"].iloc[:, 0]
    return figures(curve.to_numpy(dtype=float), known[epochs // 8], known[epochs])


def figures(curve: np.ndarray, early: float, late: float) -> dict[str, Any]:
    """Return the figures of one training from the curve of the held-out -ELBO."""
    best = int(curve.argmin())
    return {
        "best -ELBO": float(curve[best]),
        "at epoch": best + 1,
        "-ELBO at the end": float(curve[-1]),
        "kNN at 1/8": early,
        "kNN at the end": late,
        "curve": [round(float(value), 1) for value in curve],
    }


def over_seeds(seeds: list[dict[str, Any]]) -> dict[str, str]:
    """Return means and standard deviations of the figures."""
    found = {}
    for name in ("best -ELBO", "at epoch", "-ELBO at the end", "kNN at 1/8", "kNN at the end"):
        values, digits = np.array([row[name] for row in seeds], dtype=float), 3 if name.startswith("kNN") else 0
        spread = f" ± {values.std(ddof=1):,.{digits}f}" if len(seeds) > 1 else ""
        found[name] = f"{values.mean():,.{digits}f}{spread}"
    return found


def draw(curves: dict[tuple[str, str], list[np.ndarray]], path: Path) -> None:
    """Draw the held-out -ELBO by epoch, a panel a data set, a colour a model and a line a seed; a dot marks its least value.

    Parameters
    ----------
    curves
        By data set and model, one a seed.
    path
        The picture to write.
    """
    import matplotlib.pyplot as plt

    sets, models = (list(dict.fromkeys(names)) for names in zip(*curves, strict=True))
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained", squeeze=False)
    for axis, name in zip(axes.flat, sets, strict=False):
        least = min(c.min() for (data, _), seeds in curves.items() if data == name for c in seeds)
        for k, model in enumerate(models):
            line = {"color": f"C{k}", "linestyle": "--" if model.startswith("scVI") else "-"}
            for seed, curve in enumerate(curves[name, model]):
                label = "" if seed else model
                axis.plot(np.arange(1, len(curve) + 1), curve, linewidth=0.9, alpha=0.8, label=label, **line)
                axis.plot(curve.argmin() + 1, curve.min(), "o", markersize=4, color=f"C{k}")
        # the first epochs lie far above
        axis.set(title=name, xlabel="epoch", ylabel="held-out -ELBO, nats a cell", ylim=(0.95 * least, 2.5 * least))
    axes[0, 0].legend(fontsize=7)
    figure.savefig(path)


def main() -> None:
    """Run the study and print a table."""
    args = arguments(
        __doc__, data=(Path(), "folder of the data sets"), sets=(list(SETS), "files in that folder"), epochs=400, seeds=[0],
        models=(["ours", "scVI"], "models whose name starts so"), picture=(Path(), "picture of the curves to write"),
        runs=(Path(), "folder of finished trainings"), scvi_seeds=([0], "seeds of scVI, which takes longest"),
    )  # fmt: skip
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    one_quiet_thread()
    for path in args.sets:
        adata = cells_of(path, args.data)
        label = adata.obs["cell_type"].astype(str).to_numpy()
        runs: dict[str, tuple[Callable[..., dict[str, Any]], Any]]
        runs = {f"ours, {name}": (ours, options) for name, options in OURS.items()}
        runs |= {f"scVI, {likelihood}": (scvi_model, likelihood) for likelihood in ("nb", "zinb")}
        chosen = [name for name in runs if name.startswith(tuple(args.models))]
        seeds = {name: args.seeds if name.startswith("ours") else args.scvi_seeds for name in chosen}
        for name, seed in [(model, k) for model in chosen for k in seeds[model]]:
            function, options = runs[name]
            kept = args.runs / f"{Path(path).stem} {name} {args.epochs} {seed}.json"
            if args.runs == Path() or not kept.exists():
                start = time.process_time()
                row = function(adata.copy(), label, args.epochs, seed, options)
                row["CPU s"] = time.process_time() - start
                if args.runs != Path():
                    write_json(kept, row)
                print(Path(path).stem, name, seed, {k: v for k, v in row.items() if k != "curve"}, flush=True)
            else:
                row = json.loads(kept.read_text())
            found.setdefault((Path(path).stem, name), []).append(row)
    if args.picture != Path():
        draw({key: [np.array(row["curve"]) for row in of_seeds] for key, of_seeds in found.items()}, args.picture)
    rows = [
        {"data": data, "model": name, "seeds": len(of_seeds), **over_seeds(of_seeds)}
        for (data, name), of_seeds in found.items()
    ]
    finish(f"held-out bounds of {CELLS} cells, {args.epochs} epochs, 1 thread", rows, args.out)


if __name__ == "__main__":
    main()
