"""The design of a simulation: a checked configuration as arrays over qubits, one qubit a gene of a cell type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qbmvae.cellsim.circuit import GeneCircuit
from qbmvae.cellsim.config import count, number, section_of
from qbmvae.cellsim.gates import Edge, parse_edges
from qbmvae.cellsim.reference import Reference
from samplers.errors import InputError, nearest

#: Kinds of genes in `.var`.
REGULATED, HOUSEKEEPING = "regulated", "housekeeping"


@dataclass(frozen=True)
class Condition:
    """One condition: gates in time order, when each acts, activations of all qubits, housekeeping, cells a type."""

    name: str
    edges: list[Edge]
    during: np.ndarray
    activations: np.ndarray
    hk_mean: float
    hk_size: float
    n_cells: int


@dataclass(frozen=True)
class Design:
    """What is simulated; arrays over qubits have shape `(n_qubits,)`.

    Attributes
    ----------
    types, genes, housekeeping
        Names of cell types, of regulated and of housekeeping genes.
    qubit_type, qubit_gene
        Cell type and gene (indices) of each qubit.
    qubits
        Names: the gene's where it is unique, "type:gene" otherwise.
    mean, size
        Negative binomial mean and size of a gene that is on.
    """

    types: list[str]
    genes: list[str]
    housekeeping: list[str]
    qubit_type: np.ndarray
    qubit_gene: np.ndarray
    qubits: list[str]
    mean: np.ndarray
    size: np.ndarray
    conditions: list[Condition]
    pairs: pd.DataFrame
    settings: dict[str, Any]
    reference: Reference | None

    @property
    def n_genes(self) -> int:
        """Number of columns of the counts."""
        return len(self.genes) + len(self.housekeeping)

    def circuit(self, condition: Condition) -> GeneCircuit:
        """Return the joint circuit of one cell of every type."""
        return GeneCircuit(condition.activations, condition.edges, self.qubits)


def build(settings: dict[str, Any], n_cells: int | None = None, reference: Reference | None = None) -> Design:
    """Return the design of a checked configuration (see `config.load`).

    Parameters
    ----------
    settings
        A configuration that `config.load` has checked.
    n_cells
        Cells of each type and condition; the configuration's by default.
    reference
        Types, genes and counts of real cells to take instead of the configuration's.

    Raises
    ------
    InputError
        For a key that goes with no reference, or genes and edges that do not fit.
    """
    if reference is not None:
        for key in ("cell_types", "counts"):
            if settings.get(key):
                raise InputError(
                    f"give {key} or a reference, not both: a reference brings its own types, genes and counts"
                )
        types, activations, means, sizes = reference.tables()
    else:
        types, activations, means, sizes = _types(settings), None, None, None
    qubit_type: list[int] = []
    genes: list[str] = []
    qubit_gene: list[int] = []
    values: list[Any] = []
    position: dict[str, int] = {}
    for t, (_, table) in enumerate(types.items()):
        for gene, activation in table.items():
            if gene not in position:
                position[gene] = len(genes)
                genes.append(gene)
            qubit_type.append(t)
            qubit_gene.append(position[gene])
            values.append(activation)
    of_type, of_gene = np.array(qubit_type), np.array(qubit_gene)
    shared = np.bincount(of_gene) > 1
    names = list(types)
    qubits = [f"{names[t]}:{genes[g]}" if shared[g] else genes[g] for t, g in zip(of_type, of_gene, strict=True)]
    counts = section_of(settings.get("counts"), "counts")
    if means is None or sizes is None or activations is None:
        activations = _activation_array(values, qubits)
        means = _per_gene(counts.get("mean", 5.0), "counts.mean", genes)[of_gene]
        sizes = _per_gene(counts.get("size", 1.0), "counts.size", genes)[of_gene]
    hk = section_of(settings.get("housekeeping"), "housekeeping")
    n_hk = count(hk.get("n", 0), "housekeeping.n", 0)
    housekeeping = [f"{hk.get('prefix', 'HKG_')}{i}" for i in range(n_hk)]
    clash = set(housekeeping) & set(genes)
    if clash:
        raise InputError(f"housekeeping gene {min(clash)!r} is also a regulated gene: change housekeeping.prefix")
    conditions = _conditions(settings, n_cells, activations, qubits, of_type, of_gene, names, genes, hk)
    pairs = _pairs(settings, names, genes)
    return Design(
        names, genes, housekeeping, of_type, of_gene, qubits, means, sizes, conditions, pairs, settings, reference
    )


def _types(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    types = section_of(settings.get("cell_types"), "cell_types")
    if not types:
        raise InputError("the configuration names no cell types: give cell_types, e.g. {CT1: {g0: 0.2, g1: 0.1}}")
    for name, table in types.items():
        if not isinstance(table, Mapping) or not table:
            raise InputError(f"cell_types.{name} must be a mapping of genes to activations, not {table!r}")
    return {str(name): {str(g): a for g, a in table.items()} for name, table in types.items()}


def _activation_array(values: list[Any], qubits: list[str]) -> np.ndarray:
    return np.array([number(a, f"activation of gene {q}", 0.0, 1.0) for a, q in zip(values, qubits, strict=True)])


def _per_gene(value: Any, where: str, genes: list[str]) -> np.ndarray:
    if isinstance(value, Mapping):
        table = {str(g): v for g, v in value.items()}
        for gene in table:
            if gene not in genes:
                raise InputError(f"{where} names gene {gene!r}, which no cell type has{nearest(gene, genes)}")
        missing = [g for g in genes if g not in table]
        if missing:
            raise InputError(f"{where} has no value for gene {missing[0]!r}: give one a gene, or one for all")
        return np.array([number(table[g], f"{where} of gene {g}", above=0.0) for g in genes])
    return np.full(len(genes), number(value, where, above=0.0))


def _conditions(settings, n_cells, activations, qubits, of_type, of_gene, names, genes, hk) -> list[Condition]:
    entries = section_of(settings.get("conditions"), "conditions")
    if entries and ("edges" in settings or "condition" in settings):
        raise InputError("give edges and condition at the top, or conditions with edges of their own, not both")
    if not entries:
        entries = {str(settings.get("condition", "simulated")): {"edges": settings.get("edges", [])}}
    out = []
    for name, entry in entries.items():
        where = f"conditions.{name}"
        if "/" in str(name):
            raise InputError(f"{where}: a condition's name may not hold '/' (it becomes a key of the file)")
        entry = section_of(entry, where)
        plain, during = _timed(entry.get("edges") or [], f"{where}.edges")
        edges = [_resolved(e, qubits, of_type, of_gene, names, genes, f"{where}.edges") for e in plain]
        own_hk = hk | section_of(entry.get("housekeeping"), f"{where}.housekeeping")
        out.append(
            Condition(
                str(name),
                parse_edges(edges, qubits, f"{where}.edges"),
                during,
                overridden(activations, entry.get("activations"), qubits, f"{where}.activations"),
                number(own_hk.get("mean", 80.0), f"{where}: housekeeping.mean", above=0.0),
                number(own_hk.get("size", 6.0), f"{where}: housekeeping.size", above=0.0),
                count(n_cells or entry.get("n_cells") or settings.get("n_cells", 2000), f"{where}: n_cells"),
            )
        )
    return out


def overridden(activations: np.ndarray, changes: Any, qubits: list[str], where: str) -> np.ndarray:
    """Return activations with some replaced, by the qubits' names.

    Parameters
    ----------
    activations
        `(n_qubits,)`.
    changes
        Gene to activation.
    qubits
        Names of the qubits.
    where
        The place in the configuration, for messages.

    Raises
    ------
    InputError
        For a gene that the circuit lacks.
    """
    out = activations.copy()
    for name, value in section_of(changes, where).items():
        if str(name) not in qubits:
            raise InputError(f"{where} names gene {name!r}, which the circuit lacks{nearest(name, qubits)}")
        out[qubits.index(str(name))] = number(value, f"{where}: activation of gene {name}", 0.0, 1.0)
    return out


def _timed(edges: Any, where: str) -> tuple[list[Any], np.ndarray]:
    """Return edges without their `during: [from, to]`, and those times."""
    plain, during = [], []
    for k, edge in enumerate(edges):
        times = (-np.inf, np.inf)
        if isinstance(edge, Mapping) and "during" in edge:
            values = edge["during"]
            if not isinstance(values, (list, tuple)) or len(values) != 2:
                raise InputError(f"{where}[{k}].during is {values!r}: give [from, to]")
            begin, end = (number(v, f"{where}[{k}].during") for v in values)
            times = (begin, end)
            edge = {key: value for key, value in edge.items() if key != "during"}
        plain.append(edge)
        during.append(times)
    return plain, np.array(during, dtype=np.float64).reshape(-1, 2)


def _resolved(edge: Any, qubits, of_type, of_gene, names, genes, where: str) -> Any:
    """Return an edge whose genes are qubits: a gene of several types must be written "type:gene"."""

    def resolve(gene: Any) -> Any:
        if not isinstance(gene, str) or gene in qubits:
            return gene
        kind, _, rest = gene.partition(":")
        if kind in names and rest in genes:
            found = np.flatnonzero((of_type == names.index(kind)) & (of_gene == genes.index(rest)))
            if len(found):
                return int(found[0])
        if gene in genes:
            some = qubits[int(np.flatnonzero(of_gene == genes.index(gene))[0])]
            raise InputError(f"{where}: gene {gene!r} is in several cell types: say which, e.g. {some!r}")
        return gene

    if isinstance(edge, Mapping):
        return {k: resolve(v) if k in ("control", "target") else v for k, v in edge.items()}
    if isinstance(edge, (list, tuple)) and len(edge) >= 2:
        return [resolve(edge[0]), resolve(edge[1]), *edge[2:]]
    return edge


def _pairs(settings: Mapping[str, Any], names: list[str], genes: list[str]) -> pd.DataFrame:
    columns = ["ligand", "receptor", "sender", "receiver"]
    rows = []
    for k, pair in enumerate(settings.get("pairs") or []):
        if not isinstance(pair, (list, tuple)) or len(pair) != 4:
            raise InputError(f"pairs[{k}] is {pair!r}: a pair is [ligand, receptor, sender, receiver]")
        for gene in pair[:2]:
            if gene not in genes:
                raise InputError(f"pairs[{k}]: gene {gene!r} is not simulated{nearest(gene, genes)}")
        for kind in pair[2:]:
            if kind not in names:
                raise InputError(f"pairs[{k}]: cell type {kind!r} is not simulated{nearest(kind, names)}")
        rows.append([str(v) for v in pair])
    return pd.DataFrame(rows, columns=columns)
