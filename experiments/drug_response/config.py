"""Typed configurations of the drug-response experiments, read from YAML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import yaml

from samplers.errors import InputError, require

if TYPE_CHECKING:
    from qbmvae.drug_response import DrugData


HEADS = ("quantum", "twin", "fourier", "mlp", "boltzmann", "frozen", "no-entanglement")
#: Ends the name of a head that is trained on what the means of drug and line leave unexplained.
ON_MEANS = "+means"
ControlName = Literal[
    "drug-mean", "line-mean", "drug-and-line-mean", "ridge", "elastic-net", "random-forest", "gradient-boosting"
]
SplitName = Literal["random", "blind-drug", "blind-line", "blind-tissue", "blind-tissue-and-drug"]
OptimiserName = Literal["adam", "adamw", "rmsprop", "sgd"]


@dataclass(frozen=True)
class Tables:
    """Where the tables are, and how to read them; see `qbmvae.drug_response.assemble`.

    Parameters
    ----------
    ic50, features, drugs
        Responses, cell lines and drugs: what an experiment needs.
    lines
        Tissues of the lines.
    target, cell_encoder, drop_missing
        Which response; "conv" for 0/1 features or "dense" for an embedding; leave out pairs that lack a drug or line.
    """

    ic50: str | None = None
    features: str | None = None
    drugs: str | None = None
    lines: str | None = None
    target: Literal["ln_ic50", "ic50", "auc"] | None = None
    cell_encoder: Literal["conv", "dense"] = "conv"
    drop_missing: bool = False

    def require(self) -> list[str]:
        """Return the files of responses, lines' features and drugs; refuse tables that are not named or not there.

        Raises
        ------
        InputError
            Names the option, or the file.
        """
        for name in ("ic50", "features", "drugs"):
            if getattr(self, name) is None:
                raise InputError(
                    f"--{name} is missing: name the table (or tables: {{{name}: FILE}} in the configuration)"
                )
        for path in (self.ic50, self.features, self.drugs, self.lines):
            if path is not None and not Path(path).is_file():
                raise InputError(f"there is no file {path}")
        return [path for path in (self.ic50, self.features, self.drugs) if path is not None]


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
        What is compared; names of `HEADS` and `CONTROLS`. "twin+means" is the twin trained on what the means of drug and
        line leave unexplained, see `TrainingOptions.baseline`; and so for every head.
    sizes
        Numbers of training and test pairs; validation has as many pairs as the test.
    splits
        How pairs are held out, see `qbmvae.drug_response.split`; the paper's claims are held against the first.
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
    controls: tuple[ControlName, ...] = get_args(ControlName)
    sizes: tuple[Size, ...] = field(default_factory=_paper_sizes)
    splits: tuple[SplitName, ...] = ("random",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    common_test: int = 1000
    learning_rate: float = 1.8e-3
    optimiser: OptimiserName = "adam"
    pairs_per_line: int = 4

    def __post_init__(self) -> None:
        if not self.sizes or not self.seeds or not self.splits:
            raise InputError("sizes, splits and seeds must hold one entry or more")
        for name in self.heads:
            require(name.removesuffix(ON_MEANS), HEADS, "no head")


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
    optimiser: tuple[OptimiserName, ...] = ("adam",)
    train: int = 1000
    validation: int = 500
    test: int = 1000
    epochs: int = 8
    batch_size: int = 32
    pairs_per_line: int = 1
    seeds: tuple[int, ...] = (0,)


def plain(settings: CompareConfig | SweepConfig) -> dict[str, Any]:
    """Return a configuration as plain lists and mappings, for YAML."""
    return yaml.safe_load(yaml.safe_dump(_lists(asdict(settings))))


def read_data(tables: Tables) -> DrugData:
    """Return the data set of a configuration."""
    from qbmvae.drug_response import assemble, read_table

    return assemble(
        *map(read_table, tables.require()),
        lines=None if tables.lines is None else read_table(tables.lines),
        target=tables.target,
        binary=tables.cell_encoder == "conv",
        drop_missing=tables.drop_missing,
    )


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
