"""QBoson's coherent Ising machines through the Kaiwu SDK (closed; imported when first used)."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from typing import Any

import numpy as np

from samplers.checks import positive
from samplers.draws import Draws
from samplers.errors import BadAnswerError, InputError, RemoteError
from samplers.problem import Ising
from samplers.quantisation import quantise
from samplers.remote.machine import Machine, machine
from samplers.remote.secrets import from_environment, vendor_errors
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.serving import checked_spins

#: The environment variables that hold the account's user id and authorisation code.
USER_VARIABLE, CODE_VARIABLE = "KAIWU_USER_ID", "KAIWU_SDK_CODE"
# the SDK keeps its folder of results in a class attribute
_SDK = threading.Lock()


class Kaiwu(Sampler):
    """A coherent Ising machine of QBoson, in its sampling mode.

    The machine takes couplings alone: fields become couplings to one more spin, and reads are multiplied by it. All
    coefficients share one gain and are rounded to the machine's bits; `info["clip"]` reports what that cost. At which
    temperature the machine samples is its own affair, so that its reads are those of an optimiser until
    `samplers.wrappers.temperature_control` (or correction sweeps) made samples of them.

    Parameters
    ----------
    device
        The machine's name, under which `QBMVAE_MACHINES` and the list of public machines know its facts.
    machine_beta
        Inverse temperature at which the machine samples a coefficient of 1, one step of its resolution: the gain is
        its inverse. Without it the gain follows the problem in powers of two, so that the largest coefficient lies
        between an eighth and the whole of the range; `info["gain"]` tells it.
    max_spins, bits, max_reads
        Of the machine, where they are not known by its name or from the account; spins count the ancilla.
    project
        Number of the account's project that pays.

    Notes
    -----
    User id and authorisation code come from the environment variables `KAIWU_USER_ID` and `KAIWU_SDK_CODE`. The SDK
    answers from its folder of results when it meets the same matrix under the same task name: every call has a name
    and a folder of its own.
    """

    name = "kaiwu"
    kind = "optimiser"
    remote = True

    def __init__(
        self,
        device: str = "CPQC-550",
        *,
        machine_beta: float | None = None,
        max_spins: int | None = None,
        bits: int | None = None,
        max_reads: int | None = None,
        project: str | None = None,
    ):
        self.device, self.project = device, project
        self.machine_beta = None if machine_beta is None else positive("machine_beta", machine_beta)
        self._given = {"max_spins": max_spins, "bits": bits, "max_reads": max_reads}
        self._gain = None if machine_beta is None else 1.0 / machine_beta
        self._account: dict[str, Any] | None = None

    @property
    def properties(self) -> dict[str, Any]:
        """The machine's facts; its resolution and range in units of beta times the problem's, once the gain is known."""
        facts = self.machine
        own = {**super().properties, "machine": facts.facts()}
        if self.machine_beta is not None and facts.bits is not None:
            most = (2 ** (facts.bits - 1) - 1) * self.machine_beta
            own |= {"bits": facts.bits, "h_range": (-most, most), "j_range": (-most, most)}
        return own

    @property
    def machine(self) -> Machine:
        """What is known of the machine; the account tells how many spins it may use once it was reached."""
        return machine(self.device, {**(self._account or {}), "ancillas": 1}, **self._given)

    def _draw(self, request: Request) -> Draws:
        # the seed shuffles the reads, and chooses where the machine gives more than were asked for
        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        sdk = self._connected()
        facts = self.machine
        facts.check(problem)
        matrix = with_ancilla(problem, beta)
        self._gain = gain = self._gain_for(matrix, facts.bits)
        whole, report = quantise(matrix, gain, facts.bits) if facts.bits else (matrix * gain, None)
        blocks, start = [], time.perf_counter()
        for reads in facts.batches(num_reads):
            spins = self._solve(sdk, np.asarray(whole, dtype=np.float64), reads, problem.content_hash)
            blocks.append(spins[:, :-1] * spins[:, -1:])
        states = np.concatenate(blocks)
        # reads may come sorted by energy: the first ones would be the coldest
        states = states[rng.choice(len(states), num_reads, replace=False)]
        info = {
            "machine": self.device, "calls": len(blocks), "gain": gain, "clip": report and report.as_dict(),
            "timing": {"machine": time.perf_counter() - start},
        }  # fmt: skip
        return Draws(states, info=info)

    def _connected(self) -> Any:
        user = from_environment(USER_VARIABLE, purpose="a Kaiwu machine")
        code = from_environment(CODE_VARIABLE, purpose="a Kaiwu machine")
        try:
            import kaiwu
        except ImportError:
            raise InputError("kaiwu is not installed: install QBoson's Kaiwu SDK (closed, from its vendor)") from None
        if self._account is None:
            with _SDK, vendor_errors(self.device, CODE_VARIABLE):
                told = kaiwu.license.init(user_id=user.reveal(), sdk_code=code.reveal())
            qubits = told.get("qubits") if isinstance(told, dict) else None
            self._account = {"max_spins": int(qubits) if qubits else None}
        return kaiwu

    def _solve(self, sdk: Any, matrix: np.ndarray, reads: int, content_hash: str) -> np.ndarray:
        mode = sdk.cim.TaskMode.SAMPLING if hasattr(sdk.cim, "TaskMode") else "sample"
        task = f"qbmvae-{content_hash[:8]}-{secrets.token_hex(6)}"
        paid = {} if self.project is None else {"project_no": self.project}
        with _SDK, tempfile.TemporaryDirectory(prefix="kaiwu-") as folder, vendor_errors(self.device, CODE_VARIABLE):
            manager = sdk.common.CheckpointManager
            before, manager.save_dir = manager.save_dir, folder
            try:
                optimiser = sdk.cim.CIMOptimizer(
                    task_name=task, wait=True, interval=1, task_mode=mode, sample_number=reads, **paid
                )
                answer = optimiser.solve(matrix)
            finally:
                manager.save_dir = before
        if answer is None:
            raise RemoteError(f"{self.device} has not finished the task {task}")
        spins = checked_spins(answer, len(matrix), f"{self.device} answered with")
        if len(spins) < reads:
            raise BadAnswerError(f"{self.device} answered with {len(spins)} reads, asked for {reads}")
        return spins

    def _gain_for(self, matrix: np.ndarray, bits: int | None) -> float:
        if self.machine_beta is not None:
            return 1.0 / self.machine_beta
        largest = float(np.abs(matrix).max(initial=0.0))
        if bits is None or largest == 0.0:
            return self._gain or 1.0
        most = 2 ** (bits - 1) - 1
        # kept while it fits, so that the temperature does not jump from draw to draw; a new one leaves room to grow
        if self._gain is not None and most / 8 <= self._gain * largest <= most:
            return self._gain
        return float(2.0 ** np.floor(np.log2(most / largest) - 1.0))


def with_ancilla(problem: Ising, beta: float) -> np.ndarray:
    """Return the SDK's matrix M of a problem, `(n + 1, n + 1)`: it seeks the least of -s' M s, where the last spin is 1.

    Notes
    -----
    -s' M s is twice beta times the energy, without its constant: the factor 2 belongs to the machine's temperature.
    """
    matrix = np.zeros((problem.n + 1, problem.n + 1))
    matrix[:-1, :-1] = -beta * problem.dense
    matrix[:-1, -1] = matrix[-1, :-1] = -beta * problem.h
    return matrix
