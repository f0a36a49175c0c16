"""What the prior is worth, in the quantities that a prior controls: nats of held-out cells, and cells generated from it.

    python -m experiments.comparison.priors experiments/configs/priors.yaml --data-root DIR --out priors
    python -m experiments.comparison.priors --table priors

A fifth of the cells, stratified by type, is held out. Of them: the ELBO at hard bits and KL weight 1, the importance-weighted
bound (50 draws) and the rate, KL(q || p). Generated cells against the training cells: two-sample accuracy of 5 nearest
neighbours in 30 principal components (.5 is best) and squared MMD, types' shares and markers; the ceiling of the first is
that of the training cells decoded from draws of their own codes, which no prior can beat; "at_means" decodes each bit's mean
given the others instead of its draw; "apart" decodes the same codes at the depth and in the batch of any training cell.
"boltzmann, unrefined" is the machine as training leaves it, before `refine_prior`; what the refit is worth is a table of its
own, held-out KL before and after. The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import samplers
from experiments.comparison.config import Comparison, DataSpec, ModelSpec, load_config
from experiments.comparison.grid import read_rows, require_all, run_entries
from experiments.comparison.integration import with_files
from experiments.comparison.results import entries
from experiments.comparison.statistics import mean_and_half
from experiments.data.datasets import load, select_hvgs
from experiments.methods.registry import METHODS
from experiments.report.values import Spread, markdown
from experiments.run_folder import quiet
from experiments.tasks.arrays import stratified_subsample
from experiments.tasks.classification import folds
from experiments.tasks.generation import joint_pca, marker_recovery, mmd, two_sample_knn

#: Cells generated at most.
GENERATED = 1000
COLUMNS = ("elbo", "iwae", "rate", "two_sample", "at_means", "apart", "ceiling", "gap", "mmd", "share_error", "overlap")


def ground_annealing(num_sweeps: int = 20) -> Any:
    """Return `dwave-samplers`' annealing with its own schedule, which seeks ground states: what a bad sampler costs."""
    from dwave.samplers import SimulatedAnnealingSampler

    return samplers.from_dimod(SimulatedAnnealingSampler(), num_sweeps=num_sweeps)


@lru_cache(maxsize=1)
def prepared(data: DataSpec, root: str) -> Any:
    """Return a data set's cells, read once in a row: a subsample where asked for, variable genes, cells with a batch."""
    adata = load(data.source, root)
    adata.obs_names = adata.obs_names.astype(str)
    if data.n_cells is not None:
        keys = [k for k in (data.batch_key, data.label_key) if k is not None]
        adata = adata[stratified_subsample(adata.obs[keys].astype(str).agg("\x00".join, axis=1), data.n_cells)].copy()
    if data.batch_key is not None:
        adata = adata[adata.obs[data.batch_key].notna()].copy()
    if data.n_top_genes is not None:
        adata = select_hvgs(adata, data.n_top_genes, data.batch_key, data.layer)
    return adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()


def compute(path: Path, comparison: Comparison, data: DataSpec, model: ModelSpec, seed: int) -> dict[str, Any]:
    """Compute an entry of the grid.

    Parameters
    ----------
    path
        Its result file.
    comparison, data, model, seed
        The entry.
    """
    with quiet():
        adata = prepared(data, comparison.data_root)
        return {"rows": run(adata, data, model, seed, data.max_epochs or comparison.max_epochs)}


def run(adata: Any, data: DataSpec, model: ModelSpec, seed: int, max_epochs: int) -> list[dict[str, Any]]:
    """Return the scores of one prior; of the default one also before its refit.

    Parameters
    ----------
    adata, data
        Cells, and what is known of their columns.
    model
        The prior, as a method with options.
    seed, max_epochs
        Of the training.
    """
    from experiments.methods.base import Task
    from experiments.methods.qbmvae import _with_shuffled_couplings
    from qbmvae import QBMVAE

    samplers.register("ground-annealing", ground_annealing)
    options = {**METHODS[model.method].options, **model.options}
    settings = {**METHODS[model.method].options.get("train", {}), **options.pop("train", {}), "max_epochs": max_epochs}
    strata = adata.obs[data.label_key].astype(str).to_numpy() if data.label_key else np.zeros(adata.n_obs)
    train, test = next(folds(strata, None, 5, seed))
    cells, held_out = adata[np.sort(train)].copy(), adata[np.sort(test)].copy()
    expressed = np.asarray(cells.X.sum(0)).ravel() > 0
    cells, held_out = cells[:, expressed].copy(), held_out[:, expressed].copy()
    QBMVAE.setup_anndata(cells, batch_key=data.batch_key, layer=data.layer)
    shuffled = options.pop("shuffled", False)
    found = QBMVAE(cells, **options)
    if shuffled:
        task = Task(cells, data.batch_key, max_epochs=max_epochs, seed=seed)
        found = _with_shuffled_couplings(found, cells, task, options, {**settings})
    common = {"accelerator": "cpu", "progress_bar": False, "seed": seed}
    default = model.name == "boltzmann"
    found.train(**{**settings, **common, **({"refine_prior": False} if default else {})})
    base = {"dataset": data.name, "model": model.name, "seed": seed}
    if not default:
        refined = {} if found.refinement_ is None else {"refinement": found.refinement_}
        return [base | refined | scores(found, cells, held_out, data, seed)]
    rows = [{**base, "model": "boltzmann, unrefined"} | scores(found, cells, held_out, data, seed)]
    return [*rows, base | {"refinement": found.refine_prior(seed=seed)} | scores(found, cells, held_out, data, seed)]


def scores(model: Any, cells: Any, held_out: Any, data: DataSpec, seed: int) -> dict[str, Any]:
    """Return the nats of held-out cells, and how generated ones compare with the training cells.

    Parameters
    ----------
    model
        Trained `QBMVAE`.
    cells, held_out
        Training cells and others.
    data, seed
        What is known of the columns; seed of draws.
    """
    from qbmvae.core.priors.boltzmann import BoltzmannPrior

    elbo = model.get_elbo(held_out, seed=seed)
    cost = model.get_reconstruction_error(held_out, seed=seed)["reconstruction_loss"]
    n = min(GENERATED, cells.n_obs)
    drawn = model.generate(n_cells=n, seed=seed)
    made = drawn.X
    real, generated = joint_pca(cells.X, made)
    result = {
        "elbo": elbo,
        "iwae": model.get_marginal_ll(held_out, n_mc_samples=50, seed=seed),
        "rate": -elbo - cost,
        "two_sample": two_sample_knn(real, generated, seed=seed),
        "mmd": mmd(real, generated, seed),
        "apart": two_sample_knn(*joint_pca(cells.X, apart(model, drawn.obsm["X_bits"], seed)), seed=seed),
    }
    if data.label_key is not None:
        result |= marker_recovery(cells.X, cells.obs[data.label_key].astype(str), made)
    if model.module.vae.prior.discrete:
        rows = np.sort(np.random.default_rng(seed).choice(cells.n_obs, n, replace=False))
        own = model.clamp_cells(indices=rows, clamp={}, seed=seed).X
        result["ceiling"] = two_sample_knn(*joint_pca(cells.X, own), seed=seed)
    if isinstance(model.module.vae.prior, BoltzmannPrior):
        result["at_means"] = two_sample_knn(*joint_pca(cells.X, at_means(model, n, seed)), seed=seed)
    return {name: float(value) for name, value in result.items()}


def at_means(model: Any, n: int, seed: int) -> Any:
    """Return counts decoded from each bit's mean given the others, at draws of the prior, instead of from the draws.

    Parameters
    ----------
    model
        A trained `QBMVAE` with couplings of pairs of bits.
    n
        How many cells.
    seed
        Of draws, library sizes and counts.
    """
    from qbmvae.model import cells, generation, library_sizes

    prior, rng = model.module.vae.prior, np.random.default_rng(seed)
    W, bias = prior.W.detach().numpy(), prior.bias.detach().numpy()
    draws = model.sample_prior(n, seed=rng)
    known = library_sizes.libraries(model, model.train_indices)
    like = library_sizes.training_like(known, cells.batch_names(model.registry_), draws, None, rng)
    return generation.decoded(model.module, 1 / (1 + np.exp(-(draws @ W + bias))), *like, seed)


def apart(model: Any, codes: np.ndarray, seed: int) -> Any:
    """Return counts of codes, each decoded at the depth and in the batch of any training cell, whatever the code.

    Parameters
    ----------
    model
        A trained `QBMVAE`.
    codes
        `(n_cells, n_latent)`.
    seed
        Of library sizes and counts.
    """
    from qbmvae.model import cells, generation, library_sizes

    sizes, covariates, numbers, _ = library_sizes.libraries(model, model.train_indices)
    any_cell, rng = (sizes, covariates, numbers, None), np.random.default_rng(seed)
    like = library_sizes.training_like(any_cell, cells.batch_names(model.registry_), codes, None, rng)
    return generation.decoded(model.module, codes, *like, seed)


def table(rows: list[dict[str, Any]]) -> str:
    """Return means over seeds, what the refit is worth, and ELBO less the Boltzmann machine's, paired by seed, as Markdown.

    Intervals of 95 %, Student's t over the seeds.
    """
    # where every fit failed there is no row, and the failure is what is told
    frame = pd.DataFrame(rows, columns=None if rows else ["dataset"])
    if "ceiling" in frame:
        frame["gap"] = frame["two_sample"] - frame["ceiling"]
    lines = []
    for name, part in frame.groupby("dataset", sort=False):
        by_model = part.groupby("model", sort=False)
        shown = by_model[[c for c in COLUMNS if c in part]].mean().round(3)
        shown.insert(0, "seeds", by_model["seed"].nunique())
        pairs = part.pivot_table(index="seed", columns="model", values="elbo")
        if "boltzmann" in pairs:
            against = {m: _spread(pairs[m] - pairs["boltzmann"]) for m in pairs if m != "boltzmann"}
            shown["elbo less boltzmann's"] = shown.index.map(lambda m, a=against: a.get(m, ""))
        lines += [f"### {name}", "", _markdown(shown), ""]
    if "refinement" in frame and frame["refinement"].notna().any():
        known = frame[frame["refinement"].notna()]
        fits = pd.concat(
            [known[["dataset", "model", "seed"]], pd.json_normalize(known["refinement"]).set_axis(known.index)], axis=1
        )
        found = fits.groupby(["model", "dataset"], sort=False)
        shown = found[["kl_before", "kl_after"]].mean().round(2)
        shown.insert(0, "seeds", found["seed"].nunique())
        shown["improvement"] = found["improvement"].agg(_spread)
        shown["least"] = found["improvement"].min().round(2)
        shown.index = [f"{model}, {data}" for model, data in shown.index]
        lines += ["### Refit of the prior alone: held-out KL, nats a cell", "", _markdown(shown), ""]
    return "\n".join(lines)


def _spread(differences: pd.Series) -> str:
    return Spread.around(*mean_and_half(differences)).text(2)


def _markdown(shown: pd.DataFrame) -> str:
    rows = zip(shown.index, shown.to_numpy(dtype=object), strict=True)
    texts = ([str(i), *(v if isinstance(v, str) else "" if pd.isna(v) else f"{v:g}" for v in row)] for i, row in rows)
    return markdown(["prior", *shown.columns], texts)


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="priors")
    parser.add_argument("--data-root")
    parser.add_argument("--out", type=Path, default=Path("priors"), help="folder of the results")
    parser.add_argument("--datasets", nargs="+")
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--table", type=Path, help="print the table of a folder and do nothing else")
    options = parser.parse_args()
    wanted = {name: getattr(options, name) for name in ("datasets", "models", "seeds", "max_epochs", "data_root")}
    if options.models:
        # a part of the table has no model of ours to lead it
        wanted["ours"] = options.models[0]
    comparison = load_config(options.config, {name: value for name, value in wanted.items() if value is not None})
    grid = []
    if options.table is None:
        grid = entries(with_files(comparison, print))
        run_entries(options.out, grid, compute, workers=options.workers)
    # in the configuration's order
    known = [d.name for d in comparison.datasets] + [m.name for m in comparison.models]
    places = {name: place for place, name in enumerate(known)}
    rows = read_rows(options.table or options.out)
    print(
        table(
            sorted(
                rows,
                key=lambda r: [places.get(r[k].removesuffix(", unrefined"), len(places)) for k in ("dataset", "model")],
            )
        )
    )
    require_all(options.out, grid)


if __name__ == "__main__":
    main()
