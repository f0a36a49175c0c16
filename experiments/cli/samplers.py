"""`qbmvae samplers`: list the backends, check one on a problem, compare them, serve one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from samplers.errors import InputError
from samplers.files import plain, write_json, write_text

app = typer.Typer(
    help="Backends that draw Boltzmann samples: list, check, bench, serve.\n\n"
    "Example: qbmvae samplers check gibbs --problem problem.json",
)

Spec = Annotated[
    str, typer.Argument(metavar="BACKEND", help='A name of `samplers list`, or "name?option=value&option=value".')
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and the paths of results.")]
Problem = Annotated[
    Path | None,
    typer.Option(
        help='Ising problem: JSON {"h", "J": matrix or edges (i, j, value), "offset": 0}, a restricted '
        'Boltzmann machine {"h_visible", "h_hidden", "W"}, a serialised dimod model (.json), or dimod\'s COO text. '
        "Without it a dense Gaussian problem is made."
    ),
]
Size = Annotated[int, typer.Option("--spins", help="Spins of the problem that is made without --problem.")]
Coupling = Annotated[
    float, typer.Option(help="Scale g of its couplings, J_ij ~ N(0, g^2 / spins): 1 is critical, 2 is hard.")
]
Beta = Annotated[float, typer.Option(help="Inverse temperature: p(s) ~ exp(-beta E(s)).")]
Seed = Annotated[int, typer.Option(help="Seed; the same seed gives the same result.")]


def register(main: typer.Typer) -> None:
    """Add this family's commands to `main`."""
    main.add_typer(app, name="samplers")


@app.command("list")
def list_backends(as_json: Json = False) -> None:
    """List every backend: what it is, whether it is a sampler or an optimiser, and whether it can be used here.

    A sampler's reads follow exp(-beta E) at the beta that was asked for. An optimiser's seek low energies: its reads are finished by correction sweeps, and `samplers check` tells how near they come.

    Example: qbmvae samplers list
    """
    from dataclasses import asdict

    import samplers

    backends = samplers.available()
    if as_json:
        print(json.dumps({name: asdict(backend) for name, backend in backends.items()}, indent=2))
        return
    width = max(map(len, backends))
    for name, b in backends.items():
        place = "remote" if b.remote else "local"
        print(f"{name:<{width}}  {b.kind:<9}  {place:<6}  {b.description}")
        if not b.usable:
            print(f"{'':<{width}}  not usable here: {b.why_not}")


@app.command()
def check(
    backend: Spec,
    problem: Problem = None,
    num_reads: Annotated[int, typer.Option(help="Reads to draw, at least 50.")] = 1000,
    beta: Beta = 1.0,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, plots and verdict.json.", show_default="check-BACKEND")
    ] = None,
    spins: Size = 64,
    coupling: Coupling = 1.0,
    data: Annotated[
        Path | None, typer.Option(help="Reads to start chains from for R-hat: .npy of (num, spins) in -1/+1.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a backend on your problem: is it a sampler here, at this temperature?

    Prints a verdict with its grounds (good, fair, bad, or note where nothing is judged) and writes plots. The moments are compared with enumeration up to 18 spins and with parallel tempering beyond; for an optimiser with correction sweeps, the same sweeps from random spins stand beside it.

    Example: qbmvae samplers check population-annealing --problem problem.json --num-reads 2000
    """
    import samplers
    from experiments.report.sampler_check import sampler_report
    from samplers.diagnostics.plots import write_plots
    from samplers.diagnostics.verdict import check as judge
    from samplers.problem_file import read_problem

    ising = read_problem(problem) if problem else _gaussian(spins, coupling, seed)
    sampler = samplers.get(backend)
    folder = _folder(out or Path("check-" + _safe(backend)))
    verdict = judge(sampler, ising, num_reads=num_reads, beta=beta, seed=seed, data=_states(data, ising.n))
    write_json(folder / "verdict.json", {"backend": backend, "seed": seed, **verdict.as_dict()})
    paths = write_plots(verdict, ising, folder)
    write_text(folder / "report.html", sampler_report(backend, verdict, paths))
    if as_json:
        print(json.dumps(plain({"backend": backend, **verdict.as_dict(), "plots": [str(p) for p in paths]}), indent=2))
        return
    if not quiet:
        print(f"{verdict.level.upper()}: {verdict.summary}\n")
        for f in verdict.findings:
            value = f"{f.value:.4g}" + ("" if f.error is None else f" +- {f.error:.2g}")
            print(f"  {f.status:<5} {f.name:<27} {value:<19} {f.meaning}")
        print()
    print(f"report.html, plots and verdict.json: {folder}")


@app.command()
def bench(
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", "-b", help="A backend to compare; may be repeated.", show_default="every local one"),
    ] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of spins, by commas; up to 4096 is usual.")] = "128,256",
    couplings: Annotated[
        str, typer.Option(help="Kinds of couplings, by commas: pm1 (+-1), gaussian.")
    ] = "pm1,gaussian",
    seconds: Annotated[float, typer.Option(help="Time that each backend gets on each problem.")] = 2.0,
    most_seconds: Annotated[
        float | None,
        typer.Option(
            help="Most seconds of a backend on a problem, by the clock: one that takes longer is left out.",
            show_default="10 x seconds + 60",
        ),
    ] = None,
    instances: Annotated[int, typer.Option(help="Problems of each kind and size.")] = 1,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and the plot of the gap by size.")] = Path(
        "sampler-bench"
    ),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare backends: sampling error and, apart from it, optimisation quality, at equal time.

    Sampling: error of the second moments at beta 1, g = 1, against parallel tempering, in units of independent exact reads. Optimisation: best and mean energy per spin, the time to come within 1 % of the best energy known, and the gap to simulated annealing by the number of spins. Remote backends are timed by the clock, local ones by CPU time.

    Example: qbmvae samplers bench --sizes 128,512,2048 --seconds 10 -b population-annealing -b coherent-ising
    """
    from experiments.benchmarks import samplers_optimisation as optimisation
    from samplers.machines.options import positive, whole

    numbers = [_whole(word) for word in sizes.split(",")]
    positive("--seconds", seconds), whole("--instances", instances)
    if most_seconds is not None:
        positive("--most-seconds", most_seconds)
    report = optimisation.run(
        backend or None, numbers, [c.strip() for c in couplings.split(",")], seconds, instances, seed, most_seconds,
        progress=None if quiet or as_json else lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    folder = _folder(out)
    write_json(folder / "bench.json", report)
    plot = optimisation.plot(report, folder / "gap.png")
    if as_json:
        print(json.dumps(plain({**report, "plots": [str(plot)]}), indent=2))
        return
    if not quiet:
        print(optimisation.table(report))
    print(f"bench.json and gap.png: {folder}")


@app.command()
def serve(
    backend: Annotated[
        str, typer.Option("--backend", "-b", help="The backend to serve, as in `samplers list`.")
    ] = "gibbs",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8765,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients must send; without it anyone may ask.")
    ] = None,
    max_spins: Annotated[int, typer.Option(help="Most spins of a problem.")] = 4096,
    max_reads: Annotated[int, typer.Option(help="Most reads of a request.")] = 100_000,
    max_seconds: Annotated[float, typer.Option(help="Most seconds of a request.")] = 60.0,
    workers: Annotated[int, typer.Option(help="Requests that are worked on at once.")] = 2,
) -> None:
    """Serve a backend over HTTP to other machines, until interrupted.

    Clients use samplers.get("http", url="http://HOST:PORT", token=...). /health and /metrics tell how it fares.

    Example: qbmvae samplers serve --backend gibbs --port 8765 --token-file token.txt
    """
    import samplers
    from samplers.server.app import serve as run_server

    samplers.get(backend)
    run_server(
        backend, host=host, port=port, token=_token(token_file), max_spins=max_spins, max_reads=max_reads,
        max_seconds=max_seconds, workers=workers,
    )  # fmt: skip


def _gaussian(n: int, g: float, seed: int) -> Any:
    import numpy as np

    import samplers

    if n < 1:
        raise InputError(f"--spins must be >= 1, not {n}")
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, 0.1, n), couplings + couplings.T)


def _states(path: Path | None, n: int) -> Any:
    if path is None:
        return None
    import numpy as np

    from samplers.sampler import check_states

    try:
        states = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the states {path}: {error}; give a .npy file of numbers") from error
    try:
        return check_states(states, n)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _whole(word: str) -> int:
    try:
        number = int(word)
    except ValueError:
        number = 0
    if number < 2:
        raise InputError(f"--sizes takes whole numbers >= 2 by commas, not {word.strip()!r}")
    return number


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise InputError(f"cannot read the token file {path}: {error.strerror}") from error
    if not token:
        raise InputError(f"the token file {path} is empty: write a token into it")
    return token


def _safe(backend: str) -> str:
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in backend)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}; give another --out") from error
    return path
