"""Tables over seeds on the synthetic screen: the collapse, its remedy, the ablations, and the phases of the plan.

Each (row, seed) is one JSON file under `cells/`, so the same command goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import run_folder as run_folder
from experiments.perturbation.config import TableConfig
from experiments.perturbation.evaluate import evaluate
from experiments.perturbation.pretrain import pretrained_state
from experiments.perturbation.report import COLUMNS, PUBLISHED, seeds_report
from experiments.perturbation.synthetic import SyntheticScreen, synthetic_screen
from qbmvae.perturbation.fitting import fit, training_groups
from qbmvae.perturbation.options import Options

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


def one_cell(
    name: str,
    options: Options,
    screen: SyntheticScreen,
    backbone: Any,
    config: TableConfig,
    seed: int,
    reference: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Train one row on one seed and score it on the unseen perturbations; without `reference` the baselines too."""
    adata = screen.adata
    labels = adata.obs["target_gene"].astype(str).to_numpy()
    unseen = np.isin(labels, screen.unseen)
    train, test = adata[~unseen].copy(), adata[unseen | (labels == "non-targeting")].copy()
    model = fit(train, features=screen.features, backbone=backbone, options=options, seed=seed)
    result = evaluate(
        model,
        test,
        None if reference else training_groups(train, train.X, "target_gene", "non-targeting", None, seed),
        n_control=config.n_control,
        seed=seed,
        reference=reference,
    )
    diagnostics = {k: v for k, v in result["diagnostics"].items() if k.startswith("predicted")}
    weights = {"n_trainable": sum(p.numel() for p in model.predictor.parameters() if p.requires_grad)}
    gate = {} if model.predictor.gate is None else {"gate": model.predictor.gate.item()}
    return {
        "name": name,
        "seed": seed,
        **result["model"],
        **diagnostics,
        **weights,
        **gate,
        "baselines": result["baselines"],
    }


def run_table(config: TableConfig, out: Path, progress: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """Fill the table and write `results.csv`, `summary.csv` and `report.html`; return the summary."""
    run_folder.create(out, config.to_dict())
    (out / "cells").mkdir(exist_ok=True)
    found: list[dict[str, Any]] = []
    for seed in config.seeds:
        screen, backbone, reference = None, None, None
        for name, options in config.rows().items():
            path = out / "cells" / f"{name.replace(' ', '-')}-{seed}.json"
            if not path.is_file():
                progress(f"seed {seed}: {name}")
                screen = screen or synthetic_screen(**config.screen, seed=seed)
                if backbone is None or options.tune:
                    backbone = (
                        "pca" if config.table == "ablation" else pretrained_state(screen, config.backbone_epochs, seed)
                    )
                run_folder.write_json(path, one_cell(name, options, screen, backbone, config, seed, reference))
            found.append(json.loads(path.read_text()))
            # the first row of a seed scores the baselines for all
            reference = reference or found[-1]["baselines"]["mean response"]
    results, summary = summarise(found)
    run_folder.write_text(out / "results.csv", results.to_csv(index=False))
    run_folder.write_text(out / "summary.csv", summary.to_csv(index=False))
    numbers = {
        r["row"]: {c: r[c] for c in r if c != "row"}
        for r in summary.to_dict("records")
        if r["row"] != "published prototype"
    }
    note = (
        f"{len(config.seeds)} seeds, mean and 95 % t half-width; synthetic screen, perturbations unseen in training. "
    )
    seeds_report(
        out, f"Perturbation {config.table}", note + (TARGETS if config.table == "phases" else ""), summary, numbers
    )
    return summary


def summarise(found: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of every seed, baselines included, and their means with 95 % t half-widths (column `_ci`)."""
    from scipy.stats import t

    rows = [{k: v for k, v in cell.items() if k != "baselines"} for cell in found]
    seen = set()
    for cell in found:
        for name, scores in cell["baselines"].items():
            if (name, cell["seed"]) not in seen:
                seen.add((name, cell["seed"]))
                rows.append({"name": name, "seed": cell["seed"], **scores})
    results = pd.DataFrame(rows)
    columns = [
        c
        for c in (*COLUMNS, "predicted_participation_ratio", "predicted_similarity", "gate", "n_trainable")
        if c in results
    ]
    summary = []
    for name, part in results.groupby("name", sort=False):
        row: dict[str, Any] = {"row": TITLES.get(str(name), str(name))}
        for column in columns:
            values = part[column].dropna()
            row[column] = values.mean() if len(values) else float("nan")
            if column in COLUMNS and len(values) > 1:
                half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
                row[f"{column}_ci"], row[f"{column}_se"] = half, half / 1.96
        summary.append(row)
    published = {
        "row": "published prototype",
        **PUBLISHED,
        "predicted_participation_ratio": 2.58,
        "predicted_similarity": 0.9993,
    }
    return results, pd.DataFrame([published, *summary])
