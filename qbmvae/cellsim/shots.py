"""Which circuit each measurement ("shot", one cell of every type) runs: conditions, times, lineages, distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qbmvae.cellsim.circuit import GeneCircuit
from qbmvae.cellsim.config import count, number, section_of
from qbmvae.cellsim.design import Condition, Design, overridden
from samplers.errors import InputError, nearest


@dataclass(frozen=True)
class Segment:
    """Consecutive shots that run the same circuit.

    Attributes
    ----------
    circuit
        The joint circuit of one cell of every type.
    start, n_shots
        The first shot within the condition, and how many.
    time, branch
        Where on the trajectory; NaN and "" without one.
    positions
        Where the cells of each type stand, `(n_types, n_shots, 2)`; None without space.
    """

    circuit: GeneCircuit
    start: int
    n_shots: int
    time: float = float("nan")
    branch: str = ""
    positions: np.ndarray | None = None


def segments(design: Design, condition: Condition, rng: np.random.Generator) -> list[Segment]:
    """Return the condition's shots as segments, in order.

    Parameters
    ----------
    design
        The simulation's design.
    condition
        One of its conditions.
    rng
        The generator.

    Raises
    ------
    InputError
        For a trajectory and space at once, or a gate of a time without a trajectory.
    """
    settings = design.settings
    if settings.get("trajectory") and settings.get("spatial"):
        raise InputError("trajectory and spatial cannot be combined in one simulation: run them apart")
    if settings.get("trajectory"):
        return _along_trajectory(design, condition)
    if np.isfinite(condition.during).any():
        raise InputError(f"conditions.{condition.name}: an edge has 'during', but there is no trajectory: add one")
    if settings.get("spatial"):
        return _in_space(design, condition, rng)
    return [Segment(design.circuit(condition), 0, condition.n_cells)]


def _along_trajectory(design: Design, condition: Condition) -> list[Segment]:
    """Activations run linearly from a branch's start to its end, in equal steps; an edge acts within its times."""
    settings = section_of(design.settings["trajectory"], "trajectory")
    steps = count(settings.get("steps", 10), "trajectory.steps")
    branches = section_of(settings.get("branches"), "trajectory.branches")
    if not branches:
        raise InputError("trajectory.branches is empty: name one, e.g. {trunk: {activations: {g0: 0.9}}}")
    begin: dict[str, float] = {}
    end: dict[str, np.ndarray] = {}
    start: dict[str, np.ndarray] = {}
    shares = []
    for name, entry in branches.items():
        entry = section_of(entry, f"trajectory.branches.{name}")
        parent = entry.get("parent")
        if parent is not None and parent not in end:
            raise InputError(
                f"trajectory.branches.{name}: parent {parent!r} is not a branch listed before it{nearest(parent, end)}"
            )
        start[name] = condition.activations if parent is None else end[parent]
        begin[name] = 0.0 if parent is None else begin[parent] + 1.0
        where = f"trajectory.branches.{name}.activations"
        end[name] = overridden(start[name], entry.get("activations"), design.qubits, where)
        shares.append(number(entry.get("share", 1.0), f"trajectory.branches.{name}.share", above=0.0))
    weights = np.repeat(np.array(shares) / np.sum(shares), steps) / steps
    ends = np.round(np.cumsum(weights) * condition.n_cells).astype(int)
    out: list[Segment] = []
    position = 0
    for k, name in enumerate(branches):
        for step in range(steps):
            part = (step + 0.5) / steps
            time = begin[name] + part
            acting = (condition.during[:, 0] <= time) & (time < condition.during[:, 1])
            edges = [e for e, on in zip(condition.edges, acting, strict=True) if on]
            activations = start[name] + part * (end[name] - start[name])
            stop = int(ends[k * steps + step])
            if stop > position:
                circuit = GeneCircuit(activations, edges, design.qubits)
                out.append(Segment(circuit, position, stop - position, time, str(name)))
            position = stop
    return out


def _in_space(design: Design, condition: Condition, rng: np.random.Generator) -> list[Segment]:
    """Cells stand at random in a square; gates between two types act only in shots whose cells are near each other.

    Cells of the first type are matched one to one with the nearest free cell of each other type, nearest pairs first.
    """
    settings = section_of(design.settings["spatial"], "spatial")
    side = number(settings.get("size", 1.0), "spatial.size", above=0.0)
    radius = number(settings.get("radius", 0.05), "spatial.radius", above=0.0)
    n, n_types = condition.n_cells, len(design.types)
    positions = rng.random((n_types, n, 2)) * side
    for t in range(1, n_types):
        positions[t] = positions[t][_nearest_first(positions[0], positions[t], radius)]
    across = [(design.qubit_type[e.control], design.qubit_type[e.target]) for e in condition.edges]
    near = np.ones((len(across), n), dtype=bool)
    for k, (a, b) in enumerate(across):
        near[k] = np.linalg.norm(positions[a] - positions[b], axis=1) <= radius
    patterns, label = np.unique(near, axis=1, return_inverse=True)
    label = np.asarray(label).ravel()
    out, position = [], 0
    for p in range(patterns.shape[1]):
        members = np.flatnonzero(label == p)
        edges = [e for e, on in zip(condition.edges, patterns[:, p], strict=True) if on]
        circuit = GeneCircuit(condition.activations, edges, design.qubits)
        out.append(Segment(circuit, position, len(members), positions=positions[:, members]))
        position += len(members)
    return out


def _nearest_first(anchors: np.ndarray, others: np.ndarray, radius: float) -> np.ndarray:
    """Return, for each anchor, its partner: pairs within the radius greedily by distance, the rest in any order."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(anchors).sparse_distance_matrix(cKDTree(others), radius, output_type="ndarray")
    partner = np.full(len(anchors), -1)
    free = np.ones(len(others), dtype=bool)
    for entry in pairs[np.argsort(pairs["v"], kind="stable")]:
        if partner[entry["i"]] < 0 and free[entry["j"]]:
            partner[entry["i"]], free[entry["j"]] = entry["j"], False
    partner[partner < 0] = np.flatnonzero(free)
    return partner


def truth_of_segments(parts: list[Segment]) -> dict[str, Any]:
    """Return the segments' edges as arrays: which gates acted in which shots."""
    return {
        "start": np.array([s.start for s in parts]),
        "n_shots": np.array([s.n_shots for s in parts]),
        "time": np.array([s.time for s in parts]),
        "branch": np.array([s.branch for s in parts], dtype=object),
        "edges": np.array([" ".join(f"{e.control}>{e.target}" for e in s.circuit.edges) for s in parts], dtype=object),
    }
