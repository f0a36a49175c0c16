"""Circuit, Boltzmann machine, perceptron or nothing? One table: perturbed cells, drug response and generation, at equal size and time.

    python -m experiments.comparison.components --data-root DIR --out FOLDER

Cells: a QBM-VAE of ten bits with a uniform prior encodes the cells of Kang et al. (2018); the stimulated cells of one type are
held out, another type with each seed. Each form of `forms` is fitted to the codes of the others for the same CPU seconds: once to
all of them ("generation", scored on held-out cells), once given type and stimulation ("perturbation", scored on the stimulated
cells of the type held out, of which only the controls were seen). Scores: nats a cell of the codes, and how often five nearest
neighbours tell decoded cells from real ones (.5: never). "Cells' own codes" decodes the codes of the very cells that are scored.
Drug response: the network of `qbmvae.drug_response` with each as its head (1,291 to 1,322 weights) for the same number of epochs;
"nothing" is the mean of the drug plus that of the line. The same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.comparison.grid import Entry, require_all, run_experiment
from experiments.comparison.statistics import means
from experiments.data.datasets import load, select_hvgs
from experiments.report.values import Spread, markdown
from experiments.run_folder import quiet, write_text
from experiments.tasks.generation import joint_pca, two_sample_knn
from samplers.errors import InputError, require

#: Name of the form -> head of the drug network.
HEADS = {"circuit": "quantum", "machine": "boltzmann", "perceptron": "mlp"}
TITLES = {
    "machine": "Boltzmann machine",
    "nothing": "nothing (means)",
    "unchanged": "no change (its controls)",
    "own": "cells' own codes",
}
#: Scores of the table: column, title, decimals.
COLUMNS = {
    "perturbation_nats": ("perturbation, nats", 2),
    "perturbation": ("two-sample", 3),
    "within_drug": ("drugs, Pearson within drug", 3),
    "mse": ("MSE x 1000", 2),
    "generation_nats": ("generation, nats", 2),
    "generation": ("two-sample", 3),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is computed; see the module's options.

    Attributes
    ----------
    cells, types, type_key, condition_key, stimulated
        File of cells, the types held out with seeds 0, 1, ..., and how they are found.
    drugs
        Folder of the drug tables.
    n_bits, n_genes, epochs, seconds
        Of the VAE; CPU seconds of each fit of a form.
    pairs, drug_epochs
        Training pairs (a third as many validate and as many test) and epochs of the drug networks.
    """

    cells: str = "integration/kang_pbmc_ifnb_1975.h5ad"
    types: tuple[str, ...] = ("CD4T", "FCGR3A+Mono", "B", "NK", "CD14+Mono")
    type_key: str = "cell_type"
    condition_key: str = "condition"
    stimulated: str = "stimulated"
    drugs: str = "gdsc"
    n_bits: int = 10
    n_genes: int = 1000
    epochs: int = 30
    seconds: float = 1.0
    pairs: int = 1000
    drug_epochs: int = 10


def cells_entry(path: Path, settings: Settings, root: str, seed: int) -> dict[str, Any]:
    """Return the scores of every form on generation and perturbation, one seed.

    Parameters
    ----------
    path
        The result file; nothing else is written.
    settings, root, seed
        What, the data's folder, and the seed of everything.

    Raises
    ------
    InputError
        Where the cells have no such columns, types or condition.
    """
    import torch

    from experiments.comparison.forms import FORMS, fit_form, histogram
    from qbmvae import QBMVAE

    adata = load(settings.cells, root)
    for key in (settings.type_key, settings.condition_key):
        require(key, adata.obs, f"{settings.cells} has no column in obs named")
    adata = select_hvgs(adata, settings.n_genes)
    adata = adata[np.asarray(adata.X.sum(1)).ravel() > 0].copy()
    kind, target = adata.obs[settings.type_key].astype(str).to_numpy(), settings.types[seed % len(settings.types)]
    is_on = adata.obs[settings.condition_key].astype(str).to_numpy() == settings.stimulated
    names = sorted(set(kind))
    unseen = (kind == target) & is_on
    if not unseen.any() or is_on.all():
        raise InputError(f"{settings.cells} has no {settings.stimulated!r} cells of type {target!r}, or no others")
    rng = np.random.default_rng(seed)
    part = np.where(unseen, -1, rng.choice(3, len(kind), p=[0.7, 0.1, 0.2]))
    adata = adata[:, np.asarray(adata[part == 0].X.sum(0)).ravel() > 0].copy()
    train = adata[part == 0].copy()
    train.obs, train.uns = train.obs[[]], {}
    QBMVAE.setup_anndata(train)
    vae = QBMVAE(train, prior="uniform", n_latent=settings.n_bits)
    with quiet():
        vae.train(max_epochs=settings.epochs, seed=seed, progress_bar=False)
    q = torch.from_numpy(np.asarray(vae.get_latent_representation(adata, representation="probabilities")))
    mean = q[part == 0].mean(0)
    condition = np.array([names.index(k) for k in kind]) + len(names) * is_on
    design = np.vstack([np.hstack([np.eye(len(names)), np.full((len(names), 1), on)]) for on in (0.0, 1.0)])
    # of a generator of all cells there is one condition without features
    tasks = {
        "generation": (torch.zeros(1, 0), np.zeros(len(kind), np.int64), part == 2),
        "perturbation": (torch.from_numpy(design).float(), condition, unseen),
    }
    found: dict[str, dict[str, Any]] = {name: {} for name in (*FORMS, "own", "unchanged")}
    states = FORMS["nothing"](mean, 0).states

    def decoded(codes: np.ndarray, rows: np.ndarray) -> float:
        """Return how well neighbours tell decoded codes from the real cells of `rows`, of as many of each."""
        made = vae_cells(vae, codes, seed)
        return two_sample_knn(*joint_pca(adata.X[rows], made), seed=seed)

    for task, (features, group, test) in tasks.items():
        n = len(features)
        parts = [histogram(q[rows], torch.from_numpy(group[rows]), n, states) for rows in (part == 0, part == 1, test)]
        weights = torch.from_numpy(np.bincount(group[part == 0], minlength=n)).float().sqrt()
        weights, at = weights / weights.sum(), int(group[test][0])
        rows = np.flatnonzero(test)
        for name in FORMS:
            fit = fit_form(name, mean, features, parts[0], parts[1], weights, seconds=settings.seconds, seed=seed)
            log_p = fit.form(features)[at].detach()
            drawn = rng.choice(len(states), len(rows), p=np.asarray(torch.softmax(log_p.double(), 0)))
            found[name] |= {
                f"{task}_nats": -float((parts[2][at] * log_p).sum()),
                task: decoded(states.numpy()[drawn], rows),
                f"{task}_parameters": fit.n_parameters,
                f"{task}_steps": fit.steps,
            }
        own = (rng.random((len(rows), settings.n_bits)) < q[rows].numpy()).astype(np.float32)
        found["own"][task] = decoded(own, rows)
    others = np.flatnonzero((kind == target) & ~is_on)
    found["unchanged"]["perturbation"] = two_sample_knn(*joint_pca(adata.X[unseen], adata.X[others]), seed=seed)
    return {"rows": [{"form": name, "seed": seed, **scores} for name, scores in found.items()]}


def vae_cells(vae: Any, codes: np.ndarray, seed: int) -> Any:
    """Return counts decoded from codes, with library sizes of training cells.

    Parameters
    ----------
    vae
        A trained `QBMVAE`.
    codes
        Bits, `(n_cells, n_latent)`.
    seed
        Of library sizes and counts.
    """
    from qbmvae.model import cells, generation, library_sizes

    known, rng = library_sizes.libraries(vae, vae.train_indices), np.random.default_rng(seed)
    like = library_sizes.training_like(known, cells.batch_names(vae.registry_), codes, None, rng)
    return generation.decoded(vae.module, codes.astype(np.float32), *like, seed)


@lru_cache(maxsize=1)
def drug_data(folder: str) -> Any:
    """Return the data set of a folder's tables, read once."""
    from qbmvae.drug_response import assemble, read_table

    names = ("ic50_long.parquet", "genomic_features_binary_677.parquet", "drugs.csv")
    return assemble(*(read_table(str(Path(folder) / name)) for name in names), drop_missing=True)


def drug_entry(path: Path, settings: Settings, root: str, name: str, seed: int) -> dict[str, Any]:
    """Return the scores of one form as head of the drug network, one seed.

    Parameters
    ----------
    path
        The result file; nothing else is written.
    settings, root
        What, and the data's folder.
    name, seed
        The form, and the seed of pairs, weights and order.
    """
    from qbmvae.drug_response import DrugResponse, NetworkOptions, TrainingOptions, sized_split
    from qbmvae.drug_response.means import fit_means

    data, start = drug_data(str(Path(root) / settings.drugs)), time.process_time()
    third = settings.pairs // 3
    parts = sized_split(data, n_train=settings.pairs, n_validation=third, n_test=settings.pairs, seed=seed)
    if name == "nothing":
        predicted = fit_means(data, parts.train, seed)[0].of(data, parts.test)
    else:
        model = DrugResponse(data, NetworkOptions(head=HEADS[name]), seed=seed)
        model.fit(data, parts, TrainingOptions(epochs=settings.drug_epochs, pairs_per_line=4, seed=seed))
        predicted = model.predict_pairs(data, parts.test)
    frame = pd.DataFrame({"observed": data.response[parts.test], "predicted": predicted})
    within = frame - frame.groupby(data.drug[parts.test]).transform("mean")
    scores = {"mse": 1000 * float(np.square(frame["observed"] - frame["predicted"]).mean())}
    scores |= {"within_drug": float(within.corr().iloc[0, 1]), "drug_seconds": time.process_time() - start}
    return {"rows": [{"form": name, "seed": seed, **scores}]}


def compute(path: Path, settings: Settings, root: str, name: str, seed: int) -> dict[str, Any]:
    """Return one entry of the grid: all forms on cells, or one head of the drug network.

    Parameters
    ----------
    path, settings, root, seed
        As in `cells_entry`.
    name
        "cells", or the form.
    """
    return cells_entry(path, settings, root, seed) if name == "cells" else drug_entry(path, settings, root, name, seed)


def run(settings: Settings, root: str, seeds: int, out: Path, say: Any = print) -> pd.DataFrame:
    """Compute what is missing in the folder, write `results.csv` and `table.md`, and return the rows of every seed.

    Parameters
    ----------
    settings, root
        What, and the data's folder.
    seeds, out, say
        How many, the folder, and what takes a line of progress.
    """
    names = ("cells", *HEADS, "nothing")
    entries = [Entry(f"{name}-{seed}", (settings, root, name, seed)) for seed in range(seeds) for name in names]
    described = asdict(settings) | {"types": list(settings.types)}
    found = run_experiment(out, described, entries, compute, say=say)
    require_all(out, entries)
    rows = pd.DataFrame([row for result in found for row in result["rows"]])
    rows = rows.groupby(["form", "seed"], sort=False).first().reset_index()
    write_text(out / "results.csv", rows.to_csv(index=False))
    write_text(out / "table.md", table(rows) + "\n")
    return rows


def table(rows: pd.DataFrame) -> str:
    """Return the table in Markdown: means and 95 % half-widths over seeds, sizes and CPU seconds."""
    known = [c for c in COLUMNS if c in rows]
    summary = means(rows, ["form"], known).set_index("form")
    sizes = rows.groupby("form")[["perturbation_parameters", "generation_parameters", "drug_seconds"]].mean()
    body = []
    for form, row in summary.iterrows():
        name = str(form)
        cells = ["" if np.isnan(row[c]) else Spread.around(row[c], row[f"{c} +-"]).text(COLUMNS[c][1]) for c in known]
        size = [sizes.loc[form, c] for c in sizes]
        body.append([TITLES.get(name, name), *cells, *("" if np.isnan(v) else f"{v:.0f}" for v in size)])
    head = ["form", *(COLUMNS[c][0] for c in known), "parameters, perturbation", "generation", "drugs, CPU s"]
    return markdown(head, body)


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default=".")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=Settings.seconds)
    given = parser.parse_args()
    rows = run(Settings(seconds=given.seconds), given.data_root, given.seeds, given.out)
    print(table(rows))


if __name__ == "__main__":
    main()
