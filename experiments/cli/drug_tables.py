"""The tables of drug response as options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import Parameter

from experiments.cli import checks
from experiments.cli.common import DATA, Flag


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """Where the data are.

    Parameters
    ----------
    ic50
        Table of responses: drug_id, cosmic_id and ln_ic50, ic50 or auc.
    features
        Table of cell lines: 0/1 features, or an embedding, keyed by cosmic_id (index or column).
    drugs
        Table of drugs: drug_id, smiles and, if there, drug (a name) and pathway or mechanism (scores are stratified by it).
    lines
        Table of cell lines: cosmic_id and tissue, for splits that hold out tissues.
    target
        Which response to predict; by default the first that is there.
    cell_encoder
        conv for 0/1 features, dense for an embedding (real numbers); conv by default.
    drop_missing
        Leave out pairs whose drug or line is not in its table.
    """

    ic50: str | None = None
    features: str | None = None
    drugs: str | None = None
    lines: str | None = None
    target: Literal["ln_ic50", "ic50", "auc"] | None = None
    cell_encoder: Literal["conv", "dense"] | None = None
    drop_missing: Flag = False

    def given(self) -> dict[str, Any]:
        """Return what was given; the paths absolute, so that a run is resumed and used from any folder."""
        for path in (self.ic50, self.features, self.drugs, self.lines):
            checks.files(None if path is None else Path(path))
        found = {k: v for k, v in vars(self).items() if v}
        return found | {k: str(Path(found[k]).resolve()) for k in ("ic50", "features", "drugs", "lines") if k in found}

    def settings(self) -> dict[str, Any]:
        """Return what was given as settings of a comparison or a sweep."""
        return {f"tables.{name}": value for name, value in self.given().items()}
