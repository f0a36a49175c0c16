"""What a gene circuit's gates ask of an engine: when each qubit is finished, and which qubits stay coherent together.

A qubit measured in the computational basis may be measured as soon as nothing acts on it any more except controls,
phases and toggles by bits that are themselves already classical (the principle of deferred measurement). Where that
holds before every use as a control, the circuit is a Bayesian network; where it does not, the qubits in question form
a coherent group and need a joint statevector, from the first such use until the last one's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qbmvae.cellsim.gates import Edge


@dataclass(frozen=True)
class Structure:
    """What `analyse` found.

    Attributes
    ----------
    finished
        For each qubit, the position of the last gate that acts on it coherently; -1 where there is none.
    kind
        "gf2" (toggles by classical bits only), "bayesian-network" (each qubit finished before it controls) or
        "components" (some qubits need a joint statevector).
    largest
        The qubits of the largest coherent group.
    """

    finished: tuple[int, ...]
    kind: str
    largest: tuple[int, ...]


def analyse(n_genes: int, edges: Sequence[Edge]) -> Structure:
    """Return when qubits are finished and the cheapest exact engine, for gates in time order."""
    finished = [-1] * n_genes
    for k in range(len(edges) - 1, -1, -1):
        e = edges[k]
        coherent = e.gate in ("crx", "cry") or (e.gate == "cx" and finished[e.control] > k)
        if coherent and finished[e.target] < 0:
            finished[e.target] = k
    groups = _coherent_groups(edges, finished)
    if any(f >= 0 for f in finished):
        kind = "bayesian-network" if len(groups) <= 1 else "components"
    else:
        kind = "gf2"
    return Structure(tuple(finished), kind, groups)


def _coherent_groups(edges: Sequence[Edge], finished: Sequence[int]) -> tuple[int, ...]:
    """Return the qubits of the largest joint statevector, following groups as they merge and shrink in time."""
    group: dict[int, set[int]] = {}
    largest: set[int] = set()

    def leave(qubit: int) -> None:
        members = group.pop(qubit, None)
        if members is not None:
            members.discard(qubit)

    for k, e in enumerate(edges):
        classical = [q for q in (e.control, e.target) if finished[q] < k]
        if e.control in classical or (e.gate == "crz" and classical):
            for qubit in classical:
                leave(qubit)
            continue
        merged = group.get(e.control, {e.control}) | group.get(e.target, {e.target})
        for qubit in merged:
            group[qubit] = merged
        if len(merged) > len(largest):
            largest = set(merged)
    return tuple(sorted(largest))
