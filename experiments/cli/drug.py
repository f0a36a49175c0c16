"""The family of commands about drug response: train, predict, compare, sweep, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from experiments import config as reader
from experiments.cli import checks
from experiments.cli.common import DEFAULTS, MODEL, TRAINING, Common, Injected, Positive, Settings, use_threads
from experiments.cli.drug_tables import TableFiles
from experiments.cli.grids import Grid, configuration
from samplers.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

drug = App(
    name="drug",
    help="Drug response from molecules and cell lines: the quantum head and its controls.\n\n"
    "Example: qbmvae drug train --ic50 ic50.parquet --features features.parquet --drugs drugs.csv --out drug1",
)


def register(app: App) -> None:
    """Add this family's commands to `app`."""
    app.command(drug)


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class Head:
    """The network.

    Parameters
    ----------
    head
        What predicts the response from the joint code of molecule and line: the quantum circuit or one of its controls.
    n_qubits
        Qubits of a circuit head.
    n_layers
        Layers in each block of a circuit head.
    axis
        Axis of the circuit's rotations.
    dropout
        Dropout in the drug branch.
    """

    head: Literal["quantum", "twin", "fourier", "mlp", "boltzmann", "frozen", "no-entanglement"] = "quantum"
    n_qubits: Positive = 8
    n_layers: Positive = 5
    axis: Literal["x", "y"] = "x"
    dropout: float = 0.0


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True, kw_only=True)
class Fit:
    """How to train.

    Parameters
    ----------
    max_epochs
        Passes over the training pairs; by default 250,000 visits to pairs, 3 to 50 epochs.
    batch_size
        Pairs a step.
    learning_rate
        Learning rate; the default is the paper's.
    optimiser
        Optimiser of the network and the circuit.
    patience
        Stop after this many epochs without a better validation error; never by default.
    pairs_per_line
        Shuffle in runs of this many pairs of a line: less random, fewer encodings.
    baseline
        means: the network learns what the effects of molecule and line leave unexplained; none: it learns the response.
    """

    max_epochs: Annotated[int, Parameter(name=("--max-epochs", "--epochs"), validator=Number(gte=1))] | None = None
    batch_size: Positive = 64
    learning_rate: float = 1.8e-3
    optimiser: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    patience: Positive | None = None
    pairs_per_line: Positive = 1
    baseline: Literal["none", "means"] = "none"


@drug.command
def train(
    *,
    tables: TableFiles = TableFiles(),
    out: Path | None = None,
    resume: Path | None = None,
    head: Head = Head(),
    fit: Fit = Fit(),
    split: Literal["random", "blind-drug", "blind-line", "blind-tissue", "blind-tissue-and-drug"] = "random",
    max_pairs: Positive | None = None,
    seed: int = 0,
    common: Common = DEFAULTS,
) -> None:
    """Train a head on measured pairs, and write a run folder with model, metrics and report.

    Example: qbmvae drug train --ic50 ic50.parquet --features features.parquet --drugs drugs.csv --head quantum --out drug1

    Parameters
    ----------
    out
        The run folder to make.
    resume
        Go on with this stopped run; its own options hold.
    split
        Which pairs are held out: any, all pairs of some drugs, lines or tissues, or pairs of new drugs on new tissues.
    max_pairs
        Use a random subset of this many pairs.
    seed
        Seed of subset, split, weights and order.

    Raises
    ------
    InputError
        Where an option is missing, or the folder holds something else.
    """
    if resume is not None:
        checks.unfinished(resume, "model.safetensors")
    else:
        needed = {"--ic50": tables.ic50, "--features": tables.features, "--drugs": tables.drugs, "--out": out}
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            raise InputError(f"missing option {missing[0]} (or --resume RUN)")
        assert out is not None
        if (out / "model.safetensors").is_file():
            raise InputError(f"{out} holds a finished run: choose another --out")
        checks.folder(out)
        given = tables.given()
    use_threads()
    from experiments.drug_response.config import Tables
    from experiments.drug_response.runs import TrainConfig, lines, read_run, train_run
    from qbmvae.drug_response import NetworkOptions, TrainingOptions

    if resume is not None:
        config, out = read_run(resume), resume
    else:
        made = reader.build(Tables, given)
        config = TrainConfig(
            made,
            NetworkOptions(cell_encoder=made.cell_encoder, **vars(head)),
            TrainingOptions(
                epochs=fit.max_epochs, seed=seed, **{k: v for k, v in vars(fit).items() if k != "max_epochs"}
            ),
            split,
            max_pairs,
            seed,
        )
    assert out is not None
    with checks.resumes(f"qbmvae drug train --resume {out}", out):
        metrics = train_run(config, out, progress=common.say)
    common.answer(metrics, f"{lines(metrics)}\nreport: {out / 'report.html'}")


@drug.command
def predict(
    run: Path,
    /,
    *,
    out: Path,
    smiles: Path | None = None,
    pairs: Path | None = None,
    features: Path | None = None,
    common: Common = DEFAULTS,
) -> None:
    """Predict new molecules on cell lines.

    Example: qbmvae drug predict drug1 --smiles molecules.csv --out predictions.csv

    Parameters
    ----------
    run
        A run folder of `qbmvae drug train`.
    out
        CSV file to write.
    smiles
        Table of molecules: smiles and, if there, drug; each is predicted on every line.
    pairs
        Table of pairs: cosmic_id and smiles (or drug_id of training).
    features
        Features of the lines; by default those of training.

    Raises
    ------
    InputError
        Where neither molecules nor pairs are given, or both.
    """
    checks.suffix(out, (".csv",))
    checks.finished(run, "model.safetensors", "qbmvae drug train")
    checks.files(smiles, pairs, features)
    if (smiles is None) == (pairs is None):
        raise InputError("give --smiles or --pairs, one of them")
    use_threads()
    from experiments.drug_response.runs import predict_run
    from experiments.run_folder import write_text

    found = predict_run(run, smiles=smiles, pairs=pairs, features=features)
    write_text(out, found.to_csv(index=False))
    common.answer({"n_predictions": len(found), "out": str(out)}, f"{len(found)} predictions: {out}")


@drug.command
def compare(
    source: str | None = None,
    /,
    *,
    out: Path,
    tables: TableFiles = TableFiles(),
    grid: Grid = Grid(),
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Compare the quantum head with every control on the paper's sizes, and hold its claims against the numbers.

    Example: qbmvae drug compare --ic50 ic50.parquet --features features.parquet --drugs drugs.csv --out cmp

    Parameters
    ----------
    source
        A YAML configuration or the name of a shipped one; drug-paper by default.
    out
        The folder; the same command again goes on where it stopped.
    """
    from experiments.drug_response.config import CompareConfig

    config = _experiment(CompareConfig, out, *configuration(settings, source, grid, "drug-paper", tables.settings()))
    from experiments.drug_response import compare as comparison

    found = comparison.compare(config, out, common.say, **grid.where)
    records = {k: t.to_dict(orient="records") for k, t in found.items()}
    common.answer(records, f"{comparison.lines(found)}\nreport: {out / 'report.html'}")


@drug.command
def sweep(
    source: str | None = None,
    /,
    *,
    out: Path,
    tables: TableFiles = TableFiles(),
    grid: Grid = Grid(),
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Sweep qubits, layers, learning rate and optimiser of the quantum head on validation pairs.

    Example: qbmvae drug sweep --out sweep1 --ic50 ic50.parquet --features features.parquet --drugs drugs.csv

    Parameters
    ----------
    source
        A YAML configuration or the name of a shipped one; drug-sweep by default.
    out
        The folder; the same command again goes on where it stopped.
    """
    from experiments.drug_response.config import SweepConfig

    config = _experiment(SweepConfig, out, *configuration(settings, source, grid, "drug-sweep", tables.settings()))
    from experiments.drug_response import sweep as sweeping

    chosen = sweeping.sweep(config, out, common.say, **grid.where)
    scores = f"Pearson within drugs {chosen['test']['pearson_within_drug']:.4f}, MSE {chosen['test_mse']:.5f}"
    common.answer(chosen, f"chosen: {chosen['setting']}; test: {scores}")


def _experiment(kind: type[Any], out: Path, values: dict[str, Any], file: Path) -> Any:
    """Return the configuration of a comparison or a sweep whose tables and folder have been checked."""
    config = reader.build(kind, values, str(file))
    config.tables.require()
    checks.folder(out)
    use_threads()
    return config


@drug.command
def report(folder: Path, /, *, common: Common = DEFAULTS) -> None:
    """Write tables and report of a comparison again, from the runs that are finished, and print the tables as Markdown.

    Example: qbmvae drug report cmp

    Parameters
    ----------
    folder
        A folder of `qbmvae drug compare`.

    Raises
    ------
    InputError
        Where the folder holds no finished training.
    """
    from experiments.comparison import grid

    grid.adopt(folder)
    if not any(grid.read_all(folder)):
        raise InputError(f"{folder} holds no finished run of `qbmvae drug compare`")
    from experiments.drug_response.compare import write_tables
    from experiments.drug_response.report import as_markdown, by_mechanism, compact

    tables = write_tables(folder)
    short: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {"summary": compact, "mechanisms": by_mechanism}
    text = [f"{n}\n\n{as_markdown(short[n](t) if n in short else t)}\n" for n, t in tables.items() if len(t)]
    common.answer({k: t.to_dict(orient="records") for k, t in tables.items()}, "\n".join(text))
