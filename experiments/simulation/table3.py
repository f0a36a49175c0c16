"""Table 3 of Romero et al. (2025): communication probabilities of both conditions, with the controls that explain them.

`python -m experiments.simulation.table3 --out FOLDER` writes `table3.json` and prints the table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qbmvae.cellsim import GeneCircuit, communication, compare_conditions, paper_pairs, preset, simulate

APART, TOGETHER = "non-interacting", "interacting"
#: Published probabilities, non-interacting and interacting, in the order of `paper_pairs`.
PUBLISHED = np.array([[0.0148, 0.1135], [0.0011, 0.0830], [0.1133, 0.1008], [0.0726, 0.0638]])


def variants() -> dict[str, dict[str, Any]]:
    """Return the published case and its controls as configurations.

    "equal housekeeping" gives both conditions NB(80, 6), as the paper's text does. "no entanglement" has no gate in the
    interacting condition, but activations that give every gene the same P(on): its bits are independent.
    """
    notebook = preset("paper-notebook")
    equal = preset("paper-notebook")
    del equal["conditions"][TOGETHER]["housekeeping"]
    out = {"published housekeeping": notebook, "equal housekeeping": equal}
    genes = [g for table in notebook["cell_types"].values() for g in table]
    activations = [a for table in notebook["cell_types"].values() for a in table.values()]
    for name, base in (("no entanglement", equal), ("no entanglement, published housekeeping", notebook)):
        matched = json.loads(json.dumps(base))
        for entry in matched["conditions"].values():
            p = GeneCircuit(activations, entry["edges"], genes).marginals()
            entry["activations"] = dict(
                zip(genes, (2 / np.pi * np.arcsin(np.sqrt(np.clip(p, 0, 1)))).tolist(), strict=True)
            )
            entry["edges"] = []
        out[name] = matched
    return out


def measure(config: dict[str, Any], n_cells: int, seed: int, n_bootstrap: int = 0) -> pd.DataFrame:
    """Return probabilities in both conditions, p-values, folds and intervals of the paper's pairs.

    Parameters
    ----------
    config
        Of the simulator.
    n_cells, seed
        Of the simulation.
    n_bootstrap
        Draws for the intervals.
    """
    data = simulate(config, n_cells=n_cells, seed=seed)
    sides = [data[data.obs["condition"] == name].copy() for name in (APART, TOGETHER)]
    table = compare_conditions(sides[0], sides[1], paper_pairs(), n_bootstrap=n_bootstrap)
    for name, side in zip("ab", sides, strict=True):
        table[f"p-value_{name}"] = communication(side, paper_pairs(), n_permutations=99)["p-value"]
    return table


def run(n_cells: int = 2000, seeds: int = 20) -> dict[str, Any]:
    """Return, for each variant, the table of seed 0 with bootstrap intervals and the spread over seeds."""
    out: dict[str, Any] = {"published": PUBLISHED.tolist(), "n_cells": n_cells, "seeds": seeds, "variants": {}}
    for name, config in variants().items():
        first = measure(config, n_cells, 0, n_bootstrap=500)
        probabilities, folds = [], []
        for seed in range(seeds):
            data = simulate(config, n_cells=n_cells, seed=seed)
            sides = [data[data.obs["condition"] == c].copy() for c in (APART, TOGETHER)]
            table = compare_conditions(sides[0], sides[1], paper_pairs(), n_bootstrap=0)
            probabilities.append(table[["probability_a", "probability_b"]].to_numpy())
            folds.append(table["fold"].to_numpy())
        found = np.array(probabilities)
        out["variants"][name] = {
            "seed_0": json.loads(first.to_json(orient="records")),
            "mean": found.mean(axis=0).tolist(),
            "sd": found.std(axis=0, ddof=1).tolist() if seeds > 1 else None,
            "fold_of_means": (found[..., 1].mean(axis=0) / found[..., 0].mean(axis=0)).tolist(),
            "fold_median": np.median(folds, axis=0).tolist(),
            "fold_range": np.quantile(folds, [0.05, 0.95], axis=0).T.tolist(),
        }
    return out


def show(result: dict[str, Any]) -> str:
    """Return the result as text, one line a pair and variant."""
    lines = [f"{'variant':42s} {'pair':6s} {'apart':>8s} {'inter.':>8s} {'fold':>7s} 90 % of {result['seeds']} seeds"]
    names = [f"{a}-{b}" for a, b, _, _ in paper_pairs()]
    for name, (apart, together) in zip(names, result["published"], strict=True):
        lines.append(f"{'published':42s} {name:6s} {apart:8.4f} {together:8.4f} {together / apart:7.2f}")
    for variant, found in result["variants"].items():
        for k, name in enumerate(names):
            apart, together = found["mean"][k]
            low, high = found["fold_range"][k]
            fold = found["fold_of_means"][k]
            lines.append(f"{variant:42s} {name:6s} {apart:8.4f} {together:8.4f} {fold:7.2f} {low:.2f} to {high:.2f}")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--n-cells", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    result = run(arguments.n_cells, arguments.seeds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "table3.json").write_text(json.dumps(result, indent=1))
    print(show(result))


if __name__ == "__main__":
    main()
