"""What was programmed, in the form that `.uns["truth"]` keeps: graph, order, parameters, exact P(on)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from qbmvae.cellsim.plan import Plan
from qbmvae.cellsim.shots import truth_of_segments
from samplers.errors import InputError


def truth(plan: Plan) -> dict[str, Any]:
    """Return the programmed truth of a simulation, without its joint bits.

    Keys: `seed`; `config` (JSON); `qubits` (gene, cell type, activation, mean, size of each qubit); `edges` (one row a
    gate, in time order within its condition); `pairs` (which ligand-receptor pairs a gate joins); `marginals` (exact
    P(on) of each qubit in each condition); `conditions`; `segments`; `batch_factors` where there are batches.
    """
    design = plan.design
    qubits = pd.DataFrame(
        {
            "gene": [design.genes[g] for g in design.qubit_gene],
            "cell_type": [design.types[t] for t in design.qubit_type],
            "mean": design.mean,
            "size": design.size,
        },
        index=pd.Index(design.qubits, name="qubit"),
    )
    for condition in design.conditions:
        qubits[f"activation ({condition.name})"] = condition.activations
    out: dict[str, Any] = {
        "seed": plan.seed,
        "config": json.dumps(plan.settings, default=str),
        "qubits": qubits,
        "edges": _edges(plan),
        "pairs": _pairs(plan),
        "conditions": pd.DataFrame(
            {
                "n_cells": [c.n_cells for c in design.conditions],
                "housekeeping_mean": [c.hk_mean for c in design.conditions],
                "housekeeping_size": [c.hk_size for c in design.conditions],
            },
            index=pd.Index([c.name for c in design.conditions], name="condition"),
        ),
        "segments": {name: truth_of_segments(parts) for name, parts in plan.segments.items()},
    }
    marginals = _marginals(plan)
    if marginals is not None:
        out["marginals"] = marginals
    if plan.n_batches:
        out["batch_factors"] = plan.batch_factors
    return out


def _edges(plan: Plan) -> pd.DataFrame:
    design, rows = plan.design, []
    for condition in design.conditions:
        for order, (e, (begin, end)) in enumerate(zip(condition.edges, condition.during, strict=True)):
            a, b = design.qubit_type[e.control], design.qubit_type[e.target]
            rows.append(
                {
                    "condition": condition.name,
                    "order": order,
                    "control": design.qubits[e.control],
                    "target": design.qubits[e.target],
                    "control_gene": design.genes[design.qubit_gene[e.control]],
                    "target_gene": design.genes[design.qubit_gene[e.target]],
                    "control_type": design.types[a],
                    "target_type": design.types[b],
                    "across_types": bool(a != b),
                    "gate": e.gate,
                    "strength": e.strength,
                    "sign": e.sign,
                    "from": begin,
                    "until": end,
                }
            )
    columns = ["condition", "order", "control", "target", "control_gene", "target_gene", "control_type", "target_type"]
    columns += ["across_types", "gate", "strength", "sign", "from", "until"]
    return _with_string_index(pd.DataFrame(rows, columns=columns))


def _pairs(plan: Plan) -> pd.DataFrame:
    edges, rows = _edges(plan), []
    for condition in plan.design.conditions:
        own = edges[edges["condition"] == condition.name]
        joined = set(zip(own["control_gene"], own["target_gene"], own["control_type"], own["target_type"], strict=True))
        for pair in plan.design.pairs.itertuples(index=False):
            rows.append([*pair, condition.name, tuple(pair) in joined])
    columns = ["ligand", "receptor", "sender", "receiver", "condition", "programmed"]
    return _with_string_index(pd.DataFrame(rows, columns=columns))


def _marginals(plan: Plan) -> pd.DataFrame | None:
    table = {}
    for condition in plan.design.conditions:
        total = np.zeros(len(plan.design.qubits))
        for segment in plan.segments[condition.name]:
            try:
                total += segment.n_shots * segment.circuit.marginals()
            except InputError:
                # too many genes in one part to list its outcomes: the joint bits still say what happened
                return None
        table[condition.name] = total / condition.n_cells
    return pd.DataFrame(table, index=pd.Index(plan.design.qubits, name="qubit"))


def _with_string_index(frame: pd.DataFrame) -> pd.DataFrame:
    frame.index = frame.index.astype(str)
    return frame
