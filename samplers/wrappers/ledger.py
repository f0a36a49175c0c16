"""What was asked of a machine and what it cost: one line of JSON a call."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samplers.draws import Draws
from samplers.errors import InputError
from samplers.files import append_line
from samplers.remote.machine import Machine
from samplers.remote.secrets import redact
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper


class QuotaError(InputError):
    """The machine's quota does not hold a call; `Fallback` draws from its reserve instead."""


class Ledger(Wrapper):
    """A sampler whose calls are written down, and refused beyond the machine's quota.

    Parameters
    ----------
    sampler
        The child. Where it, or a sampler inside it, has a `machine`, its prices and quota count.
    path
        File of JSON lines, one a call, failed calls included; an existing file is continued.

    Notes
    -----
    A line holds `time` (UTC), `sampler`, `machine`, `problem` (the first 16 digits of its hash), `spins`, `reads`,
    `beta`, `seconds` (as the caller waited), `machine_seconds` (as the machine says it worked; `seconds` where it does
    not say), `cost`, `outcome` ("ok" or the error's class) and, after an error, `error`. It also lies in
    `Draws.info["ledger"]`.
    """

    name = "ledger"
    takes_clamped = True

    def __init__(self, sampler: Sampler | str, path: str | Path):
        super().__init__(sampler)
        self.path = Path(path)
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        for row in read_ledger(self.path):
            self._add(row)

    @property
    def totals(self) -> dict[str, float]:
        """Sums over the file; calls, failures, reads, seconds, machine_seconds and cost."""
        names = ("calls", "failures", "reads", "seconds", "machine_seconds", "cost")
        return {name: self._totals[name] for name in names}

    def _draw(self, request: Request) -> Draws:
        """Draw, and write the line whatever happens.

        Raises
        ------
        QuotaError
            Where the machine's quota does not hold this call.
        """
        row: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "sampler": self.child.name, "machine": None,
            "problem": request.problem.content_hash[:16], "spins": request.problem.n, "reads": request.num_reads,
            "beta": request.beta,
        }  # fmt: skip
        start, machine, draws = time.perf_counter(), None, None
        try:
            machine = machine_of(self.child)
            row["machine"] = machine and machine.name
            self._check_quota(machine, request.num_reads)
            draws = self.child.ask(request)
            row["reads"] = len(draws)
            return draws
        except BaseException as error:
            row |= {"outcome": type(error).__name__, "error": redact(str(error))[:300], "reads": 0}
            raise
        finally:
            row["seconds"] = round(time.perf_counter() - start, 6)
            timing = draws.info.get("timing", {}) if draws is not None else {}
            row["machine_seconds"] = round(
                float(timing.get("machine", row["seconds"] if draws is not None else 0.0)), 6
            )
            row["cost"] = _cost(machine, row) if draws is not None else 0.0
            row.setdefault("outcome", "ok")
            with self._lock:
                append_line(self.path, json.dumps(row))
                self._add(row)
            if draws is not None:
                draws.info = {**draws.info, "ledger": row}

    def _check_quota(self, machine: Machine | None, num_reads: int) -> None:
        if machine is None:
            return
        used = self.totals
        for quota, spent, unit in (
            (machine.quota_calls, used["calls"] - used["failures"] + 1, "calls"),
            (machine.quota_reads, used["reads"] + num_reads, "reads"),
            (machine.quota_seconds, used["machine_seconds"], "seconds"),
        ):
            if quota is not None and spent > quota:
                raise QuotaError(
                    f"the quota of {quota:g} {unit} on {machine.name!r} does not hold this call "
                    f"(see {self.path}): raise it with the machine's owner, or use another sampler"
                )

    def _add(self, row: Mapping[str, Any]) -> None:
        self._totals["calls"] += 1
        self._totals["failures"] += row.get("outcome") != "ok"
        for name in ("reads", "seconds", "machine_seconds", "cost"):
            self._totals[name] += row.get(name) or 0


def read_ledger(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a ledger; a line that a killed process left unfinished is left out."""
    path = Path(path)
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def machine_of(sampler: Sampler) -> Machine | None:
    """Return the machine at the heart of wrapped samplers, or None."""
    inner: Any = sampler
    while inner is not None:
        found = getattr(inner, "machine", None)
        if isinstance(found, Machine):
            return found
        inner = getattr(inner, "child", None)
    return None


def _cost(machine: Machine | None, row: Mapping[str, Any]) -> float:
    if machine is None:
        return 0.0
    return round(
        machine.price_per_call
        + machine.price_per_read * row["reads"]
        + machine.price_per_second * row["machine_seconds"],
        9,
    )
