"""`qbmvae simulate`: single-cell data of known regulatory truth, from a preset or a YAML file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclopts import App

from experiments.cli import checks
from experiments.cli.common import DEFAULTS, Common, Injected, Positive, Settings
from samplers.errors import InputError


def register(app: App) -> None:
    """Add `simulate` to `app`."""
    app.command(simulate)


def simulate(
    source: str | None = None,
    /,
    *,
    out: Path,
    n_cells: Positive | None = None,
    seed: int | None = None,
    report: Path | None = None,
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Simulate single-cell counts from a quantum circuit; genes, edges and joint bits are kept in .uns["truth"].

    Example: qbmvae simulate paper-notebook --out sim.h5ad --n-cells 2000 --seed 0

    Parameters
    ----------
    source
        paper-case-1, paper-case-2, paper-notebook, the name of a shipped configuration (simulate, simulate-lineage), or
        a YAML file.
    out
        File to write: .h5ad or .zarr.
    n_cells
        Cells of each type and condition; as in the configuration by default.
    seed
        The same seed gives the same cells; as in the configuration, or a fresh one, by default.
    report
        HTML report to write as well: what was programmed, and what the counts show of it.

    Raises
    ------
    InputError
        Where there is no configuration, or two.
    """
    checks.suffix(out, (".h5ad", ".zarr"))
    if report is not None:
        checks.folder(report.parent)
    from experiments import config
    from qbmvae.cellsim.config import load

    if settings.file is not None:
        if source is not None and config.find(source) != settings.file:
            raise InputError(f"give one configuration: {source} or --config {settings.file}")
        values = settings.values
    elif source is None:
        raise InputError("missing argument SOURCE: a preset such as paper-notebook, or a YAML file")
    else:
        values = load(source)
    config.apply(values, settings.overrides)
    values = load(values)
    from qbmvae.cellsim.simulate import simulate_to_file

    path = simulate_to_file(out, values, n_cells, seed, progress=_progress() if common.shows_progress else None)
    if report is not None:
        _write_report(path, report)
    summary = _summary(path)
    common.answer(summary, "{path}: {n_cells} cells x {n_genes} genes, {n_edges} edges, seed {seed}".format(**summary))


def _write_report(path: Path, report: Path) -> None:
    import anndata as ad

    from experiments.report.simulation import simulation_report
    from samplers.files import write_text

    adata = ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)
    write_text(report, simulation_report(adata, path))


def _progress() -> Callable[[int, int], None]:
    """Return what shows one line on stderr, the cells done and the time left."""
    from experiments.run_folder import Remaining

    started: list[Remaining] = []

    def show(done: int, total: int) -> None:
        started.extend([] if started else [Remaining(total, done=0)])
        left, end = started[0].after(done), "\n" if done == total else ""
        # what a longer line left behind is wiped
        print(f"\rsimulating: {done:,} of {total:,} cells{left}".ljust(70), end=end, file=sys.stderr, flush=True)

    return show


def _summary(path: Path) -> dict[str, Any]:
    from anndata.io import read_elem

    if path.suffix == ".h5ad":
        import h5py

        with h5py.File(path) as file:
            return _describe(path, file, read_elem)
    import zarr

    return _describe(path, zarr.open_group(str(path), mode="r"), read_elem)


def _describe(path: Path, group: Any, read_elem: Any) -> dict[str, Any]:
    n_cells, n_genes = (int(v) for v in group["X"].attrs["shape"])
    truth = group["uns/truth"]
    return {
        "path": str(path),
        "n_cells": n_cells,
        "n_genes": n_genes,
        "n_edges": len(read_elem(truth["edges"])),
        "seed": int(read_elem(truth["seed"])),
    }
