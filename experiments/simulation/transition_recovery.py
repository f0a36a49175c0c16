"""Does `learn_transition` find planted gates? Precision and recall over random circuits, with the failures.

`python -m experiments.simulation.transition_recovery --out FOLDER [--kinds flips mixed] [--gates 8] [--dropout 0 .1]
[--seeds 5]`: one
condition without gates, one with gates at random between distinct pairs of 20 genes, feed-forward, 2,000 cells of each. A
gate that leaves too little trace is not planted: see `planted`. The same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.run_folder import write_json, write_text
from qbmvae.cellsim import GeneCircuit, learn_transition

#: kind of circuit -> share of rotations among its gates
KINDS = {"flips": 0.0, "rotations": 1.0, "mixed": 0.5}
#: Least distance of an on-probability from a half, least share of cells in which a control is on (and off), and least
#: change of the target's on-probability where a rotation acts, and least distance of its outcome from a flip's.
FROM_HALF, ACTIVE, CHANGE, FLIP = 0.08, 0.1, 0.15, 0.1
Edge = tuple[int, int, str, float, int]


def planted(kind: str, n_genes: int, n_gates: int, seed: int) -> tuple[list[float], list[Edge]]:
    """Return activations and gates in time order.

    Every gate has a control that is on in a tenth to nine tenths of the cells. A flip's target is not on in half of the
    cells (to .08), or the flip would show in nothing; a rotation changes the on-probability of its target by .15 or more
    where it acts, and to .1 or more from what a flip would make of it. A gene is finished before it controls, as the model asks.

    Parameters
    ----------
    kind
        One of `KINDS`.
    n_genes, n_gates
        Sizes.
    seed
        Of everything.
    """
    rng = np.random.default_rng([seed, n_gates, sorted(KINDS).index(kind)])
    activations: list[float] = []
    while len(activations) < n_genes:
        a = rng.uniform(0.1, 0.9)
        if abs(math.sin(math.pi * a / 2) ** 2 - 0.5) > FROM_HALF:
            activations.append(float(a))
    order = [int(g) for g in rng.permutation(n_genes)]
    place = {gene: k for k, gene in enumerate(order)}
    edges: list[Edge] = []
    while len(edges) < n_gates:
        first, last = sorted(int(k) for k in rng.choice(n_genes, 2, replace=False))
        control, target = order[first], order[last]
        if any({control, target} == {e[0], e[1]} for e in edges):
            continue
        is_turn = rng.random() < KINDS[kind]
        edge = (control, target, "cry", float(rng.uniform(0.15, 0.5)), int(rng.choice([1, -1]))) if is_turn else (
            control, target, "cx", 1.0, 1)  # fmt: skip
        trial = sorted([*edges, edge], key=lambda e: (place[e[1]], e[2] == "cx"))
        if _shows(activations, trial, edge):
            edges = trial
    return activations, edges


def _shows(activations: list[float], edges: list[Edge], new: Edge) -> bool:
    """Return whether the circuit's gates all leave a trace, by 4,000 cells without the noise of small samples."""
    own = [math.sin(math.pi * a / 2) ** 2 for a in activations]
    bits = GeneCircuit(activations, edges).sample(4000, seed=0)
    for control, target, kind, angle, sign in edges:
        if not ACTIVE <= bits[:, control].mean() <= 1 - ACTIVE:
            return False
        theta = math.pi * activations[target]
        if kind == "cx" and abs(own[target] - 0.5) <= FROM_HALF:
            return False
        after = math.sin((theta + sign * math.pi * angle) / 2) ** 2
        if kind == "cry" and (abs(after - own[target]) < CHANGE or abs(after - 1 + own[target]) < FLIP):
            return False
    # several gates on one target: two at most, so that each is seen alone in some cells
    return sum(e[1] == new[1] for e in edges) <= 2


def run_case(kind: str, n_genes: int, n_gates: int, n_cells: int, seed: int, dropout: float = 0.0) -> dict[str, Any]:
    """Plant, learn and compare.

    Parameters
    ----------
    kind, n_genes, n_gates, seed
        As in `planted`.
    n_cells
        Of each condition.
    dropout
        Share of the bits that are on and read as off.

    Returns
    -------
    "precision" and "recall" of (condition, control, target, kind), "pairs_recall" (any kind), "cpu_seconds", "missed" and
    "false" gates, and "covered": the share of the rotations found whose 95 % interval holds the planted angle or its mirror.
    """
    activations, edges = planted(kind, n_genes, n_gates, seed)
    rng = np.random.default_rng(seed)
    first, second = (
        bits * (rng.random(bits.shape) >= dropout)
        for bits in (GeneCircuit(activations, e).sample(n_cells, seed=2 * seed + k) for k, e in enumerate(([], edges)))
    )
    start = time.process_time()
    gates = learn_transition(first, second, seed=seed).gates
    seconds = time.process_time() - start
    truth = {("second", c, t, k): (angle, sign) for c, t, k, angle, sign in edges}
    found = {
        (r.condition, int(r.control[1:]), int(r.target[1:]), r.gate): (r.angle, r.angle_se) for r in gates.itertuples()
    }
    right = [key for key in found if key in truth]
    covered = [
        _covers(*found[key], math.pi * truth[key][0] * truth[key][1], math.pi * activations[key[2]])
        for key in right
        if key[3] == "cry"
    ]
    pairs = {key[:3] for key in found}
    return {
        "kind": kind, "n_genes": n_genes, "n_gates": n_gates, "n_cells": n_cells, "seed": seed,
        "dropout": dropout,
        "precision": len(right) / len(found) if found else 1.0,
        "recall": len(right) / len(truth),
        "pairs_recall": sum(key[:3] in pairs for key in truth) / len(truth),
        "covered": float(np.mean(covered)) if covered else float("nan"),
        "cpu_seconds": seconds,
        "missed": [[*key[1:], *truth[key]] for key in truth if key not in found],
        "false": [list(key) for key in found if key not in truth],
    }  # fmt: skip


def _covers(angle: float, error: float, planted: float, own: float) -> bool:
    """Return whether the interval holds the angle, or the one with the same outcomes: -(own + angle) instead of own + angle."""
    apart = [(angle - value + math.pi) % (2 * math.pi) - math.pi for value in (planted, -2 * own - planted)]
    return min(map(abs, apart)) < 1.96 * error


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--gates", nargs="+", type=int, default=[8])
    parser.add_argument("--genes", type=int, default=20)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--dropout", nargs="+", type=float, default=[0.0])
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    (given.out / "cases").mkdir(parents=True, exist_ok=True)
    rows = []
    cases = itertools.product(range(given.seeds), given.kinds, given.gates, given.dropout)
    for seed, kind, n_gates, dropout in cases:
        path = given.out / "cases" / f"{kind}-{given.genes}-{n_gates}-{given.cells}-{dropout:g}-{seed}.json"
        if not path.is_file():
            write_json(path, run_case(kind, given.genes, n_gates, given.cells, seed, dropout))
        rows.append(json.loads(path.read_text()))
        shown = (
            "kind",
            "n_gates",
            "dropout",
            "seed",
            "precision",
            "recall",
            "covered",
            "cpu_seconds",
            "missed",
            "false",
        )
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items() if k in shown}, flush=True)
    table = pd.DataFrame(rows)
    write_text(given.out / "cases.csv", table.to_csv(index=False))
    scores = ["precision", "recall", "pairs_recall", "covered", "cpu_seconds"]
    print(table.groupby(["kind", "n_gates", "dropout"], sort=False)[scores].mean().round(3).to_string())


if __name__ == "__main__":
    main()
