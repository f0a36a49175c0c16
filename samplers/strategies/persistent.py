"""Persistent chains that follow a drifting problem by importance weights (Carbone et al. 2023, arXiv 2305.19414)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplers.batch import BatchRequest, DrawsBatch
from samplers.checks import integer
from samplers.draws import Draws
from samplers.errors import InputError
from samplers.kernels.dispatch import compile_problem
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.strategies.population_annealing import PopulationAnnealing, cool, resample
from samplers.strategies.weights import ESS_FLOOR, effective, ess_share, resample_rows

#: Sweeps of the population annealing that starts the chains.
START_SWEEPS = 64
#: A change of the problem that leaves less than this share of the population effective starts the chains anew.
LOST = 0.05

_STATE = {"num", "phase", "spins", "streams", "energies", "log_weights", "beta", "generator"}


class Persistent(Sampler):
    """Chains kept from draw to draw: the default for training, where the problem changes a little every step.

    Before the sweeps of a draw each chain's weight is multiplied by exp(-(beta' E'(s) - beta E(s))), the change of
    the problem since the draw before; when the effective sample size falls below one half the chains are resampled.
    `info` has `ess` (share of the chains), `resampled` and `restarted`; reads carry `log_weights`.

    How chains start: the first draw cools `num_chains` random states by population annealing (64 sweeps from beta 0).
    So does a draw of a problem of another size, or of one so different that less than 5 % of the chains stay
    effective, and a draw with an *integer* seed, which therefore gives the same reads for the same seed; a generator,
    or no seed, goes on with the chains there are. `initial_states` replace the cooling. Every `refresh` draws the chains
    are cooled anew: mode weights drift from draw to draw, and a mode that no chain holds any more is not
    found again (`python -m experiments.benchmarks.samplers_training --only hard`). A draw with clamped spins
    is served by population annealing of its own and leaves the chains alone. `draw_batch` keeps chains of its own for each
    problem as long as the numbers of problems and of reads stay the same; `draw` in between starts anew.

    Parameters
    ----------
    num_sweeps
        Sweeps a draw.
    num_chains
        Number of chains; that of the first draw's reads by default. A draw of more reads takes them in rounds of
        `num_sweeps` sweeps each, a draw of fewer picks chains by their weights.
    refresh
        Draws after which the chains are started anew; None keeps them until the problem changes size.
    device
        "cpu", or a torch device such as "cuda".
    """

    name = "persistent"
    keeps_chains = True
    takes_initial_states = True
    takes_clamped = True

    def __init__(
        self, *, num_sweeps: int = 2, num_chains: int | None = None, refresh: int | None = 200, device: str = "cpu"
    ):
        self.device = device
        self.num_sweeps = integer("num_sweeps", num_sweeps)
        self.num_chains = None if num_chains is None else integer("num_chains", num_chains)
        self.refresh = None if refresh is None else integer("refresh", refresh)
        self._chains: Any = None
        self._age = 0  # draws of these chains
        self._beta: float = 1.0
        self._log_weights = np.zeros((0, 0))  # (problems, chains of each)
        self._shares = np.zeros(0)  # effective shares of each problem's chains
        self._rng = np.random.default_rng()

    def _draw(self, request: Request) -> Draws:
        if request.clamped:
            # clamped spins make another problem: it is served apart, and the chains stay
            cooled = PopulationAnnealing(num_sweeps=START_SWEEPS)
            return cooled.ask(request if request.seed is not None else request.replace(seed=self._rng))
        kernel, num_reads = compile_problem(request.problem, self.device), request.num_reads
        info = self._advance(kernel, request.beta, self.num_chains or num_reads, request, None)
        chains, weights = self._chains, self._log_weights[0]
        if num_reads <= chains.num:
            states = chains.states()
            if num_reads == chains.num:
                return Draws(states, weights.copy(), info=info)
            return Draws(states[self._rng.permutation(resample_rows(weights, num_reads, self._rng))], info=info)
        blocks, rounds = [chains.states()], -(-num_reads // chains.num)
        for _ in range(rounds - 1):
            kernel.sweep(chains, request.beta, self.num_sweeps)
            blocks.append(chains.states())
        return Draws(np.concatenate(blocks)[:num_reads], np.tile(weights, rounds)[:num_reads], info=info)

    def _draw_batch(self, request: BatchRequest) -> DrawsBatch:
        kernel, k = compile_problem(request.couplings, self.device), len(request)
        info = self._advance(kernel, request.beta, request.num_reads, request, request.fields)
        states = self._chains.states().reshape(k, request.num_reads, -1)
        return DrawsBatch(states, self._log_weights.copy() if self._log_weights.any() else None, info=info)

    def _advance(
        self, kernel: Any, beta: float, each: int, request: Request | BatchRequest, fields: np.ndarray | None
    ) -> dict[str, Any]:
        """Follow the problem, or start anew, and sweep once; return what is to be reported."""
        seed, k = request.seed, 1 if fields is None else len(fields)
        if seed is not None or self._chains is None:
            self._rng = np.random.default_rng(seed)
        info: dict[str, Any] = {
            "num_sweeps": self.num_sweeps, "independent_reads": False, "resampled": False, "restarted": False,
        }  # fmt: skip
        fresh = self._chains is None or self._chains.n != kernel.problem.n or isinstance(seed, int)
        fresh = fresh or self._age == self.refresh or len(self._log_weights) != k
        fresh = fresh or (fields is not None and self._log_weights.shape[1] != each)
        if not fresh and fields is not None:
            self._chains.assign(fields)
        if fresh or request.initial_states is not None or not self._follow(kernel, beta, info):
            start = request.starts(each) if isinstance(request, Request) else request.starts()
            self._start(kernel, beta, each, start, fields)
            info["restarted"] = True
        self._age += 1
        kernel.sweep(self._chains, beta, self.num_sweeps)
        self._beta = beta
        info["ess"] = self._shares.tolist() if fields is not None else float(self._shares[0])
        info["num_chains"] = self._chains.num
        return info

    def _start(self, kernel: Any, beta: float, each: int, start: np.ndarray | None, fields: np.ndarray | None) -> None:
        self._age = 0
        if start is None:
            cooled = cool(kernel, each, beta, START_SWEEPS, self._rng, fields)
            self._chains, self._log_weights = cooled.chains, cooled.log_weights
        else:
            self._chains = kernel.start(start, self._rng)
            self._log_weights = np.zeros((1 if fields is None else len(fields), each))
            if fields is not None:
                self._chains.assign(fields)
        self._shares = ess_share(self._log_weights)
        kernel.measure(self._chains)

    def _follow(self, kernel: Any, beta: float, info: dict[str, Any]) -> bool:
        """Reweight the chains to the new problem; False where too few of them stay effective."""
        chains, shape = self._chains, self._log_weights.shape
        before = self._beta * chains.energy()
        # of this change, and of all since the last resampling
        log_weights = np.empty((2, *shape))
        log_weights[0] = (before - beta * kernel.track(chains, beta)).reshape(shape)
        np.add(log_weights[0], self._log_weights, out=log_weights[1])
        log_weights -= log_weights.max(axis=-1, keepdims=True)
        kept, shares = effective(np.exp(log_weights))
        if kept.min() < LOST:
            return False
        self._log_weights, self._shares = log_weights[1], shares
        low = (shares < ESS_FLOOR).nonzero()[0]
        if len(low):
            resample(chains, self._log_weights, low, self._rng)
            self._shares[low] = 1.0
            info["resampled"] = True
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return chains, weights, their energies under the last problem, and the generator: arrays and plain values."""
        if self._chains is None:
            return {}
        return {
            **self._chains.state(),
            "log_weights": self._log_weights.copy(),
            "beta": self._beta,
            "age": self._age,
            "generator": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken: the next draw with no seed is equal bit by bit.

        Raises
        ------
        InputError
            For the state of another sampler.
        """
        if not state:
            self._chains = None
            return
        missing = _STATE - set(state)
        if missing:
            raise InputError(f"this is not a state of the persistent sampler: it lacks {sorted(missing)}")
        nothing = Ising(np.zeros(np.shape(state["spins"])[-2]), {})
        self._chains = compile_problem(nothing, self.device).restore(state)
        # states of older versions hold one problem's, (chains,)
        self._log_weights = np.atleast_2d(np.array(state["log_weights"], dtype=np.float64))
        self._beta = float(state["beta"])
        self._age = int(state.get("age", 0))
        generator = state["generator"]
        self._rng = np.random.Generator(getattr(np.random, generator["bit_generator"])())
        self._rng.bit_generator.state = generator
