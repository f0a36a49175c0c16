"""Time-out, retry and fallback: a machine that fails is asked again, then replaced, and training goes on."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samplers.checks import integer, non_negative, positive
from samplers.draws import Draws, Seed
from samplers.errors import InputError, RemoteTimeoutError
from samplers.registry import get
from samplers.remote.answers import check_answer
from samplers.remote.secrets import redact
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper, again, fixed_seed
from samplers.wrappers.ledger import Ledger, QuotaError


class Timeout(Wrapper):
    """A sampler whose draws end after so many seconds, with a draw or with a `RemoteTimeoutError`.

    Parameters
    ----------
    sampler
        The child.
    seconds
        Of one draw. A draw that takes longer goes on in its thread until it ends, and its answer is dropped: give the
        child a time-out of its own where it takes one.
    """

    name = "timeout"
    takes_clamped = True

    def __init__(self, sampler: Sampler | str, seconds: float = 60.0):
        super().__init__(sampler)
        self.seconds = positive("seconds", seconds)

    def _draw(self, request: Request) -> Draws:
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(self.child.ask(request))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                outcome.append(error)

        thread = threading.Thread(target=work, daemon=True, name=f"{self.child.name} draw")
        thread.start()
        thread.join(self.seconds)
        if not outcome:
            raise RemoteTimeoutError(f"{_heart(self.child)} did not answer within {self.seconds:g} s")
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]


class Retry(Wrapper):
    """A sampler that is asked again when it fails or its answer cannot be right.

    What the user did wrong (`InputError`) is raised at once. Waits double from `first_wait`, times a random factor
    between 0.5 and 1.5, and are never shorter than the machine asks.

    Parameters
    ----------
    sampler
        The child.
    attempts
        Draws tried before the last error is raised.
    first_wait, most_wait
        Seconds before the second attempt, and the longest wait.
    seed
        Of the random factors.
    """

    name = "retry"
    takes_clamped = True

    def __init__(
        self,
        sampler: Sampler | str,
        attempts: int = 4,
        first_wait: float = 0.5,
        most_wait: float = 30.0,
        seed: Seed = None,
    ):
        super().__init__(sampler)
        self.attempts = integer("attempts", attempts)
        self.first_wait, self.most_wait = non_negative("first_wait", first_wait), non_negative("most_wait", most_wait)
        self._rng = np.random.default_rng(seed)

    def _draw(self, request: Request) -> Draws:
        number = fixed_seed(request.seed)
        for attempt in range(self.attempts):
            try:
                draws = self.child.ask(request.replace(seed=again(request.seed, number)))
                independent = self.kind == "sampler" and draws.log_weights is None and request.initial_states is None
                _check(draws, request, self.child, independent)
            except Exception as error:
                if isinstance(error, InputError) or attempt + 1 == self.attempts:
                    raise
                time.sleep(self._wait(attempt, getattr(error, "retry_after", None)))
            else:
                draws.info = {**draws.info, "attempts": attempt + 1}
                return draws
        raise AssertionError("unreachable")

    def _wait(self, attempt: int, asked: float | None) -> float:
        wait = min(self.most_wait, self.first_wait * 2.0**attempt) * self._rng.uniform(0.5, 1.5)
        return max(wait, asked or 0.0)


class Fallback(Wrapper):
    """A sampler with another in reserve: when the first fails, a warning says so, and the second draws.

    Parameters
    ----------
    sampler
        The child.
    fallback
        The sampler in reserve, usually a local one.
    pause
        Seconds after a failure during which the reserve draws at once, so that a machine that is down does not cost
        its time-outs at every step.

    Warns
    -----
    RuntimeWarning
        At every failure of the child, naming it.
    """

    name = "fallback"
    takes_clamped = True

    def __init__(self, sampler: Sampler | str, fallback: Sampler | str = "gibbs", pause: float = 30.0):
        super().__init__(sampler)
        self.fallback = get(fallback)
        self.pause = float(pause)
        self.failures = 0
        self._until = 0.0

    def _draw(self, request: Request) -> Draws:
        # `info["fallback"]` names the reserve and the reason
        number = fixed_seed(request.seed)
        reason = "the pause after its last failure"
        if time.monotonic() >= self._until:
            try:
                draws = self.child.ask(request.replace(seed=again(request.seed, number)))
                return _check(draws, request, self.child, independent=False)
            except Exception as error:
                if isinstance(error, InputError) and not isinstance(error, QuotaError):
                    raise
                self.failures += 1
                self._until = time.monotonic() + self.pause
                reason = redact(f"{type(error).__name__}: {error}")
                warnings.warn(
                    f"{_heart(self.child)} failed ({reason}): {self.fallback.name} draws instead",
                    RuntimeWarning, stacklevel=2,
                )  # fmt: skip
        start = request.initial_states if "initial_states" in self.fallback.parameters else None
        draws = self.fallback.ask(request.replace(initial_states=start, seed=again(request.seed, number)))
        draws.info = {**draws.info, "fallback": {"sampler": self.fallback.name, "instead_of": _heart(self.child), "because": reason}}  # fmt: skip
        return draws

    def _state(self) -> dict[str, Any]:
        reserve = self.fallback.state_dict()
        return {"fallback": reserve} if reserve else {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.fallback.load_state_dict(state.get("fallback", {}))


def resilient(
    sampler: Sampler | str,
    *,
    timeout: float | None = None,
    attempts: int = 4,
    fallback: Sampler | str | None = "gibbs",
    ledger: str | Path | None = None,
    seed: Seed = None,
) -> Sampler:
    """Return a sampler with a ledger, retries and a reserve around it, in the order that makes sense.

    Parameters
    ----------
    sampler
        The sampler, or its name.
    timeout
        Seconds of one attempt; None leaves it to the sampler.
    attempts
        Of `Retry`.
    fallback
        The sampler in reserve; None raises the last error instead.
    ledger
        File of the ledger, in which every attempt is one line; None keeps none.
    seed
        Of the retries' random waits.
    """
    chain = get(sampler)
    if timeout is not None:
        chain = Timeout(chain, timeout)
    if ledger is not None:
        chain = Ledger(chain, ledger)
    chain = Retry(chain, attempts, seed=seed)
    return chain if fallback is None else Fallback(chain, fallback)


def _heart(sampler: Sampler) -> str:
    # wrappers around a machine are no help in a message about it
    while isinstance(sampler, Wrapper):
        sampler = sampler.child
    return sampler.name


def _check(draws: Draws, request: Request, child: Sampler, independent: bool) -> Draws:
    return check_answer(
        draws, request.problem, request.num_reads, request.beta,
        clamped=request.clamped, source=_heart(child), independent=independent,
    )  # fmt: skip
