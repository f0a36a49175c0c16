"""The family of commands about perturbation response: train, predict, evaluate, table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.options import Json, Quiet, answer, progress_lines, use_threads
from samplers.errors import InputError

perturb = typer.Typer(
    help="Response to perturbations: the hybrid delta predictor and the official scores.\n\n"
    "Example: qbmvae perturb train papalexi.h5ad --pert-key perturbation --control control --out pert1",
)

Set = Annotated[
    list[str] | None, typer.Option("--set", help="key=value (YAML) of the predictor's options: epochs=50, n_qubits=16.")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value: the same as --set.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands to `app`."""
    app.add_typer(perturb, name="perturb")


@perturb.command()
def train(
    data: Annotated[
        Path | None, typer.Argument(help="Perturb-seq data, .h5ad; X holds counts or log1p-normalised values.")
    ] = None,
    overrides: Overrides = None,
    pert_key: Annotated[
        str | None, typer.Option(help="Column of obs with each cell's perturbation. [default: target_gene]")
    ] = None,
    control: Annotated[str | None, typer.Option(help="Label of the control cells. [default: non-targeting]")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.")] = None,
    features: Annotated[
        str | None, typer.Option(help="Vectors of perturbations: a file, 'genes' or 'one-hot' (default).")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="pca (default), none, qbmvae, or the directory of a STATE run.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="default, prototype, bandwidth, or phase-0 to phase-5.")] = None,
    context_key: Annotated[
        str | None, typer.Option(help="Column of obs with replicates, patients or cell lines.")
    ] = None,
    holdout: Annotated[
        str | None, typer.Option(help="perturbations, context, combinations, cells or none. [default: auto]")
    ] = None,
    holdout_values: Annotated[list[str] | None, typer.Option(help="What to hold out; repeat the option.")] = None,
    share: Annotated[
        float | None, typer.Option(help="Share to hold out where no values are given. [default: 0.2]")
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="Joins the parts of a combination's label. [default: +]")
    ] = None,
    genes: Annotated[Path | None, typer.Option(help="Gene list (CSV): keep these genes, in this order.")] = None,
    n_control: Annotated[int | None, typer.Option(help="Control cells to score against. [default: 200]")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", "--max-epochs", help="Most epochs.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random. [default: 0]")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of these settings; options win.")] = None,
    set_: Set = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a stopped run; other options are its own.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a predictor, hold perturbations (or cells, or a context) out, and score it beside the baselines.

    Example: qbmvae perturb train papalexi.h5ad --pert-key perturbation --control control --out pert1
    """
    from experiments import config as overriding
    from experiments.perturbation.runs import METRICS, TrainConfig, train_run
    from experiments.run_folder import read_config, read_yaml

    use_threads()
    if resume is not None:
        if (resume / METRICS).is_file():
            raise InputError(f"{resume} is finished: there is nothing to resume")
        settings, out = read_config(resume), resume
    else:
        settings = read_yaml(config) if config else {}
        given = {
            "data": data,
            "pert_key": pert_key,
            "control": control,
            "features": features,
            "backbone": backbone,
            "preset": preset,
            "context_key": context_key,
            "holdout": holdout,
            "holdout_values": holdout_values or None,
            "share": share,
            "separator": separator,
            "genes": genes,
            "n_control": n_control,
            "seed": seed,
        }
        settings |= {k: str(v) if isinstance(v, Path) else v for k, v in given.items() if v is not None}
        pairs = overriding.parse([*(overrides or []), *(set_ or [])])
        if epochs is not None:
            pairs["epochs"] = epochs
        settings["options"] = {**(settings.get("options") or {}), **pairs}
        out = out or settings.pop("out", None)
        if out is None:
            raise InputError("missing option --out (or --resume RUN)")
        if "data" not in settings:
            raise InputError("missing argument DATA: an .h5ad file (or --config, or --resume RUN)")
        if (Path(out) / METRICS).is_file():
            raise InputError(f"{out} holds a finished run: choose another --out")
    progress = progress_lines(quiet)
    metrics = train_run(TrainConfig.from_dict(settings), Path(out), progress)
    if "model" in metrics:
        own = metrics["model"]
        progress(
            f"held-out {metrics['holdout']}: DES {own['des']:.4f}, PDS {own['pds']:.4f}, MAE {own['mae']:.4f}; report: {Path(out) / 'report.html'}"
        )
    if as_json:
        print(json.dumps(metrics, default=float))


@perturb.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A run folder of `qbmvae perturb train`.")],
    perturbations: Annotated[Path, typer.Option(help="CSV: target_gene and n_cells, or one name a line.")],
    out: Annotated[Path, typer.Option(help="The .h5ad to write.")],
    controls: Annotated[
        Path | None, typer.Option(help=".h5ad with the control cells to start from; by default those of training.")
    ] = None,
    genes: Annotated[Path | None, typer.Option(help="Gene list (CSV) that fixes the order of genes.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="Vectors of perturbations, where those of training lack some.")
    ] = None,
    n_cells: Annotated[int, typer.Option(help="Cells of each perturbation where the CSV does not say.")] = 100,
    n_control: Annotated[
        int | None, typer.Option(help="Control cells to add to the prediction; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the cells drawn.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict cells of perturbations; `cell-eval prep` takes the file.

    Example: qbmvae perturb predict pert1 --perturbations wanted.csv --out predicted.h5ad
    """
    from experiments.perturbation.challenge import control_cells, predict_file, read_gene_list, read_perturbations
    from experiments.perturbation.runs import read_data
    from qbmvae.perturbation.features import read_features
    from qbmvae.perturbation.model import PerturbationModel

    use_threads()
    model = PerturbationModel.load(run)
    if features is not None:
        model.features = read_features(features, model.features.separator)
    wanted = read_perturbations(perturbations, n_cells)
    order = read_gene_list(genes) if genes else None
    source = controls or run / "controls.h5ad"
    cells = control_cells(read_data(source), model, str(source))
    predicted = predict_file(model, wanted, cells, out, genes=order, n_control=n_control, seed=seed)
    progress_lines(quiet)(f"{predicted.n_obs:,} cells of {len(wanted)} perturbations and controls: {out}")
    if as_json:
        print(json.dumps({"n_cells": predicted.n_obs, "n_perturbations": len(wanted), "out": str(out)}))


@perturb.command()
def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Predicted cells (.h5ad), or a run folder to predict with.")],
    observed: Annotated[Path, typer.Argument(help="Observed cells (.h5ad) with controls.")],
    pert_key: Annotated[str | None, typer.Option(help="Column of obs. [default: the run's, or target_gene]")] = None,
    control: Annotated[
        str | None, typer.Option(help="Label of controls. [default: the run's, or non-targeting]")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="A baseline's predictions (.h5ad), for scaled scores.")] = None,
    n_control: Annotated[
        int | None, typer.Option(help="Score against this many control cells; all by default.")
    ] = None,
    scorer: Annotated[
        str, typer.Option(help="cell-eval (our own, equal to it) or cell-eval2 (the package; counts).")
    ] = "cell-eval",
    out: Annotated[Path | None, typer.Option(help="A folder for metrics.json and per_perturbation.csv.")] = None,
    seed: Annotated[int, typer.Option(help="Of the control cells drawn.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score predictions as the Virtual Cell Challenge does.

    Example: qbmvae perturb evaluate predicted.h5ad observed.h5ad --pert-key perturbation --control control
    """
    from experiments.perturbation.evaluate_files import evaluate_files

    use_threads()
    metrics = evaluate_files(
        predicted, observed, pert_key, control, baseline, n_control=n_control, scorer=scorer, seed=seed, out=out
    )
    numbers = {k: v for k, v in metrics.items() if isinstance(v, float)}
    answer(metrics, ", ".join(f"{k} {v:.4f}" for k, v in numbers.items()), quiet=quiet, as_json=as_json)


@perturb.command()
def table(
    name: Annotated[str, typer.Argument(help="ablation or phases, or a YAML configuration.")] = "ablation",
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder; the same command again goes on where it stopped.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value (YAML): seeds=[0,1], screen.n_genes=200.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fill a table over seeds on synthetic truth: the collapse and its cure, or the phases of the prototype's plan.

    Example: qbmvae perturb table ablation --out table1 --set seeds=[0,1]
    """
    from experiments import config as overriding
    from experiments.perturbation.ablation import TableConfig, run_table
    from experiments.run_folder import read_yaml

    use_threads()
    if out is None:
        raise InputError("missing option --out")
    settings: dict[str, Any] = {"table": name} if name in ("ablation", "phases") else read_yaml(Path(name))
    overriding.apply(settings, [*(overrides or []), *(set_ or [])])
    known = TableConfig.__dataclass_fields__
    for key in settings:
        if key not in known:
            raise InputError(f"no setting {key!r} of a table; known: {', '.join(known)}")
    if settings.get("table", "ablation") not in ("ablation", "phases"):
        raise InputError(f"table={settings['table']!r}: ablation or phases")
    settings["seeds"] = tuple(settings.get("seeds", (0, 1, 2, 3, 4)))
    summary = run_table(TableConfig(**settings), out, progress_lines(quiet))
    print(
        summary.to_json(orient="records")
        if as_json
        else summary[["row", "des", "pds", "mae", "overall"]].to_string(index=False, float_format="%.4f")
    )


@perturb.command()
def seeds(
    config: Annotated[Path, typer.Argument(help="YAML: runs (name: settings of `train`) and seeds.")],
    out: Annotated[Path, typer.Option(help="The folder; the same command again goes on where it stopped.")],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the same runs over several seeds and write one table with intervals.

    Example: qbmvae perturb seeds runs.yaml --out seeds1
    """
    from experiments.perturbation.seeds import run_seeds
    from experiments.run_folder import read_yaml

    use_threads()
    settings = read_yaml(config)
    table = run_seeds(settings.get("runs") or {}, settings.get("seeds") or [0, 1, 2, 3, 4], out, progress_lines(quiet))
    print(table.to_json(orient="records") if as_json else table.to_string(index=False, float_format="%.4f"))
