"""Typed configurations of the drug-response experiments, read from YAML with `key=value` overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from experiments import config as overriding
from experiments.drug_response.controls import CONTROLS
from experiments.run_folder import read_yaml
from qbmvae.drug_response import DrugData, assemble, read_table
from qbmvae.drug_response.heads import HEADS
from qbmvae.drug_response.network import CellEncoderName
from qbmvae.drug_response.response import Target
from samplers.errors import InputError, nearest

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@dataclass(frozen=True)
class Tables:
    """Where the tables are, and how to read them; see `qbmvae.drug_response.assemble`."""

    ic50: str = "../shared/data/gdsc/ic50_long.parquet"
    features: str = "../shared/data/gdsc/genomic_features_binary_677.parquet"
    drugs: str = "../shared/data/gdsc/drugs.csv"
    lines: str | None = None
    target: Target | None = None
    cell_encoder: CellEncoderName = "conv"
    drop_missing: bool = False


@dataclass(frozen=True)
class Size:
    """One panel of the comparison: how many pairs, and how long to train on them."""

    train: int
    test: int
    epochs: int
    batch_size: int


def _paper_sizes() -> tuple[Size, ...]:
    return (Size(50, 10, 30, 8), Size(200, 50, 20, 16), Size(5000, 1000, 10, 64))


@dataclass(frozen=True)
class CompareConfig:
    """The comparison of Figs. 3 and 4 of Sagingalieva et al. (2023), with controls.

    Parameters
    ----------
    tables
        The data.
    heads, controls
        What is compared; names of `HEADS` and `CONTROLS`.
    sizes
        Numbers of training and test pairs; validation has as many pairs as the test.
    seeds
        Of the split, the initial weights and the order of pairs.
    common_test
        Pairs of a second, larger test, the same for all sizes of a seed.
    learning_rate, optimiser
        The paper's.
    pairs_per_line
        See `TrainingOptions`.
    """

    tables: Tables = field(default_factory=Tables)
    heads: tuple[str, ...] = ("quantum", "twin", "fourier", "frozen", "no-entanglement")
    controls: tuple[str, ...] = tuple(CONTROLS)
    sizes: tuple[Size, ...] = field(default_factory=_paper_sizes)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    common_test: int = 1000
    learning_rate: float = 1.8e-3
    optimiser: str = "adam"
    pairs_per_line: int = 4

    def __post_init__(self) -> None:
        for name, known, what in ((self.heads, HEADS, "head"), (self.controls, CONTROLS, "control")):
            for entry in name:
                if entry not in known:
                    raise InputError(f"{what} {entry!r} is not known{nearest(entry, known)}")
        if not self.sizes or not self.seeds:
            raise InputError("sizes and seeds must hold one entry or more")


@dataclass(frozen=True)
class SweepConfig:
    """A sweep of the quantum head on validation pairs; the test is touched once, by the chosen setting.

    Parameters
    ----------
    tables
        The data.
    n_qubits, n_layers, learning_rate, optimiser
        Values to try; the sweep is their product.
    train, validation, test
        Numbers of pairs.
    epochs, batch_size, pairs_per_line
        Of each training.
    seeds
        A setting's score is the mean over them.
    """

    tables: Tables = field(default_factory=Tables)
    n_qubits: tuple[int, ...] = (4, 8)
    n_layers: tuple[int, ...] = (1, 3, 5)
    learning_rate: tuple[float, ...] = (6e-4, 1.8e-3)
    optimiser: tuple[str, ...] = ("adam",)
    train: int = 1000
    validation: int = 500
    test: int = 1000
    epochs: int = 8
    batch_size: int = 32
    pairs_per_line: int = 1
    seeds: tuple[int, ...] = (0,)


Config = TypeVar("Config", CompareConfig, SweepConfig)


def load(kind: type[Config], path: Path | None, tables: Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Return a configuration from YAML, table options that are not None, and `key=value` overrides (dots go deeper)."""
    values = {} if path is None else read_yaml(path)
    given = {k: v for k, v in tables.items() if v is not None}
    if given:
        values["tables"] = {**values.get("tables", {}), **given}
    overriding.apply(values, overrides)
    return build(kind, values)


def build(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Return a configuration from plain values (the form of `config.yaml`); unknown keys are errors."""
    values = dict(values)
    _known(kind, values)
    if "tables" in values:
        _known(Tables, values["tables"])
        values["tables"] = Tables(**values["tables"])
    if "sizes" in values:
        for size in values["sizes"]:
            _known(Size, size)
        values["sizes"] = tuple(_made(Size, size) for size in values["sizes"])
    return _made(kind, {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def plain(config: CompareConfig | SweepConfig) -> dict[str, Any]:
    """Return a configuration as plain lists and mappings, for YAML."""
    return yaml.safe_load(yaml.safe_dump(_lists(asdict(config))))


def read_data(tables: Tables) -> DrugData:
    """Return the data set of a configuration."""
    return assemble(
        read_table(tables.ic50),
        read_table(tables.features),
        read_table(tables.drugs),
        lines=None if tables.lines is None else read_table(tables.lines),
        target=tables.target,
        binary=tables.cell_encoder == "conv",
        drop_missing=tables.drop_missing,
    )


def _known(kind: type, values: Any) -> None:
    names = [f.name for f in fields(kind)]
    if not isinstance(values, Mapping):
        raise InputError(f"configuration: {kind.__name__.lower()} must hold {', '.join(names)}")
    for key in values:
        if key not in names:
            raise InputError(f"configuration: {key!r} is not known{nearest(key, names)}")


def _made(kind: type, values: Mapping[str, Any]) -> Any:
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"configuration: {error}") from None


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
