"""`simulate`: a configuration becomes an AnnData of counts with its truth, in memory or streamed to a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.cellsim.design import HOUSEKEEPING, REGULATED, Design
from qbmvae.cellsim.plan import Plan, Progress
from qbmvae.cellsim.reference import Reference
from qbmvae.cellsim.truth import truth

if TYPE_CHECKING:
    from anndata import AnnData

Config = str | os.PathLike[str] | Mapping[str, Any]


def simulate(
    config: Config,
    n_cells: int | None = None,
    seed: int | np.random.Generator | None = None,
    *,
    reference: Reference | None = None,
    progress: Progress | None = None,
) -> AnnData:
    """Return simulated counts, `(n_cells * n_types * n_conditions, n_genes)`, with all truth in `.uns["truth"]`.

    Parameters
    ----------
    config
        A preset ("paper-case-1", "paper-case-2", "paper-notebook"), the path of a YAML file, or a mapping with
        `cell_types` and `edges` or `conditions`; `docs/simulator.md` lists the keys.
    n_cells
        Cells per type and condition; the configuration's (2,000) by default.
    seed
        The same seed gives the same data; None takes the configuration's, or fresh entropy kept in the truth.
    reference
        Activations, means and dispersions from real cells (`fit_reference`).
    progress
        Called with (cells done, cells in all).

    Returns
    -------
    AnnData
        `.X` CSR float32 counts; `.obs` "cell_type", "condition", "shot" (cells of one shot were measured jointly),
        "library" and what the configuration adds; `.var` "kind"; `.uns["truth"]`, with `joint_bits[condition]` of shape
        `(n_shots, n_qubits)`.

    Raises
    ------
    InputError
        For a configuration that is wrong; the message names the key, gene or cell type.
    """
    from anndata import AnnData

    plan = Plan(config, n_cells, seed, reference)
    parts, tables = [], []
    bits: dict[str, list[np.ndarray]] = {c.name: [] for c in plan.design.conditions}
    for block in plan.blocks(progress):
        parts.append(block.counts.astype(np.float32))
        tables.append((block.condition, block.obs))
        if block.bits is not None:
            bits[block.condition].append(block.bits)
    obs, obsm = obs_tables(plan.design, tables)
    adata = AnnData(X=sp.csr_matrix(sp.vstack(parts, format="csr")), obs=obs, var=var_table(plan), obsm=obsm)
    adata.uns["truth"] = truth(plan) | {"joint_bits": {name: np.concatenate(b) for name, b in bits.items()}}
    return adata


def simulate_to_file(
    path: str | os.PathLike[str],
    config: Config,
    n_cells: int | None = None,
    seed: int | np.random.Generator | None = None,
    *,
    reference: Reference | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write what `simulate` returns to `.h5ad` or `.zarr`, a block of cells at a time; return the path.

    Counts never lie in memory as a whole; `.obs` does. The file appears under its name only when it is complete.

    Parameters
    ----------
    path
        Ends in `.h5ad` or `.zarr`.
    config, n_cells, seed, reference, progress
        As in `simulate`.
    """
    from qbmvae.cellsim.stream import writer

    plan = Plan(config, n_cells, seed, reference)
    with writer(Path(path)) as out:
        tables = []
        for block in plan.blocks(progress):
            out.counts(block.counts.astype(np.float32))
            if block.bits is not None:
                out.bits(block.condition, block.bits)
            tables.append((block.condition, block.obs))
        obs, obsm = obs_tables(plan.design, tables)
        out.finish(obs, var_table(plan), truth(plan), obsm)
    return Path(path)


def obs_tables(
    design: Design, tables: list[tuple[str, dict[str, np.ndarray]]]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return `.obs` from the blocks' columns, and `.obsm`: where cells stand, in simulations with space."""
    names = [c.name for c in design.conditions]
    condition = np.concatenate([np.full(len(obs["shot"]), names.index(name)) for name, obs in tables])
    columns = {key: np.concatenate([obs[key] for _, obs in tables]) for key in tables[0][1]}
    obsm = {"spatial": np.stack([columns.pop("x"), columns.pop("y")], axis=1)} if "x" in columns else {}
    cell_type = pd.Categorical.from_codes(columns.pop("cell_type"), design.types)
    condition = pd.Categorical.from_codes(condition, names)
    index = pd.Index([f"{c}_{t}_{s}" for c, t, s in zip(condition, cell_type, columns["shot"], strict=True)])
    obs = pd.DataFrame({"cell_type": cell_type, "condition": condition}, index=index)
    for key, values in columns.items():
        if key == "batch":
            values = pd.Categorical.from_codes(values, [f"batch{i}" for i in range(values.max() + 1)])
        elif key == "doublet_with":
            values = pd.Categorical.from_codes(values + 1, ["none", *design.types])
        elif key == "branch":
            values = pd.Categorical(values.astype(str))
        obs[key] = values
    return obs, obsm


def var_table(plan: Plan) -> pd.DataFrame:
    """Return `.var`: kind of gene, and the cell types that can express it."""
    design = plan.design
    owners: list[set[str]] = [set() for _ in design.genes]
    for t, g in zip(design.qubit_type, design.qubit_gene, strict=True):
        owners[g].add(design.types[t])
    kind = [REGULATED] * len(design.genes) + [HOUSEKEEPING] * len(design.housekeeping)
    everywhere = ",".join(design.types)
    by = [",".join(t for t in design.types if t in owner) for owner in owners] + [everywhere] * len(design.housekeeping)
    return pd.DataFrame({"kind": pd.Categorical(kind), "cell_types": by}, index=design.genes + design.housekeeping)
