"""`qbmvae simulate`: single-cell data of known regulatory truth, from a preset or a YAML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Json, Quiet, answer


def register(app: typer.Typer) -> None:
    """Add `simulate` to `app`."""
    app.command("simulate")(simulate)


def simulate(
    config: Annotated[str, typer.Argument(help="paper-case-1, paper-case-2, paper-notebook, or a YAML file")],
    out: Annotated[Path, typer.Option(help="File to write: .h5ad or .zarr")],
    n_cells: Annotated[int | None, typer.Option(help="Cells per type and condition (the configuration's)")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed (the configuration's, or fresh)")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override: key=value, e.g. counts.mean=8")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML report to write as well", show_default=False)] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Simulate single-cell counts from a quantum circuit; genes, edges and joint bits are kept in `.uns["truth"]`.

    Example: qbmvae simulate paper-notebook --out sim.h5ad --n-cells 2000 --seed 0
    """
    from experiments import config as overriding
    from qbmvae.cellsim.config import load
    from qbmvae.cellsim.simulate import simulate_to_file

    settings = load(config)
    overriding.apply(settings, set_)
    path = simulate_to_file(out, settings, n_cells, seed, progress=None if quiet else _progress)
    if report is not None:
        _write_report(path, report)
    summary = _summary(path)
    text = "{path}: {n_cells} cells x {n_genes} genes, {n_edges} edges, seed {seed}".format(**summary)
    answer(summary, text, quiet=quiet, as_json=as_json)


def _write_report(path: Path, report: Path) -> None:
    import anndata as ad

    from experiments.report.simulation import simulation_report
    from samplers.files import write_text

    adata = ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)
    write_text(report, simulation_report(adata, path))


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\rsimulating: {done:,} of {total:,} cells", end=end, file=sys.stderr, flush=True)


def _summary(path: Path) -> dict:
    from anndata.io import read_elem

    if path.suffix == ".h5ad":
        import h5py

        with h5py.File(path) as file:
            return _describe(path, file, read_elem)
    import zarr

    return _describe(path, zarr.open_group(str(path), mode="r"), read_elem)


def _describe(path: Path, group, read_elem) -> dict:
    n_cells, n_genes = (int(v) for v in group["X"].attrs["shape"])
    truth = group["uns/truth"]
    return {
        "path": str(path),
        "n_cells": n_cells,
        "n_genes": n_genes,
        "n_edges": len(read_elem(truth["edges"])),
        "seed": int(read_elem(truth["seed"])),
    }
