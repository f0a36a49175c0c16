"""D-Wave quantum processors as samplers: raw reads of unscaled coefficients over a fixed embedding."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dimod
import networkx as nx
import numpy as np

from samplers.bqm import model_of
from samplers.checks import integer, positive
from samplers.draws import Draws, Seed
from samplers.errors import needs
from samplers.problem import Ising
from samplers.quantisation import ClipReport, clip
from samplers.remote import embedding as embeddings
from samplers.remote.machine import Machine, machine
from samplers.remote.secrets import from_environment, vendor_errors
from samplers.request import Request
from samplers.sampler import Sampler

#: The environment variable that holds the account's token.
TOKEN_VARIABLE = "DWAVE_API_TOKEN"


class DWave(Sampler):
    """A D-Wave QPU.

    The machine samples at a temperature of its own: coefficients are `beta / machine_beta` times the problem's, never
    rescaled by the service (`auto_scale=False`), and cut to the ranges that its solver publishes;
    `info["clip"]` reports it. Put `samplers.wrappers.temperature_control` around it to hold a beta.

    Parameters
    ----------
    solver
        Name of the solver; the account's default without.
    machine_beta
        Inverse temperature at which the machine samples a coefficient of 1.
    chain_strength
        Coupling inside the chains; by default 1.414 times the uniform torque compensation of the problem, at most what
        the range allows.
    gauges
        Spin-reversal transforms at least: each batch of reads gets its own.
    annealing_time
        Microseconds; the solver's default without.
    max_reads
        Reads of one call, where fewer than the solver takes are wanted.
    embedding
        Spin to qubits, where a certain one is wanted; by default one is found for the problem's graph, once.
    cache_folder
        Where found embeddings are kept; `~/.cache/qbmvae/embeddings` by default.
    qpu
        A structured `dimod` sampler to use instead of the account, such as `dwave.system.testing.MockDWaveSampler`.

    Notes
    -----
    The token comes from the environment variable `DWAVE_API_TOKEN` alone.
    """

    name = "dwave"
    remote = True
    takes_clamped = True

    def __init__(
        self,
        solver: str | None = None,
        *,
        machine_beta: float = 1.0,
        chain_strength: float | None = None,
        gauges: int = 1,
        annealing_time: float | None = None,
        max_reads: int | None = None,
        embedding: Mapping[Any, Any] | None = None,
        cache_folder: str | Path | None = None,
        qpu: Any = None,
    ):
        self.solver, self.machine_beta = solver, positive("machine_beta", machine_beta)
        self.chain_strength, self.annealing_time, self.max_reads = chain_strength, annealing_time, max_reads
        self.gauges = integer("gauges", gauges)
        self.embedding = embedding
        self.cache_folder = Path(cache_folder) if cache_folder is not None else embeddings.default_folder()
        self._qpu = qpu
        self._machine: Machine | None = None
        self._graph: nx.Graph | None = None
        self._found: dict[Any, embeddings.Embedding] = {}

    @property
    def properties(self) -> dict[str, Any]:
        """Our own, and the machine's facts once it was reached."""
        own = super().properties
        return own if self._qpu is None else {**own, "machine": self.machine.facts()}

    @property
    def machine(self) -> Machine:
        """The solver's facts, as the account tells them."""
        if self._machine is None:
            told = self._connected().properties
            account = {
                "max_spins": len(self._connected().nodelist),
                "connectivity": str(told.get("topology", {}).get("type", "graph")),
                "h_range": told.get("h_range"),
                "j_range": told.get("extended_j_range") or told.get("j_range"),
                "max_reads": told.get("num_reads_range", [1, None])[1],
            }
            name = str(self.solver or told.get("chip_id", "QPU"))
            self._machine = machine(name, account, max_reads=self.max_reads)
        return self._machine

    def _draw(self, request: Request) -> Draws:
        # the seed sets the gauges and broken ties, the reads are the machine's own
        return self._submit(request).result()

    def submit(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        clamped: Mapping[Any, int] | None = None,
        seed: Seed = None,
    ) -> _Pending:
        """Send every batch, and return at once; `.result()` waits for the reads and returns the `Draws`.

        Parameters
        ----------
        problem, num_reads, beta, clamped, seed
            As in `draw`.
        """
        return self._submit(Request.checked(problem, num_reads, beta, None, clamped, seed))

    def _submit(self, request: Request) -> _Pending:
        problem, num_reads, rng = request.problem, request.num_reads, request.rng
        qpu, chains = self._connected(), self._chains(problem)
        fixed = np.zeros(problem.n, dtype=np.int8)
        rest, free = problem, np.arange(problem.n)
        if request.clamped:
            rest, free = problem.condition(request.clamped)
            fixed[list(request.clamped)] = list(request.clamped.values())
        chains = {k: chains[int(spin)] for k, spin in enumerate(free)}
        program = self._program(rest.scaled(request.beta / self.machine_beta), chains)
        options: dict[str, Any] = {"answer_mode": "raw", "auto_scale": False}
        if self.annealing_time is not None:
            options["annealing_time"] = self.annealing_time
        options = {k: v for k, v in options.items() if k in qpu.parameters}
        calls = []
        for reads in self._batches(num_reads, len(program.qubits)) if len(free) else []:
            gauge = rng.choice(np.array([-1, 1], dtype=np.int8), len(program.qubits))
            with vendor_errors(self.machine.name, TOKEN_VARIABLE):
                calls.append((qpu.sample(program.gauged(gauge), num_reads=reads, **options), gauge))
        return _Pending(self.machine.name, program, calls, chains, free, fixed, num_reads, rng)

    def _connected(self) -> Any:
        if self._qpu is None:
            with needs("dwave-system", "dwave"):
                from dwave.system import DWaveSampler
            token = from_environment(TOKEN_VARIABLE, purpose="a D-Wave QPU")
            where = {"solver": self.solver} if self.solver else {}
            with vendor_errors(self.solver or "D-Wave", TOKEN_VARIABLE):
                self._qpu = DWaveSampler(token=token.reveal(), **where)
        return self._qpu

    def _target(self) -> nx.Graph:
        if self._graph is None:
            qpu = self._connected()
            self._graph = qpu.to_networkx_graph() if hasattr(qpu, "to_networkx_graph") else nx.Graph(qpu.edgelist)
            self._graph.add_nodes_from(qpu.nodelist)
        return self._graph

    def _chains(self, problem: Ising) -> embeddings.Embedding:
        self.machine.check(problem)
        if self.embedding is not None:
            return embeddings.check(self.embedding, problem, self._target())
        key = (problem.n, np.stack(problem.coupled.pairs).tobytes())
        if key not in self._found:
            self._found[key] = embeddings.find(
                problem, self._target(), machine=self.machine.name, folder=self.cache_folder
            )
        return self._found[key]

    def _program(self, problem: Ising, chains: embeddings.Embedding) -> Program:
        from dwave.embedding import embed_bqm
        from dwave.embedding.chain_strength import uniform_torque_compensation

        low, high = self.machine.j_range or (-np.inf, np.inf)
        bqm = model_of(problem.h, problem.edges, 0.0, range(problem.n), "SPIN")
        strength = self.chain_strength
        if strength is None:
            strength = uniform_torque_compensation(bqm, chains) if len(problem.edges[0]) else 1.0
        strength = float(min(strength or 1.0, -low))
        target = self._target()
        physical = embed_bqm(bqm, chains, target, chain_strength=strength)
        qubits = list(physical.variables)
        vectors = physical.to_numpy_vectors(variable_order=qubits)
        h, J, report = clip(
            vectors.linear_biases, vectors.quadratic.biases, self.machine.h_range or (-np.inf, np.inf), (low, high)
        )
        return Program(qubits, h, vectors.quadratic.row_indices, vectors.quadratic.col_indices, J, report, strength)

    def _batches(self, num_reads: int, qubits: int) -> list[int]:
        batches = self.machine.batches(num_reads)
        if len(batches) < self.gauges:
            share, rest = divmod(num_reads, self.gauges)
            batches = [share + (i < rest) for i in range(min(self.gauges, num_reads))]
        solver = getattr(self._connected(), "solver", None)
        most = self._connected().properties.get("problem_run_duration_range", [0, np.inf])[1]
        if solver is not None and hasattr(solver, "estimate_qpu_access_time"):
            timed = {} if self.annealing_time is None else {"annealing_time": self.annealing_time}
            # the service refuses a call that would run too long, instead of splitting it
            while max(batches) > 1 and solver.estimate_qpu_access_time(qubits, num_reads=max(batches), **timed) > most:
                batches = [half for reads in batches for half in (reads - reads // 2, reads // 2) if half]
        return batches


@dataclass(frozen=True)
class Program:
    """What is sent to the machine: fields and couplings of its qubits, and what was cut."""

    qubits: list[Hashable]
    h: np.ndarray
    row: np.ndarray
    col: np.ndarray
    J: np.ndarray
    report: ClipReport
    chain_strength: float

    def gauged(self, gauge: np.ndarray) -> dimod.BinaryQuadraticModel:
        """Return the program with the spins turned where `gauge` is -1: the machine's biases average out over gauges."""
        turned = self.J * gauge[self.row] * gauge[self.col]
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            self.h * gauge, (self.row, self.col, turned), 0.0, dimod.SPIN, variable_order=self.qubits
        )


class _Pending:
    """Reads that are being drawn."""

    def __init__(
        self,
        name: str,
        program: Program,
        calls: list[tuple[Any, np.ndarray]],
        chains: embeddings.Embedding,
        free: np.ndarray,
        fixed: np.ndarray,
        num_reads: int,
        rng: np.random.Generator,
    ):
        self._name, self._program, self._calls, self._chains = name, program, calls, chains
        self._free, self._fixed, self._num_reads, self._rng = free, fixed, num_reads, rng

    def done(self) -> bool:
        """Tell whether every batch has answered."""
        return all(answer.done() for answer, _ in self._calls)

    def result(self) -> Draws:
        """Wait for the reads: chains vote, ties are broken at random.

        Raises
        ------
        RemoteError
            Where the machine failed.
        """
        index = {qubit: k for k, qubit in enumerate(self._program.qubits)}
        members = np.zeros((len(index), len(self._chains)), dtype=np.float32)
        for spin, chain in self._chains.items():
            members[[index[qubit] for qubit in chain], spin] = 1.0
        blocks, broken, seconds = [np.empty((0, len(self._chains)), np.int8)], 0.0, 0.0
        for answer, gauge in self._calls:
            with vendor_errors(self._name, TOKEN_VARIABLE):
                reads = _read(answer, self._program.qubits) * gauge
            votes = reads.astype(np.float32) @ members
            broken += float((np.abs(votes) < members.sum(axis=0)).sum())
            votes += self._rng.uniform(-0.5, 0.5, votes.shape)
            blocks.append(np.where(votes > 0, 1, -1).astype(np.int8))
            # microseconds, as the service counts
            seconds += float(answer.info.get("timing", {}).get("qpu_access_time", 0.0)) * 1e-6
        spins = np.concatenate(blocks)
        states = np.repeat(self._fixed[None], len(spins) if self._calls else self._num_reads, axis=0)
        states[:, self._free] = spins if self._calls else 0
        info = {
            "machine": self._name, "calls": len(self._calls), "clip": self._program.report.as_dict(),
            "chain_strength": self._program.chain_strength, "chain_breaks": broken / max(1, spins.size),
            "longest_chain": max(map(len, self._chains.values()), default=0), "timing": {"machine": seconds},
        }  # fmt: skip
        return Draws(states, info=info)


def _read(answer: dimod.SampleSet, qubits: list[Hashable]) -> np.ndarray:
    record, columns = answer.record, [answer.variables.index(qubit) for qubit in qubits]
    return np.repeat(record.sample, record.num_occurrences, axis=0)[:, columns]
