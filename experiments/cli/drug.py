"""The family of commands about drug response: train, predict, compare, sweep, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.options import Json, Quiet, answer, progress_lines, use_threads
from samplers.errors import InputError

drug = typer.Typer(
    help="Drug response from molecules and cell lines: the quantum head and its controls.\n\n"
    "Example: qbmvae drug train --ic50 ic50.parquet --features features.parquet --drugs drugs.csv --out drug1",
)

Ic50 = Annotated[str | None, typer.Option(help="Responses: drug_id, cosmic_id and ln_ic50, ic50 or auc.")]
Features = Annotated[str | None, typer.Option(help="Cell lines: 0/1 features keyed by cosmic_id (index or column).")]
Drugs = Annotated[str | None, typer.Option(help="Drugs: drug_id, smiles and, if there, drug (a name).")]
Lines = Annotated[str | None, typer.Option(help="Cell lines: cosmic_id and tissue, for --split blind-tissue.")]
Target = Annotated[str | None, typer.Option(help="ln_ic50, ic50 or auc; by default the first that is there.")]
CellEncoder = Annotated[
    str | None, typer.Option(help="conv for 0/1 features, dense for an embedding (real numbers). [default: conv]")
]
DropMissing = Annotated[
    bool | None,
    typer.Option("--drop-missing", help="Leave out pairs whose drug or line is not in its table.", show_default=False),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="key=value, YAML; dots go deeper (tables.ic50=...).")]
Config = Annotated[Path | None, typer.Argument(help="A YAML configuration; the default is the paper's.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands to `app`."""
    app.add_typer(drug, name="drug")


@drug.command()
def train(
    ic50: Ic50 = None,
    features: Features = None,
    drugs: Drugs = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.")] = None,
    head: Annotated[str, typer.Option(help="quantum, twin, fourier, mlp, frozen or no-entanglement.")] = "quantum",
    lines: Lines = None,
    target: Target = None,
    split: Annotated[str, typer.Option(help="random, blind-drug, blind-line or blind-tissue.")] = "random",
    cell_encoder: CellEncoder = None,
    n_qubits: Annotated[int, typer.Option(help="Qubits of a circuit head.")] = 8,
    n_layers: Annotated[int, typer.Option(help="Layers a block of a circuit head.")] = 5,
    axis: Annotated[str, typer.Option(help="Axis of the circuit's rotations: x or y.")] = "x",
    dropout: Annotated[float, typer.Option(help="Dropout in the drug branch.")] = 0.0,
    max_epochs: Annotated[
        int | None, typer.Option("--max-epochs", "--epochs", help="By default 250,000 visits to pairs, 3 to 50 epochs.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pairs a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="The paper's is 1.8e-3.")] = 1.8e-3,
    optimiser: Annotated[str, typer.Option(help="adam, adamw, rmsprop or sgd.")] = "adam",
    patience: Annotated[int | None, typer.Option(help="Stop after this many epochs without improvement.")] = None,
    pairs_per_line: Annotated[
        int, typer.Option(help="Shuffle in runs of this many pairs of a line: less random, fewer encodings.")
    ] = 1,
    max_pairs: Annotated[int | None, typer.Option(help="Use a random subset of the pairs.")] = None,
    drop_missing: DropMissing = None,
    seed: Annotated[int, typer.Option(help="Of subset, split, weights and order.")] = 0,
    resume: Annotated[Path | None, typer.Option(help="Go on with a stopped run; other options are its own.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a head on measured pairs, and write a run folder with model, metrics and report.

    Example: qbmvae drug train --ic50 ic50.parquet --features features.parquet --drugs drugs.csv --head quantum --out drug1
    """
    from experiments.drug_response.config import Tables
    from experiments.drug_response.runs import MODEL, TrainConfig, read_run, train_run
    from qbmvae.drug_response import NetworkOptions, TrainingOptions

    use_threads()
    if resume is not None:
        if (resume / MODEL).is_file():
            raise InputError(f"{resume} is finished: there is nothing to resume")
        config, out = read_run(resume), resume
    else:
        given = {"--ic50": ic50, "--features": features, "--drugs": drugs, "--out": out}
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise InputError(f"missing option {missing[0]} (or --resume RUN)")
        assert out is not None
        if (out / MODEL).is_file():
            raise InputError(f"{out} holds a finished run: choose another --out")
        tables = Tables(
            ic50=_absolute(ic50),
            features=_absolute(features),
            drugs=_absolute(drugs),
            lines=None if lines is None else _absolute(lines),
            target=target,  # type: ignore[arg-type]
            cell_encoder=cell_encoder or "conv",  # type: ignore[arg-type]
            drop_missing=bool(drop_missing),
        )
        config = TrainConfig(
            tables,
            NetworkOptions(head, tables.cell_encoder, n_qubits, n_layers, axis, dropout),
            TrainingOptions(max_epochs, batch_size, learning_rate, optimiser, patience, pairs_per_line, seed),
            split,
            max_pairs,
            seed,
        )
    metrics = train_run(config, out, progress=progress_lines(quiet))
    answer(
        metrics, f"test MSE {metrics['test']['mse']:.5f}; report: {out / 'report.html'}", as_json=as_json, quiet=quiet
    )


@drug.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A run folder of `qbmvae drug train`.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    smiles: Annotated[Path | None, typer.Option(help="Molecules: smiles and, if there, drug; on every line.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Pairs: cosmic_id and smiles (or drug_id of training).")] = None,
    features: Annotated[Path | None, typer.Option(help="Features of the lines; by default those of training.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict new molecules on cell lines.

    Example: qbmvae drug predict drug1 --smiles molecules.csv --out predictions.csv
    """
    from experiments.drug_response.runs import predict_run
    from experiments.run_folder import write_text

    use_threads()
    found = predict_run(run, smiles=smiles, pairs=pairs, features=features)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, found.to_csv(index=False))
    progress_lines(quiet)(f"{len(found)} predictions: {out}")
    if as_json:
        print(json.dumps({"n_predictions": len(found), "out": str(out)}))


def _grid(work: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function that takes a configuration, tables, overrides, a folder, and how to answer."""

    def command(
        out: Annotated[Path, typer.Option(help="The folder; the same command again goes on where it stopped.")],
        config: Config = None,
        ic50: Ic50 = None,
        features: Features = None,
        drugs: Drugs = None,
        target: Target = None,
        cell_encoder: CellEncoder = None,
        drop_missing: DropMissing = None,
        overrides: Set = None,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        use_threads()
        tables: dict[str, Any] = {"ic50": ic50, "features": features, "drugs": drugs, "target": target}
        tables |= {"cell_encoder": cell_encoder, "drop_missing": drop_missing}
        work(config, tables, overrides or (), out, quiet=quiet, as_json=as_json)

    command.__doc__ = work.__doc__
    return command


@drug.command("compare")
@_grid
def compare(
    config: Path | None, tables: dict[str, Any], overrides: Sequence[str], out: Path, *, quiet: bool, as_json: bool
) -> None:
    """Compare the quantum head with every control on the paper's sizes, and hold its claims against the numbers.

    Example: qbmvae drug compare --out cmp --set seeds=[0,1]
    """
    from experiments.drug_response import compare as comparison
    from experiments.drug_response.config import CONFIGS, CompareConfig, load

    resolved = load(CompareConfig, config or CONFIGS / "drug-paper.yaml", tables, overrides)
    found = comparison.compare(resolved, out, progress=progress_lines(quiet))
    if not quiet and not as_json:
        print(found["claims"].to_string(index=False))
    records = {k: t.to_dict(orient="records") for k, t in found.items()}
    answer(records, f"report: {out / 'report.html'}", as_json=as_json, quiet=quiet)


@drug.command("sweep")
@_grid
def sweep(
    config: Path | None, tables: dict[str, Any], overrides: Sequence[str], out: Path, *, quiet: bool, as_json: bool
) -> None:
    """Sweep qubits, layers, learning rate and optimiser of the quantum head on validation pairs.

    Example: qbmvae drug sweep --out sweep1 --ic50 ic50.parquet --features features.parquet --drugs drugs.csv
    """
    from experiments.drug_response import sweep as sweeping
    from experiments.drug_response.config import CONFIGS, SweepConfig, load

    resolved = load(SweepConfig, config or CONFIGS / "drug-sweep.yaml", tables, overrides)
    chosen = sweeping.sweep(resolved, out, progress=progress_lines(quiet))
    answer(chosen, f"chosen: {chosen['setting']}; test MSE {chosen['test_mse']:.5f}", as_json=as_json, quiet=quiet)


@drug.command()
def report(folder: Annotated[Path, typer.Argument(help="A folder of `qbmvae drug compare`.")]) -> None:
    """Write tables and report of a comparison again, of the cells that are there, and print the tables as Markdown.

    Example: qbmvae drug report cmp
    """
    from experiments.drug_response.compare import write_tables
    from experiments.drug_response.report import compact, markdown

    if not any((folder / "cells").glob("*.json")):
        raise InputError(f"{folder} holds no finished cell of `qbmvae drug compare`")
    for name, table in write_tables(folder).items():
        print(f"{name}\n\n{markdown(compact(table) if name == 'summary' else table)}\n")


def _absolute(path: str | None) -> str:
    # a run is resumed and predicted from in any folder
    return str(Path(path or "").resolve())
