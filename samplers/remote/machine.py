"""What a named machine takes: facts read from its account or a configuration file, and the check of a problem against them."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from samplers.errors import InputError, require
from samplers.problem import Ising

#: Names the YAML file of machines: `{name: {max_spins: 550, bits: 8, ...}}`.
VARIABLE = "QBMVAE_MACHINES"
#: The same for machines that are public.
PUBLIC = Path(__file__).with_name("machines.yaml")


@dataclass(frozen=True)
class Machine:
    """The facts of one machine; None where nothing is known, and nothing is checked.

    Attributes
    ----------
    name
        As its owner calls it.
    max_spins
        Spins that a problem may have, ancillas included.
    ancillas
        Spins that the machine's form of a problem adds to ours.
    connectivity
        "all-to-all", or the name of the hardware graph.
    bits
        Bits of a signed coefficient.
    h_range, j_range
        Least and greatest field and coupling.
    max_reads
        Reads of one call; more are drawn in batches.
    min_reads
        Reads of the smallest call.
    quota_calls, quota_reads, quota_seconds
        What may be used in all; a `Ledger` around the sampler counts and refuses what goes beyond.
    price_per_call, price_per_read, price_per_second
        In the account's currency; a `Ledger` adds them up.
    """

    name: str
    max_spins: int | None = None
    ancillas: int = 0
    connectivity: str = "all-to-all"
    bits: int | None = None
    h_range: tuple[float, float] | None = None
    j_range: tuple[float, float] | None = None
    max_reads: int | None = None
    min_reads: int = 1
    quota_calls: int | None = None
    quota_reads: int | None = None
    quota_seconds: float | None = None
    price_per_call: float = 0.0
    price_per_read: float = 0.0
    price_per_second: float = 0.0

    def check(self, problem: Ising) -> None:
        """Raise `InputError`, which says what would fit, where a problem has too many spins.

        Raises
        ------
        InputError
            Where the problem has too many spins.
        """
        if self.max_spins is None or problem.n + self.ancillas <= self.max_spins:
            return
        extra = f" and {self.ancillas} ancilla" if self.ancillas else ""
        raise InputError(
            f"the problem of {problem.n} spins{extra} does not fit {self.name!r}, which takes {self.max_spins}: "
            f"at most {self.max_spins - self.ancillas} spins fit; use a smaller problem or a larger machine"
        )

    def batches(self, num_reads: int) -> list[int]:
        """Return the reads of each call, as even as can be, none over `max_reads`, none under `min_reads`."""
        calls = -(-num_reads // self.max_reads) if self.max_reads else 1
        share, rest = divmod(num_reads, calls)
        return [max(self.min_reads, share + (i < rest)) for i in range(calls)]

    def facts(self) -> dict[str, Any]:
        """Return what is known, as a dict for `Sampler.properties`."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}


def machine(name: str, account: dict[str, Any] | None = None, **given: Any) -> Machine:
    """Return a machine's facts: what the user gives, then the user's file, then the account, then public pages.

    Parameters
    ----------
    name
        The machine's name; a section of the file that the environment variable `QBMVAE_MACHINES` names.
    account
        Facts that the vendor's service tells.
    **given
        Facts that the user gives; None stands for "not given".

    Raises
    ------
    InputError
        For a file that cannot be read or a fact that is not one.
    """
    told = {k: v for k, v in (account or {}).items() if v is not None}
    facts = {**_read(PUBLIC, name), **told, **_configured(name), **{k: v for k, v in given.items() if v is not None}}
    known = {field.name for field in dataclasses.fields(Machine)} - {"name"}
    for fact in facts:
        require(fact, known, f"machine {name!r} has no fact")
    for pair in ("h_range", "j_range"):
        if facts.get(pair) is not None:
            facts[pair] = (float(facts[pair][0]), float(facts[pair][1]))
    return Machine(name, **facts)


def _configured(name: str) -> dict[str, Any]:
    path = os.environ.get(VARIABLE)
    return _read(Path(path), name) if path else {}


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        machines = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"the file of machines {path} ({VARIABLE}) cannot be read: {error}") from None
    if not isinstance(machines, dict):
        raise InputError(f"the file of machines {path} ({VARIABLE}) must map names to facts")
    return dict(machines.get(name) or {})
