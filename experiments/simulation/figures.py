"""The paper's pictures from our data: outcomes, networks, UMAP. `python -m experiments.simulation.figures --out docs/img`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from qbmvae.cellsim import GeneCircuit, preset, simulate
from qbmvae.cellsim.networks import coexpression_network, correlations
from qbmvae.cellsim.plots import draw_networks, draw_umap, outcome_histogram
from qbmvae.cellsim.separation import embed, separation


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--n-cells", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = simulate("paper-notebook", n_cells=arguments.n_cells, seed=arguments.seed)

    types = preset("paper-case-1")["cell_types"]
    edges = preset("paper-case-1")["conditions"]["interacting"]["edges"]
    circuit = GeneCircuit([a for t in types.values() for a in t.values()], edges)
    bits = data.uns["truth"]["joint_bits"]["interacting"]
    outcome_histogram(bits, circuit.probabilities(), circuit.genes).savefig(
        arguments.out / "simulator-outcomes.png", dpi=110
    )

    graphs = {}
    for condition in ("interacting", "non-interacting"):
        for method in ("pearson", "spearman"):
            graphs[f"{condition}\n{method}, all cells"] = coexpression_network(
                correlations(data, method, condition=condition)
            )
    draw_networks(graphs).savefig(arguments.out / "simulator-networks.png", dpi=110)
    controls = {}
    for condition in ("interacting", "non-interacting"):
        for cells in ("CT1", "CT2", "joint"):
            table = correlations(data, cells=cells, condition=condition)
            controls[f"{condition}\n{cells}, |r| > .1"] = coexpression_network(table, 0.1)
    draw_networks(controls).savefig(arguments.out / "simulator-controls.png", dpi=110)

    numbers = {}
    for condition in ("interacting", "non-interacting"):
        part = data[data.obs["condition"] == condition].copy()
        embed(part, umap=condition == "interacting")
        numbers[condition] = {"X_pca": separation(part)}
        if "X_umap" in part.obsm:
            numbers[condition]["X_umap"] = separation(part, "X_umap")
            draw_umap(part, ("cell_type",)).savefig(arguments.out / "simulator-umap.png", dpi=110)
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
