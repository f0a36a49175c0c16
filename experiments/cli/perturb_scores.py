"""`qbmvae perturb evaluate`, `table`, `seeds`: scores of predictions, of a table's rows, of runs over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclopts import App, Parameter

from experiments import config as reader
from experiments.cli import checks
from experiments.cli.common import DEFAULTS, Common, Flag, Injected, Positive, Settings, use_threads
from experiments.cli.grids import Grid, configuration


def register(perturb: App) -> None:
    """Add these commands to `perturb`."""
    perturb.command(evaluate)
    perturb.command(table)
    perturb.command(seeds)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Judging:
    """How to score.

    Parameters
    ----------
    pert_key
        obs column with each cell's perturbation; the run's, or target_gene, by default.
    control
        Label of the control cells; the run's, or non-targeting, by default.
    baseline
        A baseline's predictions (.h5ad), for scaled scores.
    n_control
        Score against this many control cells; all by default.
    real_controls
        Compare predicted cells with the observed controls, not with those of the prediction.
    scorer
        cell-eval (our own, equal to it), or cell-eval2 (the package, on counts), as the 2026 challenge scores.
    seed
        Seed of the control cells drawn.
    """

    pert_key: str | None = None
    control: str | None = None
    baseline: Path | None = None
    n_control: Positive | None = None
    real_controls: Flag = False
    scorer: Literal["cell-eval", "cell-eval2"] = "cell-eval"
    seed: int = 0


def evaluate(
    predicted: Path,
    observed: Path,
    /,
    *,
    out: Path | None = None,
    judging: Judging = Judging(),
    common: Common = DEFAULTS,
) -> None:
    """Score predictions as the Virtual Cell Challenge does.

    Example: qbmvae perturb evaluate predicted.h5ad observed.h5ad --pert-key perturbation --control control

    Parameters
    ----------
    predicted
        Predicted cells (.h5ad), or a run folder to predict with.
    observed
        Observed cells (.h5ad) with controls.
    out
        A folder for metrics.json and per_perturbation.csv; nothing is written by default.
    """
    if predicted.is_dir():
        checks.finished(predicted, "model.json", "qbmvae perturb train")
    else:
        checks.cells(str(predicted), keys=[judging.pert_key])
    checks.cells(str(observed), keys=[judging.pert_key])
    checks.files(judging.baseline)
    if out is not None:
        checks.folder(out)
    use_threads()
    from experiments.perturbation.evaluate_files import evaluate_files

    common.say("scoring")
    metrics = evaluate_files(
        predicted, observed, judging.pert_key, judging.control, judging.baseline, n_control=judging.n_control,
        real_controls=judging.real_controls,
        scorer=judging.scorer, seed=judging.seed, out=out,
    )  # fmt: skip
    numbers = {k: v for k, v in metrics.items() if isinstance(v, float)}
    common.answer(metrics, ", ".join(f"{k} {v:.4f}" for k, v in numbers.items()))


def table(
    name: str | None = None,
    /,
    *,
    out: Path,
    grid: Grid = Grid(),
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Fill a table over seeds on synthetic truth: the collapse and what mends it, or the phases of the prototype's plan.

    Example: qbmvae perturb table ablation --out table1 --set seeds=[0,1]

    Parameters
    ----------
    name
        ablation (the default) or phases, a YAML configuration, or the name of a shipped one.
    out
        The folder; the same command again goes on where it stopped.
    """
    from experiments.perturbation.config import TableConfig

    kinds = {None: "ablation", "ablation": "ablation", "phases": "phases"}
    if settings.file is None and name in kinds:
        values, file = {"table": kinds[name]}, Path("configuration")
        reader.apply(values, grid.overrides(settings))
    else:
        values, file = configuration(settings, name, grid)
    config = reader.build(TableConfig, values, str(file))
    config.rows()
    checks.folder(out)
    use_threads()
    from experiments.perturbation.ablation import run_table

    summary = run_table(config, out, common.say, **grid.where)
    text = summary[["row", "des", "pds", "mae", "overall"]].to_string(index=False, float_format="%.4f")
    common.answer(summary.to_dict(orient="records"), text)


def seeds(
    source: str | None = None,
    /,
    *,
    out: Path,
    data_root: Path | None = None,
    grid: Grid = Grid(),
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Train the same runs over several seeds and write one table with intervals.

    Example: qbmvae perturb seeds runs.yaml --out seeds1

    Parameters
    ----------
    source
        YAML configuration: runs (name: settings of `train`) and seeds; or the name of a shipped one.
    out
        The folder; the same command again goes on where it stopped.
    data_root
        Folder of the data files; as in the configuration by default.
    """
    from experiments.perturbation.config import SeedsConfig

    values, file = configuration(settings, source, grid)
    config = reader.build(SeedsConfig, values, str(file))
    root = reader.data_folder(data_root, file, config.data_root)
    runs = {name: {**run, "data": str(root / str(run.get("data", "")))} for name, run in config.runs.items()}
    for run in runs.values():
        checks.cells(run["data"], keys=[run.get("pert_key"), run.get("context_key")])
    checks.folder(out)
    use_threads()
    from experiments.perturbation.seeds import run_seeds

    found = run_seeds(runs, config.seeds, out, common.say, **grid.where)
    common.answer(found.to_dict(orient="records"), found.to_string(index=False, float_format="%.4f"))
