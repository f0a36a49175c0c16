"""Fixstars Amplify's annealing engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.checks import integer, positive
from samplers.draws import Draws
from samplers.errors import needs
from samplers.problem import Ising
from samplers.remote.machine import Machine, machine
from samplers.remote.secrets import from_environment, vendor_errors
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.serving import checked_spins

#: The environment variable that holds the account's token.
TOKEN_VARIABLE = "AMPLIFY_TOKEN"


class Amplify(Sampler):
    """Fixstars Amplify's annealing engine, an optimiser: it returns the low energies that it found in its time.

    Parameters
    ----------
    seconds
        Time limit of one call.
    max_calls
        Calls of one draw. Where they bring fewer states than reads were asked for, states are repeated;
        `info["distinct_answers"]` tells how many the engine gave.
    device
        The machine's name, under which `QBMVAE_MACHINES` knows its facts.
    max_spins
        That the account may use, where the file does not say.
    client
        A client of the `amplify` package to use instead of the account's annealing engine, such as
        `amplify.ToshibaSQBM2Client`, or a custom one.

    Notes
    -----
    The token comes from the environment variable `AMPLIFY_TOKEN` alone.
    """

    name = "amplify"
    kind = "optimiser"
    remote = True

    def __init__(
        self,
        seconds: float = 1.0,
        *,
        max_calls: int = 4,
        device: str = "Amplify AE",
        max_spins: int | None = None,
        client: Any = None,
    ):
        self.seconds, self.max_calls = positive("seconds", seconds), integer("max_calls", max_calls)
        self.machine: Machine = machine(device, max_spins=max_spins)
        self._client = client

    @property
    def properties(self) -> dict[str, Any]:
        """Our own, and the machine's facts."""
        return {**super().properties, "machine": self.machine.facts()}

    def _draw(self, request: Request) -> Draws:
        # the seed chooses and repeats states, and sets spins on which no energy depends
        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        client = self._connected()
        import amplify

        self.machine.check(problem)
        active = np.flatnonzero((problem.h != 0) | (np.bincount(np.concatenate(problem.edges[:2]), minlength=problem.n) > 0))  # fmt: skip
        found, seconds, calls = [np.empty((0, len(active)), dtype=np.int8)], 0.0, 0
        while beta > 0 and len(active) and sum(map(len, found)) < num_reads and calls < self.max_calls:
            model, variables = _model(amplify, problem, active, beta)
            with vendor_errors(self.machine.name, TOKEN_VARIABLE):
                result = amplify.solve(model, client, sort_solution=False, filter_solution=False)
                values = np.array([variables.evaluate(solution.values) for solution in result.solutions])
                seconds += result.execution_time.total_seconds()
            calls += 1
            found.append(checked_spins(values, len(active), f"{self.machine.name} answered with"))
        answers = np.concatenate(found)
        states = rng.choice(np.array([-1, 1], dtype=np.int8), (num_reads, problem.n))
        if calls:
            enough = len(answers) >= num_reads
            rows = (
                rng.choice(len(answers), num_reads, replace=False)
                if enough
                else rng.integers(len(answers), size=num_reads)
            )
            states[:, active] = answers[rows]
        info = {
            "machine": self.machine.name, "calls": calls, "answers": len(answers),
            "distinct_answers": len(np.unique(answers, axis=0)),
            "timing": {"machine": seconds},
        }  # fmt: skip
        return Draws(states, info=info)

    def _connected(self) -> Any:
        with needs("amplify", "amplify"):
            import amplify
        if self._client is None:
            token = from_environment(TOKEN_VARIABLE, purpose="Fixstars Amplify")
            milliseconds = int(self.seconds * 1000)
            if hasattr(amplify, "AmplifyAEClient"):
                self._client = amplify.AmplifyAEClient(token.reveal())
                self._client.parameters.time_limit_ms = milliseconds
                self._client.parameters.duplicate_solutions = True
            else:
                self._client = amplify.FixstarsClient(token=token.reveal())
                self._client.parameters.timeout = milliseconds
                # every state that it passed, not the best alone
                self._client.parameters.outputs.num_outputs = 0
                self._client.parameters.outputs.duplicate = True
        return self._client


def _model(amplify: Any, problem: Ising, active: np.ndarray, beta: float) -> tuple[Any, Any]:
    matrix = amplify.VariableGenerator().matrix("Ising", len(active))
    matrix.quadratic[:] = np.triu(beta * problem.dense[np.ix_(active, active)], 1)
    matrix.linear[:] = beta * problem.h[active]
    return matrix, matrix.variable_array
