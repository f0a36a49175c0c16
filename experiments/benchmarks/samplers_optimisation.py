"""Backends at equal time: sampling error and, apart from it, optimisation quality by the number of spins.

The QBM-VAE paper says that its machine beats simulated annealing more as problems grow; the gap by size is the test of
that claim for any backend. Run with `python -m experiments.benchmarks.samplers_optimisation` or `qbmvae samplers bench`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import samplers
from experiments.benchmarks.cells import CellError, Cells
from experiments.benchmarks.equal_time import KINDS, optimise_cell, reference_cell, sampling_cell, warm_cell
from experiments.benchmarks.report import arguments, machine
from samplers.errors import InputError
from samplers.files import write_atomically, write_json

RIVAL = "simulated-annealing"
#: They do not answer for the lowest energy: the first is limited in size, the second follows a training run.
NOT_OPTIMISERS = ("exact", "persistent")
#: For what is not measured: a backend's first draw, which may compile, and the reference.
WARM_SECONDS = 600.0
#: Beyond this many spins the reference of the sampling error would take longer than the comparison.
LARGEST_REFERENCE = 512


def local_backends() -> list[str]:
    """Return the local backends that can be used here."""
    return [name for name, b in samplers.available().items() if b.usable and not b.remote]


def run(
    backends: list[str] | None,
    sizes: list[int],
    kinds: list[str],
    seconds: float,
    instances: int = 1,
    seed: int = 0,
    most_seconds: float | None = None,
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
    most_seconds
        By the clock; what takes longer on one problem is ended and left out. 10 x `seconds` + 60 by default.
    progress
        Called with a line for each result.

    Returns
    -------
    dict
        "optimisation" and "sampling", lists of rows, "left_out", and the settings.

    Raises
    ------
    InputError
        For an unknown backend or kind of couplings, or where no backend answered in time.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"there is no kind of couplings {kind!r}: there are {', '.join(KINDS)}")
    chosen = list(backends or local_backends())
    chosen = chosen if RIVAL in chosen else [RIVAL, *chosen]
    for spec in chosen:
        samplers.get(spec)
    most = 10 * seconds + 60 if most_seconds is None else most_seconds
    tell = progress or (lambda line: None)
    report: dict[str, Any] = {
        "machine": machine(), "seconds": seconds, "most_seconds": most, "seed": seed,
        "optimisation": [], "sampling": [], "left_out": [],
    }  # fmt: skip

    def left_out(kind: str, n: int, spec: str, what: str, reason: Exception) -> None:
        report["left_out"].append({"kind": kind, "n": n, "backend": spec, "what": what, "reason": str(reason)})
        tell(f"{kind} n={n} {spec}: {what} left out, {reason}")

    with Cells(most) as cells:
        for spec in chosen:
            cells.call(warm_cell, spec, most=WARM_SECONDS)
        for kind, n, k in itertools.product(kinds, sizes, range(instances)):
            report["optimisation"] += _optimisation(cells, chosen, kind, n, k, seconds, seed + k, tell, left_out)
            if n <= LARGEST_REFERENCE and k == 0:
                report["sampling"] += _sampling(cells, chosen, kind, n, seconds, seed, tell, left_out)
    if not report["optimisation"]:
        raise InputError(f"no backend answered within {most:g} s on any problem: give more time, or smaller problems")
    return report


def _optimisation(
    cells: Cells,
    chosen: list[str],
    kind: str,
    n: int,
    instance: int,
    seconds: float,
    seed: int,
    tell: Any,
    left_out: Any,
) -> list[dict[str, Any]]:
    rows = []
    for spec in chosen:
        if spec.partition("?")[0] in NOT_OPTIMISERS:
            continue
        try:
            found = cells.call(optimise_cell, spec, kind, n, seed, seconds)
        except (InputError, CellError) as reason:
            left_out(kind, n, spec, "optimisation", reason)
            continue
        rows.append({"backend": spec, "kind": kind, "n": n, "instance": instance, **found})
        tell(f"{kind} n={n} {spec}: best {found['best'] / n:.4f} a spin, {found['seconds']:.1f} s")
    known = min((row["best"] for row in rows), default=np.nan)
    rival = next((row["best"] for row in rows if row["backend"] == RIVAL), np.nan)
    for row in rows:
        near = [t for t, energy in row["trace"] if energy <= known + 0.01 * abs(known)]
        row["seconds_to_1_percent"] = near[0] if near else None
        row["gap"] = (row["best"] - rival) / abs(rival)
        row["over_best_known"] = (row["best"] - known) / abs(known)
    return rows


def _sampling(
    cells: Cells, chosen: list[str], kind: str, n: int, seconds: float, seed: int, tell: Any, left_out: Any
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    try:
        against = cells.call(reference_cell, kind, n, seed, most=WARM_SECONDS)
    except CellError as reason:
        left_out(kind, n, "the reference", "sampling", reason)
        return rows
    for spec in chosen:
        try:
            error, beta, depth = cells.call(sampling_cell, spec, kind, n, seed, against, seconds)
        except (InputError, CellError) as reason:
            left_out(kind, n, spec, "sampling", reason)
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
            f"  {row['kind']:<9} n={row['n']:<5} {row['backend']:<30} {row['moment_error']:7.2f}   beta {row['beta']:.3f}  {depth}"
        )
    lines += [
        "",
        "Optimisation: best and mean energy a spin, seconds to within 1 % of the best known and in all (more than was given "
        "where the shortest draw takes longer), gap to simulated annealing",
    ]
    for row in sorted(report["optimisation"], key=lambda r: (r["kind"], r["n"], r["instance"], r["best"])):
        n, near = row["n"], row["seconds_to_1_percent"]
        reached = f"{near:6.2f} s" if near is not None else "   never"
        lines.append(
            f"  {row['kind']:<9} n={n:<5} {row['backend']:<30} {row['best'] / n:8.4f} {row['mean'] / n:8.4f}  {reached} of {row['seconds']:6.2f} s  {100 * row['gap']:+6.2f} %"
        )
    lines += [
        f"  left out: {r['kind']} n={r['n']} {r['backend']}, {r['what']}: {r['reason']}" for r in report["left_out"]
    ]
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> Path:
    """Write the gap to simulated annealing by the number of spins, one panel a kind of couplings; return the path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = report["optimisation"]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    figure = Figure(figsize=(4.8 * len(kinds) + 2.2, 4.4), dpi=110, layout="constrained")
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
            known = [(n, g) for n, g in zip(sizes, gaps, strict=True) if g]
            axes.errorbar(
                [n for n, _ in known],
                [np.mean(g) for _, g in known],
                [np.std(g) for _, g in known],
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
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("best energy against simulated annealing, %\n(below 0: better)")
    # beside the panels: below, above or between the lines there is no room for every backend
    panels[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return write_atomically(path, figure.savefig)


def main() -> None:
    """Run the benchmark and print its tables."""
    options = arguments(
        __doc__, sizes=([128, 256, 512], "numbers of spins"), seconds=2.0, instances=1,
        backend=([], "every local backend by default"), most_seconds=(0.0, "by the clock; 0 for the default"),
    )  # fmt: skip
    report = run(
        options.backend, options.sizes, list(KINDS), options.seconds, options.instances,
        most_seconds=options.most_seconds or None, progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    print(table(report))
    if options.out:
        write_json(options.out, report)
        plot(report, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
