"""Backends at equal time: sampling error and, apart from it, optimisation quality by the number of spins.

The QBM-VAE paper says that its machine beats simulated annealing more as problems grow; the gap by size is the test of
that claim for any backend. Run with `python -m experiments.benchmarks.samplers_optimisation` or `qbmvae samplers bench`.
"""

from __future__ import annotations

import inspect
import itertools
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import samplers
from samplers.errors import InputError
from samplers.sampler import Draws

KINDS = ("pm1", "gaussian")
RIVAL = "simulated-annealing"
#: Inverse temperature at which a backend is asked for low energies; couplings have variance 1 / n.
COLD = 10.0
#: Options that turn a machine whose defaults sample at beta 1 into the optimiser that it is best known as.
OPTIMISERS: dict[str, dict[str, Any]] = {
    "simulated-annealing": {"ramp": 1.0, "acceptance": "metropolis"},
    "coherent-ising": {"scale": 0.2},
    "simulated-bifurcation": {"scale": 0.05},
}
#: They do not answer for the lowest energy: the first is limited in size, the second follows a training run.
NOT_OPTIMISERS = ("exact", "persistent")
READS, SAMPLING_READS, FIRST_DEPTH = 32, 512, 16
#: Beyond this many spins the reference of the sampling error would take longer than the comparison.
LARGEST_REFERENCE = 512


def problem(kind: str, n: int, seed: int, g: float = 1.0) -> samplers.Ising:
    """Return a dense problem without fields, couplings ±g / sqrt(n) or N(0, g^2 / n)."""
    rng = np.random.default_rng([seed, n, KINDS.index(kind)])
    values = rng.choice([-1.0, 1.0], (n, n)) if kind == "pm1" else rng.normal(size=(n, n))
    upper = np.triu(values, 1) * (g / np.sqrt(n))
    return samplers.Ising(np.zeros(n), upper + upper.T)


def local_backends() -> list[str]:
    """Return the local backends that can be used here."""
    return [name for name, b in samplers.available().items() if b.usable and not b.remote]


def depth_option(spec: str) -> str | None:
    """Return the option that says how long a read takes, "num_sweeps" or "num_steps", where it is free."""
    sampler = samplers.get(spec)
    return next(
        (
            o
            for o in ("num_sweeps", "num_steps")
            if o in inspect.signature(type(sampler)).parameters and f"{o}=" not in spec
        ),
        None,
    )


def clock(spec: str) -> Callable[[], float]:
    """Return the clock of a backend: CPU time where it works here, wall time where it is remote."""
    return time.perf_counter if samplers.get(spec).remote else time.process_time


def optimise(spec: str, ising: samplers.Ising, seconds: float, seed: int) -> dict[str, Any]:
    """Return what a backend reaches in `seconds`: rounds of reads, each twice as deep as the one before.

    Returns
    -------
    dict
        "trace" of (seconds, best energy), "best", and the lowest "mean" energy of a round's reads.
    """
    options = {k: v for k, v in OPTIMISERS.get(spec.partition("?")[0], {}).items() if f"{k}=" not in spec}
    option, now = depth_option(spec), clock(spec)
    trace: list[tuple[float, float]] = []
    depth, mean, start = FIRST_DEPTH, np.inf, now()
    while True:
        before = now()
        sampler = samplers.get(spec, **options, **({option: depth} if option else {}))
        energies = sampler.draw(ising, READS, COLD, seed=seed + len(trace)).energies
        after = now()
        best = min(float(energies.min()), trace[-1][1] if trace else np.inf)
        trace.append((after - start, best))
        mean = min(mean, float(energies.mean()))
        rest, cost = seconds - (after - start), after - before
        # the last round fills what is left of the time
        grow = min(2.0, 0.9 * rest / max(cost, 1e-6)) if option else 1.0
        if rest < 0.1 * seconds or (option is None and cost > rest) or (option and depth * grow < 8):
            return {"trace": trace, "best": trace[-1][1], "mean": mean}
        depth = max(8, int(depth * grow))


def sampling(
    spec: str, ising: samplers.Ising, against: Any, seconds: float, seed: int
) -> tuple[float, float, int | None]:
    """Return the moment error (1 is ideal), the effective beta, and the depth that filled `seconds`."""
    option, now = depth_option(spec), clock(spec)

    def draw(depth: int | None) -> tuple[Draws, float]:
        sampler, start = samplers.get(spec, **({option: depth} if option and depth else {})), now()
        return sampler.draw(ising, SAMPLING_READS, seed=seed), now() - start

    draws, took = draw(FIRST_DEPTH)
    depth = None
    if option:
        depth = int(np.clip(FIRST_DEPTH * seconds / max(took, 1e-3), FIRST_DEPTH, 2000))
        draws, _ = draw(depth)
    beta, _ = samplers.effective_beta(ising, draws.states, weights=draws.weights)
    return against.error(draws), beta, depth


def run(
    backends: list[str] | None,
    sizes: list[int],
    kinds: list[str],
    seconds: float,
    instances: int = 1,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Compare backends on dense problems.

    Parameters
    ----------
    backends
        Names or specs; every local one by default. Simulated annealing is always among them.
    sizes, kinds
        Numbers of spins; "pm1" and "gaussian".
    seconds
        Time of a backend on a problem, for optimisation and again for sampling.
    instances
        Problems of each size and kind.
    seed
        Seed of problems and backends.
    progress
        Called with a line for each result.

    Returns
    -------
    dict
        "optimisation" and "sampling", lists of rows, and the settings.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"there is no kind of couplings {kind!r}: there are {', '.join(KINDS)}")
    chosen = list(backends or local_backends())
    chosen = chosen if RIVAL in chosen else [RIVAL, *chosen]
    for spec in chosen:
        samplers.get(spec).draw(problem("pm1", 24, seed), 8, seed=0)  # compile, connect
    tell = progress or (lambda line: None)
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
        "seconds": seconds, "seed": seed, "optimisation": [], "sampling": [],
    }  # fmt: skip
    # CPU time would count the spinning of idle threads
    with threadpool_limits(1):
        for kind, n, k in itertools.product(kinds, sizes, range(instances)):
            ising = problem(kind, n, seed + k)
            report["optimisation"] += _optimisation(chosen, ising, kind, n, k, seconds, seed, tell)
            if n <= LARGEST_REFERENCE and k == 0:
                report["sampling"] += _sampling(chosen, ising, kind, n, seconds, seed, tell)
    return report


def _optimisation(
    chosen: list[str], ising: samplers.Ising, kind: str, n: int, instance: int, seconds: float, seed: int, tell: Any
) -> list[dict[str, Any]]:
    rows = []
    for spec in chosen:
        if spec.partition("?")[0] in NOT_OPTIMISERS:
            continue
        row = {"backend": spec, "kind": kind, "n": n, "instance": instance, **optimise(spec, ising, seconds, seed)}
        tell(f"{kind} n={n} {spec}: best {row['best'] / n:.4f} a spin, {row['trace'][-1][0]:.1f} s")
        rows.append(row)
    known = min(row["best"] for row in rows)
    rival = next(row["best"] for row in rows if row["backend"] == RIVAL)
    for row in rows:
        near = [t for t, energy in row["trace"] if energy <= known + 0.01 * abs(known)]
        row["seconds_to_1_percent"] = near[0] if near else None
        row["gap"] = (row["best"] - rival) / abs(rival)
        row["over_best_known"] = (row["best"] - known) / abs(known)
    return rows


def _sampling(
    chosen: list[str], ising: samplers.Ising, kind: str, n: int, seconds: float, seed: int, tell: Any
) -> list[dict[str, Any]]:
    from samplers.diagnostics.reference import reference

    against, rows = reference(ising, num_reads=2000, seed=seed), []
    for spec in chosen:
        try:
            error, beta, depth = sampling(spec, ising, against, seconds, seed)
        except InputError as refusal:
            tell(f"{kind} n={n} {spec}: left out, {refusal}")
            continue
        rows.append({"backend": spec, "kind": kind, "n": n, "moment_error": error, "beta": beta, "depth": depth})
        tell(f"{kind} n={n} {spec}: moment error {error:.2f}")
    return rows


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['seconds']:g} s a backend and problem; {report['machine']}", ""]
    lines.append("Sampling at beta 1, g = 1: error of E[s_i s_j] in units of independent exact reads; effective beta")
    for row in sorted(report["sampling"], key=lambda r: (r["kind"], r["n"], r["moment_error"])):
        depth = f"{row['depth']} deep" if row["depth"] else ""
        lines.append(
            f"  {row['kind']:<9} n={row['n']:<5} {row['backend']:<26} {row['moment_error']:7.2f}   beta {row['beta']:.3f}  {depth}"
        )
    lines += [
        "",
        "Optimisation: best and mean energy a spin, seconds to within 1 % of the best known, gap to simulated annealing",
    ]
    for row in sorted(report["optimisation"], key=lambda r: (r["kind"], r["n"], r["instance"], r["best"])):
        n, near = row["n"], row["seconds_to_1_percent"]
        reached = f"{near:6.2f} s" if near is not None else "   never"
        lines.append(
            f"  {row['kind']:<9} n={n:<5} {row['backend']:<26} {row['best'] / n:8.4f} {row['mean'] / n:8.4f}  {reached}  {100 * row['gap']:+6.2f} %"
        )
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> Path:
    """Write the gap to simulated annealing by the number of spins, one panel a kind of couplings; return the path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = report["optimisation"]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    figure = Figure(figsize=(5.4 * len(kinds), 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    names = [name for name in dict.fromkeys(row["backend"] for row in rows) if name != RIVAL]
    for axes, kind in zip(panels, kinds, strict=True):
        axes.axhline(0, color="0.4", lw=1, ls="--", label=RIVAL)
        for k, name in enumerate(names):
            sizes = sorted({r["n"] for r in rows if r["kind"] == kind})
            gaps = [
                [100 * r["gap"] for r in rows if (r["kind"], r["backend"], r["n"]) == (kind, name, n)] for n in sizes
            ]
            axes.errorbar(
                sizes,
                [np.mean(g) for g in gaps],
                [np.std(g) for g in gaps],
                marker="o",
                ms=4,
                color=f"C{k}",
                label=name,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("symlog", linthresh=0.5)
        axes.set_xticks(sorted({r["n"] for r in rows}), [str(n) for n in sorted({r["n"] for r in rows})])
        axes.set(xlabel="spins", title=f"{kind} couplings, {report['seconds']:g} s each")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("best energy against simulated annealing, %\n(below 0: better)")
    panels[0].legend(frameon=False, fontsize=8)
    temporary = path.with_name(f".{path.name}.tmp.png")
    figure.savefig(temporary)
    temporary.replace(path)
    return path


def main() -> None:
    import argparse
    import json

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="128,256,512", help="numbers of spins, by commas")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--backend", action="append", help="may be repeated; every local backend by default")
    parser.add_argument("--out", type=Path, help="JSON file; the plot goes beside it")
    given = parser.parse_args()
    sizes = [int(n) for n in given.sizes.split(",")]
    report = run(
        given.backend, sizes, list(KINDS), given.seconds, given.instances, progress=lambda s: print(s, flush=True)
    )
    print(table(report))
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")
        plot(report, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
