"""Persistent chains that follow a drifting problem by importance weights (Carbone et al. 2023, arXiv 2305.19414)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplers.errors import InputError
from samplers.kernels.dispatch import compile_problem
from samplers.problem import Ising
from samplers.sampler import Draws, Sampler, Seed
from samplers.strategies.options import rows_for, whole
from samplers.strategies.population_annealing import PopulationAnnealing, cool
from samplers.strategies.weights import ESS_FLOOR, ess_share, resample_rows

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
    are cooled anew: the noise in the modes' shares adds up from draw to draw, and a mode that no chain holds any more
    would never be found again (`python -m experiments.benchmarks.samplers_training --only hard`). A draw with clamped spins
    is served by population annealing of its own and leaves the chains alone.

    Parameters
    ----------
    num_sweeps
        Sweeps a draw.
    num_chains
        Number of chains; that of the first draw's reads by default. A draw of more reads takes them in rounds of
        `num_sweeps` sweeps each, a draw of fewer picks chains by their weights.
    refresh
        Draws after which the chains are started anew; None keeps them for ever.
    device
        "cpu", or a torch device such as "cuda".

    Notes
    -----
    Energies of a draw that goes on are those of the kernel's rounded couplings, to about 1e-3.
    """

    name = "persistent"
    keeps_chains = True

    def __init__(
        self, *, num_sweeps: int = 2, num_chains: int | None = None, refresh: int | None = 200, device: str = "cpu"
    ):
        self.device = device
        self.num_sweeps = whole("num_sweeps", num_sweeps)
        self.num_chains = None if num_chains is None else whole("num_chains", num_chains)
        self.refresh = None if refresh is None else whole("refresh", refresh)
        self._chains: Any = None
        self._age = 0  # draws of these chains
        self._beta: float = 1.0
        self._log_weights = np.zeros(0)
        self._rng = np.random.default_rng()

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        clamped: Mapping[int, int] | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Follow the problem, sweep, and return the chains."""
        if clamped:
            # as any sampler: the contract serves clamped spins
            cooled: Sampler = PopulationAnnealing(num_sweeps=START_SWEEPS)
            return cooled.draw(problem, num_reads, beta, clamped=clamped, seed=self._rng if seed is None else seed)
        if seed is not None or self._chains is None:
            self._rng = np.random.default_rng(seed)
        kernel = compile_problem(problem, self.device)
        info: dict[str, Any] = {
            "num_sweeps": self.num_sweeps, "independent_reads": False, "resampled": False, "restarted": False,
        }  # fmt: skip
        fresh = self._chains is None or self._chains.n != problem.n or isinstance(seed, int | np.integer)
        fresh = fresh or self._age == self.refresh
        if fresh or initial_states is not None or not self._follow(kernel, beta, info):
            num = self.num_chains or num_reads
            self._start(kernel, beta, num, initial_states)
            info["restarted"] = True
        chains = self._chains
        self._age += 1
        rounds = -(-num_reads // chains.num)
        blocks, energies = [], []
        for _ in range(rounds):
            kernel.sweep(chains, beta, self.num_sweeps)
            blocks.append(chains.states())
            energies.append(chains.energy().copy())
        self._beta = beta
        info["ess"] = ess_share(self._log_weights)
        info["num_chains"] = chains.num
        if num_reads < chains.num:
            rows = self._rng.permutation(resample_rows(self._log_weights, num_reads, self._rng))
            return Draws(blocks[0][rows], None, energies[0][rows], info=info)
        if rounds == 1:
            return Draws(blocks[0], self._log_weights.copy(), energies[0], info=info)
        states, energy = np.concatenate(blocks)[:num_reads], np.concatenate(energies)[:num_reads]
        return Draws(states, np.tile(self._log_weights, rounds)[:num_reads], energy, info=info)

    def _start(self, kernel: Any, beta: float, num: int, initial_states: np.ndarray | None) -> None:
        self._age = 0
        if initial_states is None:
            cooled = cool(kernel, num, beta, START_SWEEPS, self._rng)
            self._chains, self._log_weights = cooled.chains, cooled.log_weights
        else:
            self._chains = kernel.start(rows_for(initial_states, num), self._rng)
            self._log_weights = np.zeros(num)
        kernel.measure(self._chains)

    def _follow(self, kernel: Any, beta: float, info: dict[str, Any]) -> bool:
        """Reweight the chains to the new problem; False where too few of them stay effective."""
        chains = self._chains
        before = self._beta * chains.energy()
        step = before - beta * kernel.track(chains, beta)
        if ess_share(step) < LOST:
            return False
        self._log_weights = self._log_weights + step
        self._log_weights -= self._log_weights.max()
        if ess_share(self._log_weights) < ESS_FLOOR:
            chains.take(resample_rows(self._log_weights, chains.num, self._rng))
            self._log_weights[:] = 0.0
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
        """Go on exactly where `state_dict` was taken: the next draw with no seed is equal bit by bit."""
        if not state:
            self._chains = None
            return
        missing = _STATE - set(state)
        if missing:
            raise InputError(f"this is not a state of the persistent sampler: it lacks {sorted(missing)}")
        nothing = Ising(np.zeros(np.shape(state["spins"])[-2]), {})
        self._chains = compile_problem(nothing, self.device).restore(state)
        self._log_weights = np.array(state["log_weights"], dtype=np.float64)
        self._beta = float(state["beta"])
        self._age = int(state.get("age", 0))
        generator = state["generator"]
        self._rng = np.random.Generator(getattr(np.random, generator["bit_generator"])())
        self._rng.bit_generator.state = generator
