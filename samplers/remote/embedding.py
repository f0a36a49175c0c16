"""Minor embeddings: a spin as a chain of qubits, found once for a graph and kept in a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from samplers.errors import InputError
from samplers.files import write_text
from samplers.problem import Ising
from samplers.states import spin_of

Embedding = dict[int, tuple[Hashable, ...]]


def source_graph(problem: Ising) -> nx.Graph:
    """Return the graph that an embedding of a problem's layout must hold.

    A dense problem asks for all pairs and a bipartite one for all pairs between its sides, whatever couplings are zero
    today: so that one embedding serves a whole training.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(problem.n))
    graph.add_edges_from(zip(*(part.tolist() for part in problem.coupled.pairs), strict=True))
    return graph


def find(problem: Ising, target: nx.Graph, *, machine: str, folder: Path | None, seed: int = 0) -> Embedding:
    """Return an embedding of a problem's graph, from the folder where it was found before.

    Parameters
    ----------
    problem
        Its layout says which graph (see `source_graph`).
    target
        The machine's graph; a graph of `dwave_networkx` speeds up the search for cliques.
    machine
        The machine's name, for messages.
    folder
        Where embeddings are kept as JSON; None keeps none.
    seed
        Of the search.

    Raises
    ------
    InputError
        Where none is found; the message says how many fully connected spins fit.
    """
    source = source_graph(problem)
    key = hashlib.sha256(_edges(source) + b"|" + _edges(target)).hexdigest()[:24]
    path = folder / f"{key}.json" if folder is not None else None
    if path is not None and (kept := _load(path, source, target)) is not None:
        return kept
    embedding = _search(problem, source, target, seed)
    if embedding is None:
        pairs = source.number_of_edges()
        raise InputError(
            f"the problem of {problem.n} spins and {pairs} pairs does not fit {machine!r} ({len(target)} qubits): at "
            f"most {largest_clique(target)} fully connected spins fit; use fewer spins, or a graph of the machine's kind"
        )
    if path is not None:
        write_text(path, json.dumps({str(s): list(chain) for s, chain in embedding.items()}))
    return embedding


def check(embedding: Mapping[Any, Any], problem: Ising, target: nx.Graph) -> Embedding:
    """Return a user's embedding by spin index.

    Parameters
    ----------
    embedding
        Spin, by index or label, to its qubits, or to its one qubit.
    problem
        The problem.
    target
        The machine's graph.

    Raises
    ------
    InputError
        Where it names other spins, or does not hold the problem.
    """
    chains: Embedding = {}
    for name, chain in embedding.items():
        # a qubit may itself be a tuple: a node of the machine's graph is a chain of one
        chains[spin_of(name, problem.labels)] = (
            (chain,) if isinstance(chain, Hashable) and chain in target else tuple(chain)
        )
    wrong = _fault(chains, _nonzero(problem), target)
    if wrong:
        raise InputError(f"the embedding does not hold the problem: {wrong}")
    return chains


def largest_clique(target: nx.Graph) -> int:
    """Return the number of fully connected spins that fit a machine's graph."""
    try:
        from minorminer.busclique import busgraph_cache

        return max(1, len(busgraph_cache(target).largest_clique()))
    except (ImportError, ValueError, KeyError, TypeError, NotImplementedError):
        return max(2, max((len(c) for c in nx.find_cliques(target)), default=1)) if target.number_of_edges() else 1


def _search(problem: Ising, source: nx.Graph, target: nx.Graph, seed: int) -> Embedding | None:
    if problem.n > len(target):
        return None
    if problem.n > 2 and source.number_of_edges() == problem.n * (problem.n - 1) // 2:
        from minorminer.busclique import find_clique_embedding

        try:
            found = find_clique_embedding(problem.n, g=target, seed=seed)
        except (ValueError, KeyError, TypeError):
            found = {}
        if len(found) == problem.n:
            return {int(s): tuple(chain) for s, chain in found.items()}
        if "family" in target.graph:
            return None
    import minorminer

    coupled = [s for s in source if source.degree(s)]
    found = minorminer.find_embedding(list(source.edges), list(target.edges), random_seed=seed) if coupled else {}
    if coupled and not found:
        return None
    used = {qubit for chain in found.values() for qubit in chain}
    free = iter(qubit for qubit in target if qubit not in used)
    # the search leaves out spins without couplings
    chains = {
        s: tuple(found[s]) if s in found else tuple(q for q, _ in zip(free, range(1), strict=False)) for s in source
    }
    return chains if all(chains.values()) else None


def _load(path: Path, source: nx.Graph, target: nx.Graph) -> Embedding | None:
    try:
        kept = {int(s): tuple(chain) for s, chain in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return None if _fault(kept, source, target) else kept


def _fault(chains: Embedding, source: nx.Graph, target: nx.Graph) -> str:
    used: dict[Hashable, int] = {}
    for spin in source:
        chain = chains.get(spin, ())
        if not chain:
            return f"spin {spin} has no chain"
        for qubit in chain:
            if qubit not in target:
                return f"qubit {qubit} of spin {spin} is not on the machine"
            if used.setdefault(qubit, spin) != spin:
                return f"qubit {qubit} serves spins {used[qubit]} and {spin}"
        if len(chain) > 1 and not nx.is_connected(target.subgraph(chain)):
            return f"the chain of spin {spin} is broken"
    for i, j in source.edges:
        if not any(target.has_edge(p, q) for p in chains[i] for q in chains[j]):
            return f"no coupler joins spins {i} and {j}"
    return ""


def _nonzero(problem: Ising) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(problem.n))
    graph.add_edges_from(zip(*(part.tolist() for part in problem.edges[:2]), strict=True))
    return graph


def _edges(graph: nx.Graph) -> bytes:
    edges = np.array([sorted(map(int, edge)) for edge in graph.edges], dtype=np.int64).reshape(-1, 2)
    return np.sort(np.array(list(graph), dtype=np.int64)).tobytes() + edges[np.lexsort(edges.T[::-1])].tobytes()


def default_folder() -> Path:
    """Return the folder of kept embeddings: `$XDG_CACHE_HOME/qbmvae/embeddings`, `~/.cache` by default."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qbmvae" / "embeddings"
