"""`qbmvae samplers`: list the backends, check one on a problem, compare them, serve one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from experiments.cli import checks
from experiments.cli.common import DEFAULTS, Common, Positive, Words, WordsShown
from samplers.errors import InputError

app = App(
    name="samplers",
    help="Backends that draw Boltzmann samples: list, check, bench, serve.\n\n"
    "Example: qbmvae samplers check gibbs --problem problem.json",
)


def register(main: App) -> None:
    """Add this family's commands to `main`."""
    main.command(app)


@app.command(name="list")
def list_backends(*, common: Common = DEFAULTS) -> None:
    """List every backend: what it is, whether it is a sampler or an optimiser, and whether it can be used here.

    A sampler's reads follow exp(-beta E) at the beta that was asked for. An optimiser's seek low energies: its reads are
    finished by correction sweeps, and `samplers check` tells how near they come.

    Example: qbmvae samplers list
    """
    from dataclasses import asdict

    import samplers

    backends = samplers.available()
    width = max(map(len, backends))
    lines = []
    for name, b in backends.items():
        place = "remote" if b.remote else "local"
        lines.append(f"{name:<{width}}  {b.kind:<9}  {place:<6}  {b.description}")
        if not b.usable:
            lines.append(f"{'':<{width}}  not usable here: {b.why_not}")
    common.answer({name: asdict(backend) for name, backend in backends.items()}, "\n".join(lines))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Problem:
    """The problem to draw from.

    Parameters
    ----------
    problem
        Ising problem: JSON {"h", "J": matrix or edges (i, j, value), "offset": 0}, a restricted Boltzmann machine
        {"h_visible", "h_hidden", "W"}, a serialised dimod model (.json), or dimod's COO text. Without it a dense Gaussian
        problem is made.
    spins
        Spins of the problem that is made without --problem.
    coupling
        Scale g of its couplings, J_ij ~ N(0, g^2 / spins): 1 is critical, 2 is hard.
    data
        Reads from which chains start for R-hat: .npy of (num, spins) in -1/+1.
    """

    problem: Path | None = None
    spins: Positive = 64
    coupling: float = 1.0
    data: Path | None = None


@app.command
def check(
    backend: str,
    /,
    *,
    problem: Problem = Problem(),
    num_reads: Annotated[int, Parameter(validator=Number(gte=50))] = 1000,
    beta: Annotated[float, Parameter(validator=Number(gte=0))] = 1.0,
    seed: int = 0,
    out: Path | None = None,
    common: Common = DEFAULTS,
) -> None:
    """Check a backend on your problem: is it a sampler here, at this temperature?

    Prints a verdict with its grounds (good, fair, bad, or note where nothing is decided) and writes plots. The moments
    are compared with enumeration up to 18 spins and with parallel tempering beyond; for an optimiser with correction
    sweeps, the same sweeps from random spins are shown too.

    Example: qbmvae samplers check population-annealing --problem problem.json --num-reads 2000

    Parameters
    ----------
    backend
        A name of `samplers list`, or "name?option=value&option=value".
    num_reads
        Reads to draw.
    beta
        Inverse temperature: p(s) ~ exp(-beta E(s)).
    seed
        The same seed gives the same result.
    out
        Folder for report.html, plots and verdict.json; check-BACKEND by default.
    """
    checks.sampler({"": {"sampler": backend}})
    checks.files(problem.problem, problem.data)
    folder = out or Path("check-" + _safe(backend))
    checks.folder(folder)
    from samplers.problem_file import read_problem

    ising = read_problem(problem.problem) if problem.problem else _gaussian(problem.spins, problem.coupling, seed)
    import samplers
    from experiments.report.sampler_check import write_check
    from samplers.diagnostics.verdict import check as judge

    sampler = samplers.get(backend)
    states = _states(problem.data, ising.n)
    common.say(f"drawing {num_reads} reads of {ising.n} spins")
    verdict = judge(sampler, ising, num_reads=num_reads, beta=beta, seed=seed, data=states)
    common.say("plots")
    paths = write_check(folder, backend, verdict, ising, seed)
    lines = [f"{verdict.level.upper()}: {verdict.summary}", ""]
    for f in verdict.findings:
        value = f"{f.value:.4g}" + ("" if f.error is None else f" +- {f.error:.2g}")
        lines.append(f"  {f.status:<5} {f.name:<27} {value:<19} {f.meaning}")
    lines += ["", f"report.html, plots and verdict.json: {folder}"]
    common.answer({"backend": backend, **verdict.as_dict(), "plots": [str(p) for p in paths]}, "\n".join(lines))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Contest:
    """What backends are compared on.

    Parameters
    ----------
    sizes
        Numbers of spins, by commas; up to 4096 is usual.
    couplings
        Kinds of couplings, by commas: pm1 (+-1), gaussian.
    seconds
        Time that each backend gets on each problem.
    most_seconds
        Most seconds of a backend on a problem, by the clock: one that takes longer is left out. 10 x seconds + 60 by
        default.
    instances
        Problems of each kind and size.
    seed
        The same seed gives the same problems.
    """

    sizes: WordsShown = ("128", "256")
    couplings: WordsShown = ("pm1", "gaussian")
    seconds: Annotated[float, Parameter(validator=Number(gt=0))] = 2.0
    most_seconds: Annotated[float, Parameter(validator=Number(gt=0))] | None = None
    instances: Positive = 1
    seed: int = 0


@app.command
def bench(
    *,
    backend: Annotated[Words, Parameter(name=("--backend", "-b"))] = (),
    contest: Contest = Contest(),
    out: Path = Path("sampler-bench"),
    common: Common = DEFAULTS,
) -> None:
    """Compare backends: sampling error and, apart from it, optimisation quality, at equal time.

    Sampling: error of the second moments at beta 1, g = 1, against parallel tempering, in units of independent exact
    reads. Optimisation: best and mean energy per spin, the time to come within 1 % of the best energy known, and the gap
    to simulated annealing by the number of spins. Remote backends are timed by the clock, local ones by CPU time.

    Example: qbmvae samplers bench --sizes 128,512,2048 --seconds 10 -b population-annealing -b coherent-ising

    Parameters
    ----------
    backend
        Backends to compare; every local one by default.
    out
        Folder for bench.json and the plot of the gap by size.
    """
    for name in backend:
        checks.sampler({"": {"sampler": name}})
    sizes = [_size(word) for word in contest.sizes]
    checks.folder(out)
    from experiments.benchmarks import samplers_optimisation as optimisation
    from samplers.files import write_json

    report = optimisation.run(
        list(backend) or None, sizes, list(contest.couplings), contest.seconds, contest.instances, contest.seed,
        contest.most_seconds, progress=common.say,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "bench.json", report)
    plot = optimisation.plot(report, out / "gap.png")
    text = f"{optimisation.table(report)}\nbench.json and gap.png: {out}"
    common.answer({**report, "plots": [str(plot)]}, text)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server accepts.

    Parameters
    ----------
    host
        Address to listen on; 0.0.0.0 for every network, which needs a token.
    port
        Port to listen on.
    token_file
        File with the token that clients must send; without it anyone on this machine may ask.
    max_spins
        Most spins of a problem.
    max_reads
        Most reads of a request.
    max_seconds
        Most seconds of a request.
    workers
        Requests that are worked on at once.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token_file: Path | None = None
    max_spins: Positive = 4096
    max_reads: Positive = 100_000
    max_seconds: float = 60.0
    workers: Positive = 2


@app.command
def serve(
    *,
    backend: Annotated[str, Parameter(name=("--backend", "-b"))] = "gibbs",
    limits: Limits = Limits(),
    common: Common = DEFAULTS,
) -> None:
    """Serve a backend over HTTP to other machines, until interrupted.

    Clients use samplers.get("http", url="http://HOST:PORT", token=...). /health and /metrics tell how it fares.

    Example: qbmvae samplers serve --backend gibbs --port 8765 --token-file token.txt

    Parameters
    ----------
    backend
        The backend to serve, as in `samplers list`.
    """
    checks.sampler({"": {"sampler": backend}})
    token = _token(limits.token_file)
    import samplers
    from samplers.server.app import serve as run_server

    samplers.get(backend)
    common.say(f"serving {backend} at http://{limits.host}:{limits.port}")
    run_server(
        backend, host=limits.host, port=limits.port, token=token, max_spins=limits.max_spins, max_reads=limits.max_reads,
        max_seconds=limits.max_seconds, workers=limits.workers,
    )  # fmt: skip


def _gaussian(n: int, g: float, seed: int) -> Any:
    import numpy as np

    import samplers

    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, 0.1, n), couplings + couplings.T)


def _states(path: Path | None, n: int) -> Any:
    if path is None:
        return None
    import numpy as np

    from samplers.states import check_states

    try:
        states = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the states {path}: {error}; give a .npy file of numbers") from error
    try:
        return check_states(states, n)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _size(word: str) -> int:
    if not word.isdigit() or int(word) < 2:
        raise InputError(f"--sizes takes whole numbers from 2, by commas, not {word!r}")
    return int(word)


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
