"""Which latent bits may be coupled: each topology is one function from a size to a boolean mask."""

from __future__ import annotations

from typing import Any

import torch

from qbmvae.core.options import TOPOLOGIES
from samplers.errors import InputError

HARDWARE = ("pegasus", "zephyr", "chimera")
NAMES = TOPOLOGIES


def mask(topology: Any, n: int) -> torch.Tensor:
    """Return the allowed couplings among `n` bits.

    Parameters
    ----------
    topology
        "dense"; "pegasus", "zephyr" or "chimera" (a connected piece of that hardware graph); or a networkx graph over
        `n` nodes, which become bits in the order of the graph's nodes.
    n
        Number of bits.

    Returns
    -------
    A symmetric boolean `(n, n)` tensor with False on the diagonal.

    Raises
    ------
    InputError
        For an unknown topology, or a graph of another size.
    """
    if isinstance(topology, str):
        if topology == "dense":
            return dense(n)
        if topology in HARDWARE:
            return from_graph(hardware_graph(topology, n), n)
        from samplers.errors import nearest

        raise InputError(f"there is no topology {topology!r}{nearest(topology, NAMES)} (or give a networkx graph)")
    if not hasattr(topology, "edges") or not hasattr(topology, "nodes"):
        raise InputError(
            f"topology must be one of {', '.join(NAMES)} or a networkx graph, not {type(topology).__name__}"
        )
    return from_graph(topology, n)


def dense(n: int) -> torch.Tensor:
    """Return the mask of all pairs."""
    return ~torch.eye(n, dtype=torch.bool)


def from_graph(graph: Any, n: int) -> torch.Tensor:
    """Return the mask of a networkx graph's edges; self-loops and a wrong number of nodes are refused.

    Raises
    ------
    InputError
        For a self-loop, or another number of nodes.
    """
    nodes = list(graph.nodes)
    if len(nodes) != n:
        raise InputError(
            f"the topology graph has {len(nodes)} nodes, but the model has n_latent={n} bits: make them equal"
        )
    index = {node: i for i, node in enumerate(nodes)}
    allowed = torch.zeros(n, n, dtype=torch.bool)
    for u, v in graph.edges():
        if u == v:
            raise InputError(f"the topology graph has a self-loop at node {u!r}: remove it")
        allowed[index[u], index[v]] = allowed[index[v], index[u]] = True
    return allowed


def hardware_graph(name: str, n: int) -> Any:
    """Return a connected piece of `n` qubits of the smallest hardware graph that holds them, breadth first.

    Raises
    ------
    InputError
        Where the graph has no connected piece of that size.
    """
    import dwave_networkx as dnx
    import networkx as nx

    make = {
        "pegasus": lambda m: dnx.pegasus_graph(m, fabric_only=True),
        "zephyr": dnx.zephyr_graph,
        "chimera": dnx.chimera_graph,
    }[name]
    size = 2 if name == "pegasus" else 1
    while len(graph := make(size)) < n:
        size += 1
    centre = nx.utils.arbitrary_element(nx.center(graph)) if len(graph) <= 400 else sorted(graph.nodes)[len(graph) // 2]
    reached = [centre, *(v for _, v in nx.bfs_edges(graph, centre))]
    if len(reached) < n:
        raise InputError(f"no connected piece of {n} qubits was found in the {name} graph")
    return graph.subgraph(sorted(reached[:n])).copy()
