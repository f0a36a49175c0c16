"""The verdict: does a backend sample this problem at this temperature, and what to do where it does not."""

from __future__ import annotations

import numpy as np

from samplers.diagnostics.findings import Finding, Status, Verdict, summary
from samplers.diagnostics.mixing import callen_limit, callen_residuals, drift, followed, start_rhat, total_variation
from samplers.diagnostics.reference import Reference, reference
from samplers.draws import Draws, Seed
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.sampler import Sampler

#: The moments' error over that of independent exact reads: up to the first is good, beyond the second bad, and more
#: where independent reads scatter that widely.
ERROR_LIMITS = (1.5, 3.0)


def check(
    sampler: Sampler | str,
    problem: Ising,
    *,
    num_reads: int = 1000,
    beta: float = 1.0,
    seed: Seed = 0,
    data: np.ndarray | None = None,
) -> Verdict:
    """Judge a backend on a problem.

    Parameters
    ----------
    sampler
        A sampler, or the name of one.
    problem
        The Ising problem.
    num_reads
        Reads of the backend; at least 50.
    beta
        Inverse temperature.
    seed
        Seed or generator.
    data
        States to start chains from for R-hat, `(num, n)`; the reference's reads by default.

    Raises
    ------
    InputError
        For fewer than 50 reads, a problem without spins, or what the sampler refuses.
    """
    from samplers.registry import get

    if num_reads < 50:
        raise InputError(f"a check needs at least 50 reads, not {num_reads}")
    if not problem.n:
        raise InputError("a check needs a problem with spins")
    sampler, rng = get(sampler), np.random.default_rng(seed)
    draws = sampler.draw(problem, num_reads, beta, seed=rng)
    against = reference(problem, beta, num_reads=max(2000, num_reads), seed=rng)
    residuals = callen_residuals(problem, draws)
    plain = _random_start(problem, draws, rng)
    findings = [
        *_temperature(problem, draws),
        _moments(draws, against, rng),
        *_beside(draws, plain, against),
        *_distribution(problem, draws, rng),
        *_residual(problem, residuals),
        *_drift(problem, draws, rng),
        *_starts(sampler, problem, draws, against.states if data is None else data, rng),
        *_followed(sampler, problem, draws, against, rng),
        *_population(draws),
        *_machine(draws),
    ]
    level = next((s for s in ("bad", "fair", "good") if any(f.status == s for f in findings)), "good")
    verdict = Verdict(
        sampler.name, sampler.kind, problem.n, num_reads, beta, level, "", findings, draws, against, residuals, plain
    )  # fmt: skip
    verdict.summary = summary(verdict)
    return verdict


def _grade(value: float, good: float, fair: float) -> Status:
    return "good" if value <= good else "fair" if value <= fair else "bad"


def _temperature(problem: Ising, draws: Draws) -> list[Finding]:
    from samplers.diagnostics.temperature import effective_beta

    try:
        found, error = effective_beta(problem, draws.states, weights=draws.weights)
    except InputError:
        return [Finding("effective beta", float("nan"), "note", "free spins look the same at every temperature")]
    if np.isfinite(found) and not np.isfinite(error):
        words = "the reads do not differ: they tell no temperature"
        return [Finding("effective beta", found, "bad", words, error)]
    if draws.beta == 0:
        return [Finding("effective beta", found, _grade(abs(found), 4 * error, 8 * error), "0 was asked for", error)]
    relative, noise = abs(found / draws.beta - 1), 4 * error / draws.beta
    status = _grade(relative, 0.02 + noise, 0.1 + noise) if np.isfinite(found) else "bad"
    side = "colder than" if found > draws.beta else "hotter than"
    words = "as asked" if status == "good" else f"the reads are {side} asked ({draws.beta:g})"
    return [Finding("effective beta", found, status, words, error)]


def _moments(draws: Draws, against: Reference, rng: np.random.Generator) -> Finding:
    error, good = against.error(draws), max(ERROR_LIMITS[0], against.limit(len(draws), rng))
    words = (
        f"error of E[s_i s_j] against {against.method}, in units of independent exact reads; "
        f"these stay below {good:.1f}"
    )
    return Finding("moment error", error, _grade(error, good, max(ERROR_LIMITS[1], 2 * good)), words)


def _random_start(problem: Ising, draws: Draws, rng: np.random.Generator) -> Draws | None:
    """Return reads of the machine's correction sweeps from random spins, or None where there are no such sweeps."""
    sweeps = int(draws.info.get("correction_sweeps", 0))
    if not sweeps:
        return None
    from samplers.wrappers.correction import random_start

    return Draws(random_start(problem, len(draws), sweeps, draws.beta, rng), beta=draws.beta)


def _beside(draws: Draws, plain: Draws | None, against: Reference) -> list[Finding]:
    if plain is None:
        return []
    sweeps = draws.info["correction_sweeps"]
    words = f"the same error for {sweeps} sweeps from random spins: the machine must beat it"
    return [Finding("moment error, random start", against.error(plain), "note", words)]


def _distribution(problem: Ising, draws: Draws, rng: np.random.Generator) -> list[Finding]:
    if problem.n > 14 or len(draws) < 2**problem.n / 4:
        return []
    found, floor, spread = total_variation(problem, draws, rng)
    good = max(1.2, 1 + 4 * spread / floor)
    words = f"distance to the exact distribution over that of as many exact reads ({found:.3f} / {floor:.3f})"
    return [Finding("total variation", found / floor, _grade(found / floor, good, 2 * good), words)]


def _residual(problem: Ising, residuals: np.ndarray) -> list[Finding]:
    value, limit = float(np.square(residuals).mean()), callen_limit(problem.n)
    words = f"mean z² of Callen's identity; 1 if Boltzmann at beta, {limit:.2f} by chance once in 1,000"
    return [Finding("Callen residual", value, _grade(value, limit, 3 * limit), words)]


def _drift(problem: Ising, draws: Draws, rng: np.random.Generator) -> list[Finding]:
    moved = drift(problem, draws, seed=rng)
    words = (
        f"z of the energy's change under 10 Gibbs sweeps ({moved.per_spin:+.4f} a spin); stationary reads stay within 4"
    )
    return [Finding("drift", moved.z, _grade(abs(moved.z), 4, 12), words)]


def _starts(
    sampler: Sampler, problem: Ising, draws: Draws, data: np.ndarray, rng: np.random.Generator
) -> list[Finding]:
    if "initial_states" not in sampler.parameters:
        return []
    kept = sampler.keeps_chains
    value = start_rhat(sampler, problem, data, len(draws), draws.beta, rng, own=draws if kept else None)
    # chains that an annealing started have relatives among them: two count as one
    independent = draws.effective_sample_size / (2 if kept else 1)
    # by chance: the largest of n + 1 squared z-scores over the number of chains
    chance = float(np.sqrt(1 + 2 * np.log(100 * (problem.n + 1)) / independent))
    other = "the sampler's own start" if kept else "random spins"
    words = f"chains from reference states against chains from {other}; below {chance:.3f} the start is forgotten"
    return [Finding("R-hat", value, _grade(value, chance, 1.2), words)]


def _followed(
    sampler: Sampler, problem: Ising, draws: Draws, against: Reference, rng: np.random.Generator
) -> list[Finding]:
    if not sampler.keeps_chains or not draws.beta:
        return []
    found = _moments(followed(sampler, problem, len(draws), draws.beta, rng), against, rng)
    words = f"after beta grew from half to the whole in 20 draws, as in a training: {found.meaning}"
    return [Finding("moment error, followed", found.value, found.status, words)]


def _population(draws: Draws) -> list[Finding]:
    findings = []
    share = draws.effective_sample_size / len(draws)
    words = "effective sample size of the weighted reads"
    findings.append(Finding("ESS", draws.effective_sample_size, _grade(1 - share, 0.6, 0.9), words))
    info = draws.info
    if "families" in info:
        part = info["families"] / info.get("population", len(draws))
        words = f"surviving ancestors of the population ({part:.1%}); few mean that it was cooled too fast"
        findings.append(Finding("families", info["families"], _grade(-info["families"], -50, -10), words))
    if "round_trips" in info:
        trips = info["round_trips"] / max(1, info.get("ladders", 1))
        words = "round trips of parallel tempering between beta 0 and beta, a ladder"
        findings.append(Finding("round trips", trips, _grade(-trips, -1.0, -0.2), words))
    return findings


def _machine(draws: Draws) -> list[Finding]:
    info, findings = draws.info, []
    # our own wrapper's report, or a remote machine's
    clipped = (info.get("quantise") or {}).get("clip_fraction", (info.get("clip") or {}).get("clipped"))
    if clipped is not None:
        words = "share of the coefficients beyond the machine's range"
        findings.append(Finding("clip fraction", float(clipped), _grade(float(clipped), 0.001, 0.05), words))
    if "scale" in info:
        findings.append(Finding("scale", float(info["scale"]), "note", "of the problem that the machine saw"))
    if "flip_rate" in info:
        findings.append(Finding("readout flips", float(info["flip_rate"]), "note", "fitted rate of spins read wrongly"))
    unique = len(np.unique(draws.states, axis=0))
    findings.append(Finding("unique reads", unique, "note", f"different states among {len(draws)} reads"))
    return findings
