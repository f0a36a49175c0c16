"""Ahead: a slow machine draws for the next step while this one computes; stale reads are reweighted to the new problem."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers import wire
from samplers.checks import share
from samplers.draws import Draws
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper


@dataclass
class _Asked:
    problem: Ising
    num_reads: int
    beta: float
    answer: Future[Draws]


class Ahead(Wrapper):
    r"""A sampler that answers with the reads of the request before, reweighted, and works on this one meanwhile.

    A read s that was drawn for (beta, E) gets the weight :math:`\exp(\beta E(s) - \beta' E'(s))` for (beta', E'). Where
    the problem has changed so much that the effective sample size falls below `min_ess` of the reads, or in shape, or
    in the number of reads, the fresh answer is waited for. Which reads are used does not depend on how fast the machine
    is: equal seeds give equal draws.

    Parameters
    ----------
    sampler
        A sampler, or the name of one; it is called from one background thread.
    min_ess
        Smallest effective share of stale reads that is good enough.

    Notes
    -----
    Use it as a context manager, or call `close`, to end the background thread.
    """

    name = "ahead"

    def __init__(self, sampler: Sampler | str, min_ess: float = 0.5):
        super().__init__(sampler)
        self.takes_initial_states = False
        self.min_ess = share("min_ess", min_ess)
        self._pool: ThreadPoolExecutor | None = None
        self._pending: _Asked | None = None

    def _draw(self, request: Request) -> Draws:
        # `info` has "stale" (whether the reads were drawn for the request before) and "ess" (their effective share)
        rng = request.rng
        before, self._pending = self._pending, None
        if before is not None and (before.problem.n, before.num_reads) == (request.problem.n, request.num_reads):
            draws = reweight(before.answer.result(), before.problem, request.problem, request.beta)
            ess = draws.effective_sample_size / len(draws)
            if ess >= self.min_ess:
                self._pending = self._ask(request, rng)
                return _with(draws, stale=True, ess=ess)
        draws = self._ask(request, rng).answer.result()
        # the next request finds these reads again unless something newer is under way
        self._pending = self._ask(request, rng)
        return _with(draws, stale=False, ess=draws.effective_sample_size / len(draws))

    def close(self) -> None:
        """Wait for the machine and end the background thread; the next draw starts anew."""
        self._pending = None
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the reads that are under way, which are waited for, and the child's state behind them."""
        if self._pending is not None:
            self._pending.answer.exception()
        return super().state_dict()

    def _state(self) -> dict[str, Any]:
        pending = self._pending
        if pending is None or pending.answer.exception() is not None:
            return {}
        header, arrays = wire.problem_arrays(pending.problem)
        return {
            "asked": {"header": header, "arrays": arrays, "num_reads": pending.num_reads, "beta": pending.beta},
            "reads": np.frombuffer(wire.pack_draws(pending.answer.result(), {}), np.uint8),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._pending = None
        if "asked" in state:
            asked, answer = state["asked"], Future[Draws]()
            answer.set_result(wire.unpack_draws(state["reads"].tobytes())[0])
            problem = wire.problem_from(asked["header"], asked["arrays"])
            self._pending = _Asked(problem, asked["num_reads"], asked["beta"], answer)

    def _ask(self, request: Request, rng: np.random.Generator) -> _Asked:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="samplers-ahead")
        # a stream of its own: the caller may go on using its generator in this thread
        number = int(rng.integers(2**63))
        own = number if isinstance(request.seed, int) else np.random.default_rng(number)
        answer = self._pool.submit(self.child.ask, request.replace(seed=own))
        return _Asked(request.problem, request.num_reads, request.beta, answer)


def reweight(draws: Draws, drawn_for: Ising, problem: Ising, beta: float = 1.0) -> Draws:
    """Return the reads with importance weights for another problem and beta, and the energies of that problem.

    Parameters
    ----------
    draws
        Reads of `drawn_for` at `draws.beta`.
    drawn_for
        The problem that they were drawn for.
    problem
        The problem that they shall stand for.
    beta
        The inverse temperature that they shall stand for.
    """
    energies = problem.energies(draws.states)
    log_weights = draws.beta * drawn_for.energies(draws.states) - beta * energies
    if draws.log_weights is not None:
        log_weights = log_weights + draws.log_weights
    return Draws(draws.states, log_weights - log_weights.max(), energies, beta, dict(draws.info))


def _with(draws: Draws, **more: Any) -> Draws:
    return Draws(draws.states, draws.log_weights, info={**draws.info, **more})
