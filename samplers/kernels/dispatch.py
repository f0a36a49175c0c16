"""Which kernel sweeps which problem, and over how many threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np

from samplers.errors import InputError
from samplers.kernels import bipartite, bipartite_int8, dense, dense_int8, int8, sparse
from samplers.kernels.chains import Chains
from samplers.kernels.rng import LANES
from samplers.layouts import Layout
from samplers.problem import Ising
from samplers.threads import in_order

#: The largest standard error of beta times a local field that 16-bit couplings may cause; float32 serves beyond.
FIELD_ERROR = 1e-3
#: Multiplications that are worth a thread.
WORTH_A_THREAD = 2e7


def compile_problem(problem: Ising, device: str = "cpu") -> Any:
    """Return the kernel of `problem` on `device`: a `Kernel` on "cpu", else a `TorchKernel`.

    Raises
    ------
    InputError
        For a device that torch cannot use here.
    """
    if device == "cpu":
        return Kernel(problem)
    from samplers.kernels.torch_blocked import TorchKernel

    try:
        return TorchKernel(problem, device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used here ({reason}): use device='cpu'") from None


class Kernel:
    """Sweeps of one problem.

    Groups of 64 chains are independent of each other and own their random streams, so that results do not depend on
    the number of threads (numba's, `NUMBA_NUM_THREADS`).

    Parameters
    ----------
    problem
        The problem; its couplings are rounded once, when first needed: to 16-bit fixed point where the CPU multiplies
        bytes and the rounding is harmless at the beta of the sweep, else to float32.
    """

    def __init__(self, problem: Ising):
        self.problem = problem
        self._forms: dict[bool, _Form] = {}
        self._largest = int8.largest(problem.coupled.values) if problem.layout in FIXED_POINT else np.inf
        # each of n couplings is off by up to half a unit, uniformly
        self._field_error = self._largest / int8.LARGEST * (problem.n / 12) ** 0.5

    def form(self, beta: float = 1.0) -> _Form:
        """Return kernel and arguments for sweeps at up to `beta`."""
        fixed = int8.available() and beta * self._field_error <= FIELD_ERROR
        if fixed not in self._forms:
            layout = self.problem.layout
            self._forms[fixed] = (
                FIXED_POINT[layout](self.problem, self._largest) if fixed else FLOAT32[layout](self.problem)
            )
        return self._forms[fixed]

    def random(self, num: int, rng: np.random.Generator) -> Chains:
        """Return `num` chains of fair coins."""
        return Chains.random(num, self.problem.n, rng)

    def start(self, states: np.ndarray, rng: np.random.Generator) -> Chains:
        """Return one chain a row of `states`, `(num, n)`."""
        return Chains.from_states(states, rng)

    def restore(self, state: Mapping[str, Any]) -> Chains:
        """Return the chains of which `Chains.state` was taken."""
        return Chains(
            int(state["num"]),
            np.array(state["spins"], dtype=np.float32),
            np.array(state["streams"], dtype=np.uint32),
            np.array(state["energies"], dtype=np.float64),
            int(state["phase"]),
        )

    def sweep(self, chains: Chains, beta: float | np.ndarray, num_sweeps: int = 1) -> None:
        """Update every spin of every chain `num_sweeps` times at inverse temperature `beta`, a number or `(num,)`.

        Parameters
        ----------
        chains
            The chains; written.
        beta
            Inverse temperature, a number or one a chain, `(num,)`.
        num_sweeps
            How many.
        """
        two_beta = np.zeros((len(chains.spins), LANES), dtype=np.float32)
        two_beta.reshape(-1)[: chains.num] = 2.0 * np.asarray(beta)
        form = self.form(float(beta.max() if isinstance(beta, np.ndarray) else beta))

        def run(part: slice) -> None:
            form.sweep(
                chains.spins[part], chains.streams[part], chains.energies[part], two_beta[part],
                chains.own[part], *form.arguments, num_sweeps, chains.phase,
            )  # fmt: skip

        _over_threads(run, len(chains.spins), form.work * LANES * num_sweeps)
        chains.phase += num_sweeps

    def track(self, chains: Chains, beta: float = 1.0) -> np.ndarray:
        """Set the running energies to those of the rounded problem, fast, and return them."""
        form = self.form(beta)
        form.energy(chains.spins, chains.energies, chains.own, *form.arguments)
        chains.energies += self.problem.offset
        return chains.energy()

    def measure(self, chains: Chains) -> np.ndarray:
        """Set the running energies to the problem's energies of the present states, and return them."""
        chains.energies.reshape(-1)[: chains.num] = self.problem.energies(chains.states())
        if len(chains.own):
            extra = -np.einsum("gil,gil->gl", chains.spins, chains.own, dtype=np.float64)
            chains.energies.reshape(-1)[: chains.num] += extra.reshape(-1)[: chains.num]
        return chains.energy()


class _Form:
    def __init__(self, module: Any, arguments: tuple[Any, ...], work: float):
        self.sweep: Callable[..., None] = module.sweep
        self.energy: Callable[..., None] = module.energy
        self.arguments = arguments
        self.work = work  # multiplications a chain and sweep


def _dense(problem: Ising) -> _Form:
    return _Form(dense, (np.ascontiguousarray(-problem.dense, dtype=np.float32), _fields(problem)), problem.n**2)


def _dense_int8(problem: Ising, largest: float) -> _Form:
    packed = int8.pack(-problem.dense, largest)
    arguments = (packed.words, packed.rounded, packed.row_sums, packed.scale, _fields(problem))
    return _Form(dense_int8, arguments, problem.n**2 / 2)


def _bipartite(problem: Ising) -> _Form:
    block = np.ascontiguousarray(-problem.block, dtype=np.float32)
    return _Form(bipartite, (block, np.ascontiguousarray(block.T), _fields(problem)), 2 * block.size)


def _bipartite_int8(problem: Ising, largest: float) -> _Form:
    one, other = int8.pack(-problem.block, largest), int8.pack(-problem.block.T, largest)
    arguments = (one.words, one.row_sums, other.words, other.row_sums, one.scale, _fields(problem))
    return _Form(bipartite_int8, arguments, problem.block.size)


def _sparse(problem: Ising) -> _Form:
    J = problem.sparse
    csr = (J.indptr.astype(np.int32), J.indices.astype(np.int32), -J.data.astype(np.float32))
    return _Form(sparse, (*csr, _fields(problem)), J.nnz + 10 * problem.n)


def _fields(problem: Ising) -> np.ndarray:
    return -problem.h.astype(np.float32)


#: The kernels of each layout, by how they hold couplings.
FLOAT32: dict[Layout, Callable[[Ising], _Form]] = {"dense": _dense, "bipartite": _bipartite, "sparse": _sparse}
FIXED_POINT: dict[Layout, Callable[[Ising, float], _Form]] = {"dense": _dense_int8, "bipartite": _bipartite_int8}


def _over_threads(run: Callable[[slice], None], groups: int, work_a_group: float) -> None:
    # not numba.get_num_threads(): it starts numba's OpenMP pool, which resets torch's number of threads
    most = int(getattr(numba.config, "NUMBA_NUM_THREADS"))  # noqa: B009 - numba sets it where no checker sees it
    threads = min(most, groups, int(groups * work_a_group / WORTH_A_THREAD))
    if threads <= 1:
        run(slice(0, groups))
        return
    edges = np.linspace(0, groups, threads + 1).astype(int)
    list(in_order(run, [slice(a, b) for a, b in itertools.pairwise(edges)], threads))
