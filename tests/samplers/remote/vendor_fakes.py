"""Stand-ins for vendors' libraries: a QPU that samples exactly, and the Kaiwu SDK as its public pages describe it."""

from __future__ import annotations

import hashlib
import types
from datetime import timedelta
from enum import Enum
from pathlib import Path

import amplify
import dimod
import networkx as nx
import numpy as np


class ExactQpu(dimod.Sampler, dimod.Structured):
    """A QPU that samples exactly, at an inverse temperature of its own; it keeps what it was sent."""

    nodelist, edgelist, parameters, properties = None, None, None, None

    def __init__(self, mock, beta: float = 1.0, **properties):
        self.nodelist, self.edgelist, self.parameters = mock.nodelist, mock.edgelist, mock.parameters
        self.properties = {**mock.properties, **properties}
        self._graph, self.beta, self.sent, self.fault = mock.to_networkx_graph(), beta, [], None
        self._rng = np.random.default_rng(0)

    def to_networkx_graph(self):
        return self._graph

    @dimod.bqm_structured
    def sample(self, bqm, **options):
        self.sent.append((bqm, options))
        if self.fault:
            raise self.fault
        n, reads = bqm.num_variables, options["num_reads"]
        timing = {"timing": {"qpu_access_time": 5e5}}
        if not any(bqm.quadratic.values()):
            chance = 1 / (1 + np.exp(2 * self.beta * np.array(list(bqm.linear.values()))))
            states = np.where(self._rng.random((reads, n)) < chance, 1, -1)
            return dimod.SampleSet.from_samples_bqm(
                (states, list(bqm.variables)), bqm, info=timing, aggregate_samples=False
            )
        states = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        energies = bqm.energies((states, list(bqm.variables)))
        weights = np.exp(-self.beta * (energies - energies.min()))
        rows = self._rng.choice(2**n, reads, p=weights / weights.sum())
        return dimod.SampleSet.from_samples((states[rows], list(bqm.variables)), "SPIN", energies[rows], info=timing)


class CompleteGraph:
    """A machine of fully connected qubits, as far as `ExactQpu` asks."""

    def __init__(self, qubits: int):
        graph = nx.complete_graph(qubits)
        self.nodelist, self.edgelist = sorted(graph), sorted(graph.edges)
        self.parameters = {"num_reads": [], "answer_mode": [], "auto_scale": []}
        self.properties = {"h_range": [-9.0, 9.0], "j_range": [-9.0, 9.0], "num_reads_range": [1, 8000]}
        self.to_networkx_graph = lambda: graph


class FakeSdk(types.ModuleType):
    """The part of kaiwu 1.4 that we call, with the rules of its public documentation.

    The machine samples exp(-beta H) with H = -s' M s exactly, at a beta of its own, and sorts its answers.
    """

    def __init__(self, beta: float):
        super().__init__("kaiwu")
        sdk = self
        self.beta, self.qubits, self.logins, self.tasks, self.matrices = beta, 12, [], [], []
        self.spoil = lambda spins: spins
        self.rng = np.random.default_rng(0)

        class CheckpointManager:
            save_dir = None

        class TaskMode(Enum):
            OPTIMIZATION = 1
            SAMPLING = 2

        class CIMOptimizer:
            def __init__(self, task_name, wait=False, interval=1, project_no=None, task_mode=None, sample_number=10):
                if CheckpointManager.save_dir is None:
                    raise ValueError("The save directory is required")
                if not isinstance(sample_number, int) or not 10 <= sample_number <= 2000:
                    raise ValueError("sample_number must be between 10 and 2000 inclusive")
                assert task_mode is TaskMode.SAMPLING and interval >= 1 and wait
                self.task_name, self.sample_number, self.project = task_name, sample_number, project_no

            def solve(self, matrix):
                if not sdk.logins:
                    raise ValueError("no license")
                if len(matrix) > sdk.qubits:
                    raise ValueError(f"at most {sdk.qubits} qubits")
                if not (matrix == np.rint(matrix)).all() or np.abs(matrix).max() > 127:
                    raise ValueError("the precision of the matrix is too high")
                assert (matrix == matrix.T).all() and not np.diagonal(matrix).any()
                # an old result is answered where matrix and task name are old
                digest = hashlib.md5(matrix.tobytes()).hexdigest()
                kept = Path(CheckpointManager.save_dir) / f"{self.task_name}_{digest}.npy"
                if not kept.exists():
                    sdk.tasks.append((self.task_name, self.sample_number, self.project))
                    sdk.matrices.append(matrix)
                    np.save(kept, self._sample(matrix))
                return sdk.spoil(np.load(kept))

            def _sample(self, matrix):
                n = len(matrix)
                states = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
                hamiltonian = -np.einsum("ki,ij,kj->k", states, matrix, states)
                weights = np.exp(-sdk.beta * (hamiltonian - hamiltonian.min()))
                rows = sdk.rng.choice(len(states), self.sample_number, p=weights / weights.sum())
                return states[rows[np.argsort(hamiltonian[rows])]].astype(np.int8)

        def init(user_id, sdk_code):
            sdk.logins.append((user_id, sdk_code))
            if sdk_code == "expired-code":
                raise RuntimeError(f"code {sdk_code} of user {user_id} has expired")
            return {"user_id": user_id, "user_level": 1, "qubits": sdk.qubits, "exp": 2000000000}

        self.common = types.SimpleNamespace(CheckpointManager=CheckpointManager)
        self.cim = types.SimpleNamespace(CIMOptimizer=CIMOptimizer, TaskMode=TaskMode)
        self.license = types.SimpleNamespace(init=init)


class Result:
    def __init__(self, solutions):
        self._solutions = [(list(map(float, s)), timedelta(seconds=0.1)) for s in solutions]
        self._response_time = self._execution_time = timedelta(seconds=0.25)


class Engine:
    """A client of the amplify package that enumerates: its answers are the three lowest energies."""

    parameters = None
    version = "test"
    acceptable_degrees = amplify.AcceptableDegrees(objective={"Ising": "Quadratic"})

    def __init__(self, spoil=lambda solutions: solutions):
        self.calls, self.spoil = 0, spoil

    def solve(self, objective, constraints, dry_run=False):
        self.calls += 1
        n = len(objective.variables)
        states = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        energies = sum(
            coefficient * np.prod(states[:, list(spins)], axis=1) for spins, coefficient in objective.as_dict().items()
        )
        return Result(self.spoil(states[np.argsort(energies)[:3]]))
