"""What a check found, line by line, and the same in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from samplers.diagnostics.reference import Reference
from samplers.draws import Draws

Status = Literal["good", "fair", "bad", "note"]


@dataclass(frozen=True)
class Finding:
    """One line of the verdict.

    Attributes
    ----------
    name
        The diagnostic.
    value
        Its value.
    error
        Its standard error, or None.
    status
        "good", "fair", "bad", or "note" where nothing is judged.
    meaning
        What it says, in words.
    """

    name: str
    value: float
    status: Status
    meaning: str
    error: float | None = None


@dataclass
class Verdict:
    """What `check` found.

    Attributes
    ----------
    sampler, kind
        The backend's name and kind.
    num_spins, num_reads, beta
        The request.
    level
        "good", "fair" or "bad": the worst of the findings.
    summary
        The verdict in words, and what to do.
    findings
        The findings.
    draws, against, residuals, random_draws
        The reads, the reference, the Callen z-scores, and for a corrected optimiser the reads of a random start with
        the same sweeps: what the plots show.
    """

    sampler: str
    kind: str
    num_spins: int
    num_reads: int
    beta: float
    level: str
    summary: str
    findings: list[Finding]
    draws: Draws = field(repr=False)
    against: Reference = field(repr=False)
    residuals: np.ndarray = field(repr=False)
    random_draws: Draws | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Finding:
        return next(f for f in self.findings if f.name == name)

    def __contains__(self, name: str) -> bool:
        return any(f.name == name for f in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values, for JSON."""
        plain = {k: getattr(self, k) for k in ("sampler", "kind", "num_spins", "num_reads", "beta", "level", "summary")}
        findings = {
            f.name: {"value": f.value, "error": f.error, "status": f.status, "meaning": f.meaning}
            for f in self.findings
        }
        return {**plain, "reference": self.against.method, "findings": findings}


def summary(verdict: Verdict) -> str:
    """Return the verdict in words: every finding that is not good is named, and nothing else is claimed.

    Parameters
    ----------
    verdict
        With its findings.
    """
    at = f"{verdict.sampler} on this problem of {verdict.num_spins} spins at beta {verdict.beta:g}"
    flagged = {f.name: f for f in verdict.findings if f.status in ("bad", "fair")}
    if not flagged:
        words = f"{at}: no fault found with {verdict.num_reads:,} reads."
        alone = "moment error, random start"
        if alone in verdict and verdict[alone].value <= max(1.2, 1.2 * verdict["moment error"].value):
            words += " The correction sweeps reach the same from random spins: the machine adds nothing here."
        return words
    said, cures = [], []
    beta = flagged.pop("effective beta", None)
    if beta is not None:
        how = "wrong temperature" if beta.status == "bad" else "temperature a little off"
        frozen = np.isfinite(beta.value) and beta.error == np.inf
        said.append(beta.meaning if frozen else f"{how}, effective beta {beta.value:.3g}")
        machine = verdict.kind == "optimiser" or verdict.draws.info.get("child") or beta.value > verdict.beta
        cures.append(
            "add correction sweeps (samplers.wrappers.Correction) or a temperature control (TemperatureControl)"
            if machine
            else "more sweeps (num_sweeps), or population-annealing"
        )
    weights = [n for n in ("moment error", "moment error, followed", "total variation") if flagged.pop(n, None)]
    if weights:
        right = "right temperature, but " if _right(verdict) else ""
        said.append(f"{right}the modes are weighed wrongly ({', '.join(weights)})")
        cures.append("more sweeps, or population-annealing or parallel-tempering")
    if flagged.pop("R-hat", None):
        said.append("the reads depend on where their chains start (R-hat)")
        cures.append("more sweeps, or population-annealing or parallel-tempering")
    if flagged:
        said.append(f"look at {', '.join(flagged)}")
    advice = "; ".join(dict.fromkeys(cures))
    return f"{at}: {'; '.join(said)}{'. To mend it: ' + advice if advice else ''}."


def _right(verdict: Verdict) -> bool:
    return "effective beta" in verdict and verdict["effective beta"].status == "good"
