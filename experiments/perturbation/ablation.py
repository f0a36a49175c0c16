"""Tables over seeds on the synthetic screen: the collapse, its remedy, the ablations, and the phases of the plan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.comparison.grid import Entry, read_entry, require_all, run_experiment
from experiments.comparison.statistics import means
from experiments.perturbation.config import TableConfig
from experiments.perturbation.evaluate import REFERENCE, evaluate
from experiments.perturbation.pretrain import pretrained_state
from experiments.perturbation.report import COLUMNS, PROTOTYPE, PUBLISHED, seeds_report
from experiments.perturbation.synthetic import SyntheticScreen, synthetic_screen
from qbmvae.perturbation.fitting import fit, training_groups

TITLES = {
    "prototype": "prototype: angles over +-pi, raw outputs, pairs of cells",
    "prototype-pseudobulk": "the prototype trained on pseudobulks",
    "bandwidth": "the same circuit, bandwidth .1 and normalised outputs, pseudobulk",
    "bandwidth-scaled": "the same, control cells rescaled instead of shifted",
    "bandwidth-no-entanglement": "the same without entanglement",
    "bandwidth-frozen": "the same, circuit frozen at random angles",
    "bandwidth-mlp": "MLP of the same width in the circuit's place",
    "bypass-only": "the default's bypass alone, no circuit",
    "default": "default: ridge-started bypass, gated circuit, contrastive loss",
}
TARGETS = "The plan's targets: PDS .60-.70 after phase 1, .75-.85 after phases 2 and 3, overall 60-80."


def run_table(
    config: TableConfig,
    out: Path,
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
    ray: str | None = None,
) -> pd.DataFrame:
    """Fill the table and write `results.csv`, `summary.csv` and `report.html`; return the summary.

    Parameters
    ----------
    config
        The rows, and the screen that they are trained on.
    out
        The folder; called again it goes on where it stopped.
    say
        Takes a line of progress.
    workers, ray
        Where, see `experiments.comparison.executors.each`.
    """
    entries = [table_entry(config, name, seed) for seed in config.seeds for name in config.rows()]
    found = run_experiment(out, config.to_dict(), entries, fit_row, workers=workers, ray=ray, say=say)
    require_all(out, entries)
    results, summary = summarise(found)
    run_folder.write_text(out / "results.csv", results.to_csv(index=False))
    run_folder.write_text(out / "summary.csv", summary.to_csv(index=False))
    note = (
        f"{len(config.seeds)} seeds, mean and 95 % t half-width; synthetic screen, perturbations unseen in training. "
    )
    seeds_report(out, f"Perturbation {config.table}", note + (TARGETS if config.table == "phases" else ""), summary)
    return summary


def table_entry(config: TableConfig, name: str, seed: int) -> Entry:
    """Return the grid's entry of one row of the table and one seed.

    Parameters
    ----------
    config, name, seed
        The table, the row, the seed.
    """
    return Entry(f"{name.replace(' ', '-')}-{seed}", (config, name, seed))


def fit_row(path: Path, config: TableConfig, name: str, seed: int) -> dict[str, Any]:
    """Train one row on one seed and score it on the unseen perturbations; return its scores and the baselines'.

    Parameters
    ----------
    path
        The result file. Where the first row of the seed has one already, its baselines are not scored again.
    config, name, seed
        The table, the row and the seed.
    """
    options, first = config.rows()[name], table_entry(config, next(iter(config.rows())), seed)
    before = None if name == first.arguments[1] else read_entry(path.parents[1], first)
    reference = None if before is None else before["baselines"][REFERENCE]
    screen = _screen(tuple(sorted(config.screen.items())), seed)
    backbone: Any = "pca"
    if config.table == "phases":
        backbone = _backbone(tuple(sorted(config.screen.items())), config.backbone_epochs, seed)
        # a row that tunes it must not change it for others
        backbone = copy.deepcopy(backbone) if options.tune else backbone
    adata = screen.adata
    labels = adata.obs["target_gene"].astype(str).to_numpy()
    unseen = np.isin(labels, screen.unseen)
    train, test = adata[~unseen].copy(), adata[unseen | (labels == "non-targeting")].copy()
    model = fit(train, features=screen.features, backbone=backbone, options=options, seed=seed)
    groups = None if reference else training_groups(train, train.X, "target_gene", "non-targeting", None, seed)
    result = evaluate(model, test, groups, n_control=config.n_control, seed=seed, reference=reference)
    return {
        "name": name,
        "seed": seed,
        **result["model"],
        **{k: v for k, v in result["diagnostics"].items() if k.startswith("predicted")},
        "n_trainable": sum(p.numel() for p in model.predictor.parameters() if p.requires_grad),
        **({} if model.predictor.gate is None else {"gate": model.predictor.gate.item()}),
        "baselines": result["baselines"],
    }


@lru_cache(maxsize=1)
def _screen(settings: tuple[tuple[str, Any], ...], seed: int) -> SyntheticScreen:
    return synthetic_screen(**dict(settings), seed=seed)


@lru_cache(maxsize=1)
def _backbone(settings: tuple[tuple[str, Any], ...], epochs: int, seed: int) -> Any:
    return pretrained_state(_screen(settings, seed), epochs, seed)


def summarise(found: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of every seed, baselines included, and their means with 95 % t half-widths (columns `... +-`)."""
    rows = {(row["name"], row["seed"]): {k: v for k, v in row.items() if k != "baselines"} for row in found}
    for row in found:
        for name, scores in row["baselines"].items():
            rows.setdefault((name, row["seed"]), {"name": name, "seed": row["seed"], **scores})
    results = pd.DataFrame(list(rows.values()))
    more = [c for c in ("predicted_participation_ratio", "predicted_similarity", "gate", "n_trainable") if c in results]
    summary = means(results, ["name"], COLUMNS)
    summary = summary.join(results.groupby("name")[more].mean(), on="name").rename(columns={"name": "row"})
    summary["row"] = [TITLES.get(str(name), str(name)) for name in summary["row"]]
    diagnostics = {"predicted_participation_ratio": 2.58, "predicted_similarity": 0.9993}
    published = pd.DataFrame([{"row": PROTOTYPE, **PUBLISHED, **diagnostics}])
    return results, pd.concat([published, summary], ignore_index=True)
