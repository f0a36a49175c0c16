"""Does the learned prior of QBM-VAE, or a standard method, recover programmed edges? AUPRC, next to BEELINE.

`python -m experiments.simulation.grn_recovery --out FOLDER [--beeline DIR]`: circuits of known edges (CX, signed CRY,
the paper's case 1 on jointly measured cells), then BEELINE's simulated networks where DIR holds them.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from experiments.simulation.grn_methods import LIMITS, METHODS
from qbmvae.cellsim import simulate
from qbmvae.cellsim.expression import counts_of, log_normalised

N_GENES, N_EDGES = 16, 20


def random_circuit(kind: str, seed: int) -> dict[str, Any]:
    """Return the configuration of one cell type with random feed-forward edges of a kind: "cx", "cry" or "signed cry"."""
    rng = np.random.default_rng([seed, len(kind)])
    pairs = [(i, j) for i in range(N_GENES) for j in range(i + 1, N_GENES)]
    chosen = sorted((pairs[k] for k in rng.choice(len(pairs), N_EDGES, replace=False)), key=lambda e: (e[1], e[0]))
    names = [f"g{i}" for i in rng.permutation(N_GENES)]
    edges: list[list[Any]] = []
    for a, b in chosen:
        edge: list[Any] = [names[a], names[b]]
        if kind != "cx":
            sign = int(rng.choice([1, -1])) if kind == "signed cry" else 1
            edge += ["cry", float(rng.uniform(0.05, 0.25)), sign]
        edges.append(edge)
    activations = {f"g{i}": float(rng.uniform(0.25, 0.6)) for i in range(N_GENES)}
    return {"cell_types": {"CT1": activations}, "edges": edges, "housekeeping": {"n": 50}}


def simulated_cases(seeds: int, n_cells: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return `(task, expression, truth)`: truth `(n_genes, n_genes)` boolean, regulator by target."""
    cases = []
    for seed in range(seeds):
        for kind in ("cx", "cry", "signed cry"):
            data = simulate(random_circuit(kind, seed), n_cells=n_cells, seed=seed)
            genes = list(data.uns["truth"]["qubits"].index)
            expression = log_normalised(counts_of(data))[:, : len(genes)].toarray()
            cases.append((kind, expression, _truth(data.uns["truth"]["edges"], genes)))
        cases.append(("paper case 1, joint", *_paper_jointly(seed, n_cells)))
    return cases


def _paper_jointly(seed: int, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the paper's case 1 with each gene read in the cell of its own type of the same shot."""
    data = simulate("paper-case-1", n_cells=n_cells, seed=seed)
    qubits = data.uns["truth"]["qubits"]
    values = pd.DataFrame(log_normalised(counts_of(data))[:, :10].toarray(), columns=data.var_names[:10])
    parts = []
    for kind in qubits["cell_type"].unique():
        rows = np.flatnonzero((data.obs["cell_type"] == kind).to_numpy())
        parts.append(values.iloc[rows][list(qubits.index[qubits["cell_type"] == kind])].to_numpy())
    return np.concatenate(parts, axis=1), _truth(data.uns["truth"]["edges"], list(qubits.index))


def _truth(edges: pd.DataFrame, genes: list[str]) -> np.ndarray:
    truth = np.zeros((len(genes), len(genes)), dtype=bool)
    for a, b in zip(edges["control"], edges["target"], strict=True):
        truth[genes.index(a), genes.index(b)] = True
    return truth


def beeline_cases(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return BEELINE's simulated networks that come with a reference; self-loops do not count."""
    cases = []
    for directory in sorted(p for p in folder.iterdir() if (p / "refNetwork.csv.gz").exists()):
        table = pd.read_csv(directory / "ExpressionData.csv.gz", index_col=0)
        network = pd.read_csv(directory / "refNetwork.csv.gz")
        genes = [str(g) for g in table.index]
        truth = np.zeros((len(genes), len(genes)), dtype=bool)
        for a, b in zip(network["Gene1"].astype(str), network["Gene2"].astype(str), strict=True):
            if a in genes and b in genes:
                truth[genes.index(a), genes.index(b)] = a != b
        cases.append((f"BEELINE {directory.name.split('_')[0]}", np.log1p(table.to_numpy().T), truth))
    return cases


def score(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return AUPRC of directed edges and of undirected pairs (the larger of both directions), with their chance levels."""
    n = len(truth)
    directed = ~np.eye(n, dtype=bool)
    pairs = np.triu(directed, k=1)
    either, best = truth | truth.T, np.maximum(scores, scores.T)
    return {
        "auprc": float(average_precision_score(truth[directed], scores[directed])),
        "chance": float(truth[directed].mean()),
        "auprc_pairs": float(average_precision_score(either[pairs], best[pairs])),
        "chance_pairs": float(either[pairs].mean()),
    }


def run(seeds: int = 5, n_cells: int = 2000, beeline: Path | None = None) -> pd.DataFrame:
    """Return one row a case and method.

    Parameters
    ----------
    seeds, n_cells
        Circuits of each kind, and cells of each.
    beeline
        Folder of BEELINE's networks.
    """
    cases = simulated_cases(seeds, n_cells) + (beeline_cases(beeline) if beeline is not None else [])
    rows = []
    for k, (task, expression, truth) in enumerate(cases):
        for name, method in METHODS.items():
            if expression.shape[1] > LIMITS.get(name, 10**6):
                continue
            start = time.process_time()
            with warnings.catch_warnings():
                # a gene that does not vary has no correlation; it scores 0
                warnings.simplefilter("ignore", RuntimeWarning)
                scores = method(expression, k)
            rows.append({"task": task, "method": name, "cpu_s": time.process_time() - start} | score(scores, truth))
        print(f"\r{k + 1} of {len(cases)} cases", end="", flush=True)
    print()
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean AUPRC of undirected pairs by task and method, BEELINE's networks pooled, and of chance."""
    task = table["task"].where(~table["task"].str.startswith("BEELINE"), "BEELINE")
    by = table.assign(task=task).groupby(["task", "method"], sort=False)["auprc_pairs"].mean().unstack()
    by["chance"] = table.assign(task=task).groupby("task", sort=False)["chance_pairs"].mean()
    return by


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n-cells", type=int, default=2000)
    parser.add_argument("--beeline", type=Path, default=None, help="folder of BEELINE's simulated networks")
    arguments = parser.parse_args()
    table = run(arguments.seeds, arguments.n_cells, arguments.beeline)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "grn_recovery.csv", index=False)
    (arguments.out / "grn_recovery.json").write_text(
        json.dumps(json.loads(summary(table).to_json(orient="index")), indent=1)
    )
    print(summary(table).round(3).to_string())


if __name__ == "__main__":
    main()
