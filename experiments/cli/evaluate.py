"""`qbmvae evaluate`, `compare`, `report`: score a run, run a comparison, show either again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from experiments import config as reader
from experiments.cli import checks
from experiments.cli.common import DEFAULTS, Common, Injected, Settings, Words, WordsShown, by_commas, use_threads
from experiments.cli.grids import Grid
from experiments.cli.models import Representation
from samplers.errors import InputError

if TYPE_CHECKING:
    from experiments.comparison.config import Comparison


def register(app: App) -> None:
    """Add this family's commands to `app`."""
    app.command(evaluate)
    app.command(compare)
    app.command(report)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where the data say what cells are.

    Parameters
    ----------
    label_key
        obs column of cell types.
    batch_key
        obs column of batches; as in training by default; "none" for no batches.
    time_key
        obs columns of real time, or of a mixture's shares.
    root
        Root cell for pseudotime, by name or row; uns["iroot"] by default.
    branch_key
        obs column of lineages.
    """

    label_key: str
    batch_key: str | None = None
    time_key: Words = ()
    root: str | None = None
    branch_key: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What to score.

    Parameters
    ----------
    tasks
        Which scores to compute.
    pair
        Two types that are hard to tell apart, as in "A,B". May be repeated.
    against
        Models that are fitted on the same cells and scored too: pca, harmony, scvi, ...
    representation
        What of the model is scored; its default by default.
    max_cells
        Score a stratified subsample of this many cells where there are more.
    seed
        Seed of folds, classifiers and baselines.
    """

    tasks: Annotated[
        tuple[Literal["integration", "scgraph", "clustering", "classification", "trajectory"], ...],
        Parameter(converter=by_commas, n_tokens=1, negative=(), show_default=",".join),
    ] = ("integration", "scgraph", "clustering", "classification", "trajectory")
    pair: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    against: WordsShown = ("pca",)
    representation: Representation | None = None
    max_cells: Annotated[int, Parameter(validator=Number(gte=20))] = 10_000
    seed: int = 0


def evaluate(
    run: Path, data: str, /, *, out: Path, columns: Columns, scoring: Scoring = Scoring(), common: Common = DEFAULTS
) -> None:
    """Score a run's embedding: integration, scGraph, clustering, classification, trajectory, next to PCA's.

    Writes metrics.json, one table a task, and report.html. Baselines are fitted on the same cells for the same epochs
    and depth as the run.

    Example: qbmvae evaluate run1 pbmc.h5ad --label-key cell_type --against pca,scvi --out eval1

    Parameters
    ----------
    run
        A run folder of `qbmvae train`.
    data
        Cells with types, named as for `train`; genes are matched by name.
    out
        Folder to make; new or empty.

    Raises
    ------
    InputError
        Where a pair is not two types.
    """
    config = checks.trained(run)
    checks.new_folder(out)
    batch_key = None if columns.batch_key == "none" else columns.batch_key or config["setup"].get("batch_key")
    checks.cells(data, layer=config["setup"].get("layer"), keys=[
        columns.label_key, batch_key, columns.branch_key, *columns.time_key])  # fmt: skip
    from experiments.comparison.config import require_models

    require_models(scoring.against)
    pairs = [[w.strip() for w in pair.split(",")] for pair in scoring.pair]
    for given, pair in zip(scoring.pair, pairs, strict=True):
        if len(pair) != 2:
            raise InputError(f'--pair takes two types, as in "A,B", not {given!r}')
    use_threads()
    from experiments.evaluation.run import Annotation, evaluate_run

    found = Annotation(columns.batch_key, columns.label_key, None, columns.time_key, columns.root, columns.branch_key)
    metrics = evaluate_run(
        run, data, out, found, tasks=scoring.tasks, pairs=pairs, against=scoring.against,
        representation=scoring.representation, max_cells=scoring.max_cells, seed=scoring.seed, say=common.say,
    )  # fmt: skip
    common.answer(metrics, f"metrics: {out / 'metrics.json'}\nreport: {out / 'report.html'}")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OneSet:
    """The data set of a comparison without a configuration.

    Parameters
    ----------
    batch_key
        obs column of batches.
    label_key
        obs column of cell types.
    layer
        Layer of the counts; X by default.
    models
        Models to compare, by commas; without a configuration qbmvae, pca, harmony and scvi.
    """

    batch_key: str | None = None
    label_key: str | None = None
    layer: str | None = None
    models: Words = ()


def compare(
    source: str | None = None,
    /,
    *,
    out: Path,
    data_root: Path | None = None,
    grid: Grid = Grid(),
    one: OneSet = OneSet(),
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Run a grid of data sets, models and seeds, leak-free and with equal budgets; the same command goes on later.

    Writes results.parquet (tidy: one row a score), the embeddings, and report.html with tables, paired differences
    with intervals, ranks, curves and costs.

    Example: qbmvae compare experiments/configs/paper.yaml --out cmp --set seeds=[0,1]

    Example: qbmvae compare pbmc.h5ad --batch-key batch --label-key cell_type --models qbmvae,scvi,harmony --out cmp2

    Parameters
    ----------
    source
        A YAML configuration, the name of a shipped one (paper, core, readme, kept-out, priors, ablation, public, gate), or cells: an .h5ad file, a
        .zarr store or a folder of shards.
    out
        The folder; the same command again goes on where it stopped.
    data_root
        Folder of the data files; as in the configuration by default.
    """
    overrides = grid.overrides(settings) | ({} if data_root is None else {"data_root": str(data_root)})
    loaded = _comparison(source, settings, overrides, one)
    checks.folder(out)
    use_threads()
    from experiments.comparison.integration import run_comparison

    summary = run_comparison(loaded, out, say=common.say, **grid.where)
    text = f"{summary['fits']} fits, {summary['failed']} failed\nreport: {out / 'report.html'}"
    common.answer(summary, text)


def _comparison(source: str | None, settings: Settings, overrides: dict[str, Any], one: OneSet) -> Comparison:
    """Return what to compare: of a configuration, or models on one file."""
    from experiments.comparison.config import resolve
    from experiments.comparison.one_set import one_set

    cells = source is not None and (Path(source).suffix in (".h5ad", ".zarr") or Path(source).is_dir())
    if cells:
        overrides = {**settings.values, **overrides}
    elif settings.file is not None:
        if source is not None and reader.find(source) != settings.file:
            raise InputError(f"give one configuration: {source} or --config {settings.file}")
        columns = [
            f"--{k.replace('_', '-')}" for k in ("batch_key", "label_key", "layer") if getattr(one, k) is not None
        ]
        if columns:
            raise InputError(f"{columns[0]} describes one file of cells, but {settings.file} is a configuration")
        if one.models:
            overrides["models"] = list(one.models)
        return resolve(settings.values, overrides, settings.file)
    if source is None:
        raise InputError("missing argument SOURCE: an .h5ad file, a YAML configuration or the name of a shipped one")
    if not cells and not Path(source).exists():
        # names what configurations there are
        reader.find(source)
    if one.label_key is None:
        raise InputError("missing option --label-key: the obs column of cell types")
    checks.cells(source, layer=one.layer, batch_key=one.batch_key, keys=[one.label_key])
    return resolve(one_set(source, one.label_key, one.batch_key, one.layer, one.models), overrides)


def report(folder: Path, /, *, out: Path | None = None, common: Common = DEFAULTS) -> None:
    """Write the HTML report of a run or a comparison from what its folder holds.

    Example: qbmvae report cmp

    Parameters
    ----------
    folder
        A run, or a comparison, also an unfinished one.
    out
        HTML file to write; FOLDER/report.html by default.

    Raises
    ------
    InputError
        Where there is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    target = out or folder / "report.html"
    if (folder / "comparison.json").is_file():
        from experiments.comparison.report import write_report

        write_report(folder, target)
    else:
        checks.trained(folder)
        from experiments.training import report_again

        report_again(folder, target)
    common.answer({"report": str(target)}, f"report: {target}")
