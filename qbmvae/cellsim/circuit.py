"""Genes as qubits: RY rotations set how often each gene is on, controlled gates couple them, measurement gives bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qbmvae.cellsim import engines
from qbmvae.cellsim.engines import components, memory
from qbmvae.cellsim.gates import Edge, parse_edges
from qbmvae.cellsim.structure import Structure, analyse
from samplers.errors import InputError, nearest, require

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qbmvae.circuits import Circuit

Seed = int | np.random.Generator | None

#: Exact engines, from the cheapest to the most general, then the sampled quantum backend.
ENGINES = ("gf2", "bayesian-network", "components", "statevector", "aer")
#: Largest circuit whose 2**n probabilities are listed.
MAX_LISTED = 26
#: Largest connected part with rotations whose outcomes `marginals` lists.
MAX_PART = 18
#: Parameters of a circuit of constants, in double precision.
NO_PARAMS = np.zeros(0)


class GeneCircuit:
    r"""A quantum circuit whose measured bits say which genes are on.

    Gene i starts on with :math:`P = \sin^2(\pi a_i / 2)`, a_i its activation (RY angle :math:`\pi a_i`); then the edges
    act in the order given, each a controlled gate (Romero et al. 2025, arXiv 2510.12776, with CX gates only).

    Parameters
    ----------
    activations
        One number in [0, 1] a gene, shape `(n_genes,)`.
    edges
        Controlled gates in time order, any pair of genes: `(control, target)` is a CX;
        `(control, target, gate, strength, sign)` any of "cx", "crx", "cry", "crz" (see `Edge`).
    genes
        Names; "g0", "g1", ... by default. Edges may use names or indices.

    Raises
    ------
    InputError
        For an activation outside [0, 1], an unknown gene or gate, or a gene that controls itself.
    """

    def __init__(self, activations: Any, edges: Sequence[Any] = (), genes: Sequence[str] | None = None):
        self.activations = _activations(activations, genes)
        self.genes = [f"g{i}" for i in range(self.n_genes)] if genes is None else [str(g) for g in genes]
        if len(self.genes) != self.n_genes or len(set(self.genes)) != self.n_genes:
            raise InputError(
                f"genes must be {self.n_genes} different names, one an activation; {len(self.genes)} given"
            )
        self.edges: list[Edge] = parse_edges(edges, self.genes)

    @property
    def n_genes(self) -> int:
        """Number of genes (qubits)."""
        return len(self.activations)

    @property
    def angles(self) -> np.ndarray:
        """RY angles in radians, `(n_genes,)`."""
        return np.pi * self.activations

    @cached_property
    def p_on(self) -> np.ndarray:
        """P(on) of each gene before any edge acts, `(n_genes,)`."""
        return np.sin(self.angles / 2) ** 2

    @cached_property
    def structure(self) -> Structure:
        """When each qubit is finished, and the cheapest exact engine."""
        return analyse(self.n_genes, self.edges)

    @property
    def engine(self) -> str:
        """Name of the engine that "auto" takes."""
        return self.structure.kind

    def sample(self, n_cells: int, seed: Seed = None, engine: str = "auto") -> np.ndarray:
        """Return measured bits, `(n_cells, n_genes)` uint8.

        Parameters
        ----------
        n_cells
            Number of independent measurements.
        seed
            The same seed, engine and number of cells give the same bits.
        engine
            "auto" takes the cheapest exact one; "gf2", "bayesian-network", "components", "statevector", or "aer"
            (Qiskit Aer, the extra `circuits`).
        """
        _check_count(n_cells)
        rng = np.random.default_rng(seed)
        name = self._engine(engine)
        if name == "gf2":
            return engines.gf2.sample(*self._gf2, n_cells, rng)
        if name == "bayesian-network":
            return engines.network.sample(self.angles, self.edges, self.structure.finished, n_cells, rng)
        if name == "components":
            return components.sample(self.angles, self.edges, self.structure.finished, n_cells, rng, self.genes)
        if name == "aer":
            from qbmvae.cellsim.engines.qiskit_backend import sample_on_backend

            return sample_on_backend(self, n_cells, seed=rng)
        memory.check_size(self.n_genes, self.genes)
        return self.to_circuit().sample(NO_PARAMS, shots=n_cells, seed=rng)[0].numpy()

    def sample_packed(self, n_cells: int, seed: Seed = None) -> np.ndarray:
        """Return measured bits 64 cells a word, `(n_genes, 2 ceil(n_cells / 128))` uint64: an eighth of `sample`'s memory.

        Bit j of word w of a row is cell `64 w + j`. For circuits of CX edges only; the same bits as `sample`.
        """
        _check_count(n_cells)
        self._engine("gf2")
        return engines.gf2.sample_packed(*self._gf2, n_cells, np.random.default_rng(seed))

    def blocks(self, n_cells: int, seed: Seed = None, size: int = 4096) -> Iterator[np.ndarray]:
        """Yield the bits of `n_cells` cells in blocks of at most `size` cells, in bounded memory.

        Parameters
        ----------
        n_cells
            Cells of all blocks together.
        seed
            Seed or generator, of all blocks.
        size
            Most cells of a block.
        """
        _check_count(n_cells)
        rng = np.random.default_rng(seed)
        for start in range(0, n_cells, size):
            yield self.sample(min(size, n_cells - start), rng)

    def probabilities(self, engine: str = "auto") -> np.ndarray:
        """Return the exact probability of every outcome, `(2**n_genes,)`, gene 0 the most significant bit.

        Parameters
        ----------
        engine
            As in `sample`.

        Raises
        ------
        InputError
            For too many genes to list, an engine that samples only, or a coherent group that does not fit in memory.
        """
        if self.n_genes > MAX_LISTED:
            raise InputError(
                f"{self.n_genes} genes have 2^{self.n_genes} outcomes "
                f"({memory.readable(8.0 * 2.0**self.n_genes)}): probabilities() lists at most {MAX_LISTED} genes; "
                "use sample() or marginals()"
            )
        compute: dict[str, Callable[[], np.ndarray]] = {
            "gf2": lambda: engines.gf2.probabilities(self.p_on, self._toggles),
            "bayesian-network": lambda: engines.network.probabilities(self.angles, self.edges, self.structure.finished),
            "components": lambda: components.probabilities(
                self.angles, self.edges, self.structure.finished, self.genes
            ),
            "statevector": lambda: self.to_circuit().probabilities(NO_PARAMS, engine="per-gate")[0].numpy(),
        }
        name = self._engine(engine)
        if name not in compute:
            raise InputError(f"engine {name!r} samples and has no exact probabilities{nearest('', compute)}")
        return compute[name]()

    def marginals(self) -> np.ndarray:
        """Return the exact P(on) of each gene after all edges, `(n_genes,)`; any size for circuits of CX edges.

        Raises
        ------
        InputError
            Where more than 18 genes hang together through rotations.
        """
        if self.engine == "gf2":
            return engines.gf2.marginals(self.p_on, self._toggles)
        out = np.empty(self.n_genes)
        for members in self._independent_parts():
            position = {g: i for i, g in enumerate(members)}
            edges = [
                Edge(position[e.control], position[e.target], e.gate, e.strength, e.sign)
                for e in self.edges
                if e.control in position
            ]
            part = GeneCircuit(self.activations[members], edges, [self.genes[g] for g in members])
            if part.engine == "gf2":
                out[members] = part.marginals()
                continue
            if len(members) > MAX_PART:
                raise InputError(
                    f"genes {', '.join(part.genes[:4])}, ... hang together in a part of {len(members)} with rotations: "
                    f"exact marginals list the outcomes of at most {MAX_PART}; estimate them from sample()"
                )
            p = part.probabilities().reshape((2,) * len(members))
            out[members] = [p.take(1, axis=i).sum() for i in range(len(members))]
        return out

    def to_qiskit(self, measure: bool = False) -> QuantumCircuit:
        """Return the circuit for Qiskit; gene i is qubit i (Qiskit prints qubit 0 as the *last* character)."""
        out = self.to_circuit().to_qiskit()
        out.name = "gene_circuit"
        if measure:
            out.measure_all()
        return out

    def to_circuit(self) -> Circuit:
        """Return the same gates as a `qbmvae.circuits.Circuit` of constant angles; gene i is qubit i."""
        from qbmvae.circuits import Angle, Circuit

        circuit = Circuit(self.n_genes)
        for gene, angle in enumerate(self.angles):
            circuit.ry(gene, angle=float(angle))
        for e in self.edges:
            if e.open:
                circuit.x(e.control)
            angles = () if e.gate == "cx" else (Angle("constant", offset=e.angle),)
            circuit.append("cnot" if e.gate == "cx" else e.gate, (e.control, e.target), angles)
            if e.open:
                circuit.x(e.control)
        return circuit

    @property
    def _toggles(self) -> list[Edge]:
        return [e for e in self.edges if e.gate == "cx"]

    @cached_property
    def _gf2(self) -> tuple[np.ndarray, np.ndarray]:
        return engines.gf2.starting_bits(self.p_on), engines.gf2.gate_arrays(self._toggles)

    def _engine(self, engine: str) -> str:
        if engine in ("auto", "components") and self.engine == "components":
            largest = [self.genes[q] for q in self.structure.largest]
            memory.check_size(len(largest), largest)
        if engine == "auto":
            return self.engine
        require(engine, ENGINES, "unknown engine", ("auto", *ENGINES))
        if engine in ENGINES[:2] and ENGINES.index(engine) < ENGINES.index(self.engine):
            why = "only CX edges" if engine == "gf2" else "every gene to be finished before it controls another"
            raise InputError(f"engine {engine!r} needs {why}; this circuit needs {self.engine!r}")
        return engine

    def _independent_parts(self) -> list[list[int]]:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        rows, columns = [e.control for e in self.edges], [e.target for e in self.edges]
        graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(self.n_genes, self.n_genes))
        n_parts, label = connected_components(graph, directed=False)
        order = np.argsort(label, kind="stable")
        return [part.tolist() for part in np.split(order, np.cumsum(np.bincount(label, minlength=n_parts))[:-1])]

    def __repr__(self) -> str:
        return f"GeneCircuit({self.n_genes} genes, {len(self.edges)} edges, {self.engine})"


def _activations(values: Any, genes: Sequence[str] | None) -> np.ndarray:
    try:
        activations = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"activations must be numbers, one a gene: {error}") from error
    if activations.ndim != 1 or not len(activations):
        raise InputError(f"activations have shape {activations.shape}: give one number a gene, shape (n_genes,)")
    wrong = np.flatnonzero(~((activations >= 0) & (activations <= 1)))
    if len(wrong):
        g = int(wrong[0])
        name = genes[g] if genes is not None and g < len(genes) else f"g{g}"
        raise InputError(f"activation of gene {name} is {activations[g]}: activations lie in [0, 1] (theta / pi)")
    return activations


def _check_count(n_cells: Any) -> None:
    if isinstance(n_cells, bool) or not hasattr(n_cells, "__index__") or n_cells < 1:
        raise InputError(f"n_cells is {n_cells!r}: give a whole number of cells, at least 1")
