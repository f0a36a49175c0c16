"""The Virtual Cell Challenge's files: gene list and perturbations to predict in, a prediction for `cell-eval prep` out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qbmvae.perturbation import audit
from qbmvae.perturbation.boltzmann import BoltzmannPerturbation
from qbmvae.perturbation.model import PerturbationModel
from samplers.errors import InputError, nearest
from samplers.files import write_atomically

if TYPE_CHECKING:
    from anndata import AnnData

# the names of a header that a gene list or a list of perturbations may have
HEADERS = ("gene", "genes", "gene_name", "gene_names", "target_gene", "perturbation", "target")
MAX_CELLS = 200_000
Model = PerturbationModel | BoltzmannPerturbation


def read_gene_list(path: str | Path) -> list[str]:
    """Read one gene a line (the first column of a CSV), with or without a header."""
    rows = _rows(path)
    genes = [row[0] for row in rows]
    return genes[1:] if genes[0].lower() in HEADERS else genes


def read_perturbations(path: str | Path, n_cells: int = 100) -> dict[str, int]:
    """Read the perturbations to predict: columns target_gene and n_cells, or names alone (`n_cells` of each).

    Raises
    ------
    InputError
        Where the file is not there, or a row cannot be read.
    """
    rows = _rows(path)
    header = [cell.lower() for cell in rows[0]]
    if not set(header) & {*HEADERS, "n_cells"}:
        header, rows = ["target_gene", *(f"column {i}" for i in range(2, len(header) + 1))], [[], *rows]
        if len(header) > 1:
            header[1] = "n_cells"
    name = next((i for i, cell in enumerate(header) if cell in HEADERS), None)
    if name is None:
        raise InputError(f"{path}: no column target_gene{nearest('target_gene', header)}")
    count = header.index("n_cells") if "n_cells" in header else None
    if count is None and len(header) > 1:
        raise InputError(f"{path}: no column n_cells{nearest('n_cells', header)}: name it, or give the names alone")
    wanted: dict[str, int] = {}
    for number, row in enumerate(rows[1:], start=2):
        value = row[count] if count is not None and count < len(row) else str(n_cells)
        try:
            wanted[row[name]] = int(float(value))
        except ValueError:
            raise InputError(f"{path}, row {number}: n_cells is {value!r}, not a number") from None
        if wanted[row[name]] < 1:
            raise InputError(f"{path}, row {number}: n_cells is {value}, give at least 1")
    return wanted


def _rows(path: str | Path) -> list[list[str]]:
    import csv

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}")
    with path.open(newline="") as file:
        rows = [
            [cell.strip() for cell in row] for row in csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        ]
    rows = [row for row in rows if row and row[0]]
    if not rows:
        raise InputError(f"{path} is empty")
    return rows


def predict_file(
    model: Model,
    wanted: dict[str, int],
    controls: AnnData,
    out: str | Path,
    *,
    genes: list[str] | None = None,
    n_control: int | None = None,
    seed: int = 0,
    **making: Any,
) -> AnnData:
    """Write the predicted and the control cells as .h5ad: CSR float32, obs holds the perturbation.

    A delta predictor writes log1p-normalised cells, the conditional machine counts; `making` (how, dose, clamp) is the
    latter's.

    With `genes` the columns have their order; `cell-eval prep -g gene_names.csv` takes the file.

    Parameters
    ----------
    model, wanted
        The model, and how many cells of each perturbation.
    controls
        Control cells to start from.
    out
        The .h5ad file.
    genes
        Order of the genes; the model's by default.
    n_control
        Control cells to add; all by default.
    seed
        Of the cells drawn.

    Raises
    ------
    InputError
        Where there is nothing to predict, or more than the challenge takes.
    """
    wanted = {name: n for name, n in wanted.items() if name != model.control}
    if not wanted:
        raise InputError("there is no perturbation to predict beside the control")
    total = sum(wanted.values()) + min(n_control or controls.n_obs, controls.n_obs)
    if total > MAX_CELLS:
        raise InputError(
            f"{total:,} cells would be predicted, the challenge takes {MAX_CELLS:,}: lower n_cells or --n-control"
        )
    predicted = model.predict(wanted, controls, n_control=n_control, seed=seed, **making)
    if genes is not None:
        predicted = predicted[:, audit.match_genes(predicted, genes, "the model", "the gene list")].copy()
    write_atomically(out, lambda p: predicted.write_h5ad(p, compression="lzf"))
    return predicted


def control_cells(adata: AnnData, model: Model, which: str) -> AnnData:
    """Return the control cells of a file; a file without the perturbation column is taken to hold controls only.

    Parameters
    ----------
    adata, model
        The cells, and the model that names column and label.
    which
        Name of the file, for messages.
    """
    if model.pert_key not in adata.obs:
        return adata
    names = audit.labels(adata, model.pert_key, which)
    audit.require_control(names, model.control, model.pert_key, which)
    return adata[np.flatnonzero(names == model.control)].copy()
