"""The scorer of the 2026 challenge, `cell-eval2`, on predictions turned back into counts."""

from __future__ import annotations

import contextlib
import io
import resource
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.perturbation import audit
from samplers.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from anndata import AnnData

#: What tables over several runs show: the six metrics, and what the scoring of one prediction took.
SCORES_2026 = (
    "pds_cosine", "expr_mse_unbiased_capped", "de_wilcoxon_lfc_nmae", "de_wilcoxon_direction_fidelity_yield_raw",
    "de_wilcoxon_direction_reach_raw", "de_wilcoxon_sig_jaccard", "cpu_seconds", "peak_gib",
)  # fmt: skip


def to_counts(adata: AnnData, totals: np.ndarray, *, seed: int = 0) -> AnnData:
    """Turn log1p-normalised cells into whole counts: expm1, scaled to totals drawn from `totals`, rounded at random.

    Cells that hold counts already are returned as they are.

    Parameters
    ----------
    adata
        The cells.
    totals
        Counts of observed cells.
    seed
        Of totals and rounding.
    """
    import anndata as ad

    x = sp.csr_matrix(adata.X, dtype=np.float64, copy=True)
    if not (np.modf(x.data)[0] > 1e-3).any():
        return adata
    rng = np.random.default_rng(seed)
    x.data = np.expm1(x.data)
    now = np.asarray(x.sum(axis=1)).ravel()
    wanted = rng.choice(totals, x.shape[0])
    x = sp.csr_matrix(sp.diags(wanted / np.maximum(now, 1e-12)) @ x)
    x.data = np.floor(x.data + rng.random(x.nnz)).astype(np.float32)
    x.eliminate_zeros()
    return ad.AnnData(x.astype(np.float32), obs=adata.obs.copy(), var=adata.var[[]].copy())


def with_controls_of(predicted: AnnData, observed: AnnData, pert_key: str, control: str) -> AnnData:
    """Return the predicted cells as counts with the observed controls in place of their own.

    Parameters
    ----------
    predicted, observed
        Cells with the same genes.
    pert_key, control
        Column of obs with each cell's perturbation, and the label of the controls.
    """
    import anndata as ad

    totals = np.asarray(observed.X.sum(axis=1)).ravel()
    sides = [
        part[(part.obs[pert_key].astype(str) == control).to_numpy() == is_control]
        for part, is_control in ((predicted[:, observed.var_names], False), (observed, True))
    ]
    counts = [to_counts(part, totals[totals > 0]) for part in sides]
    obs = pd.concat([part.obs[[pert_key]].astype(str) for part in sides])
    obs.index = [f"cell-{i}" for i in range(len(obs))]
    x = sp.vstack([sp.csr_matrix(part.X, dtype=np.float32) for part in counts], format="csr")
    return ad.AnnData(x, obs=obs, var=observed.var[[]].copy())


def scores_2026(predicted: AnnData, observed: AnnData, pert_key: str, control: str, *, seed: int = 0) -> dict[str, Any]:
    """Return the mean over perturbations of each metric of cell-eval2's preset "vcc2026", with its cost.

    Parameters
    ----------
    predicted
        Counts, or log1p-normalised cells (turned into counts of the observed cells' totals).
    observed
        Counts.
    pert_key, control
        Column of perturbations, and label of the controls.
    seed
        Of the rounding.

    Returns
    -------
    dict
        One value a metric; "wall_seconds", "cpu_seconds", and "peak_gib", the largest memory of the process so far.

    Raises
    ------
    InputError
        Genes differ, controls are missing, the observed cells are no counts, which this scorer needs.
    MissingExtraError
        cell-eval2 is not installed.
    """
    try:
        import cell_eval2
    except ImportError:
        raise MissingExtraError("cell-eval2", "perturbation") from None
    for which, cells in (("predicted", predicted), ("observed", observed)):
        audit.unique_genes(cells, which)
        names = audit.labels(cells, pert_key, which)
        audit.require_control(names, control, pert_key, which)
        audit.require_perturbed(names, control, pert_key, which)
    audit.match_genes(predicted, observed.var_names, "predicted", "the observed cells")
    if not np.array_equal(predicted.var_names, observed.var_names):
        predicted = predicted[:, observed.var_names]
    start, cpu = time.perf_counter(), time.process_time()
    values = observed.X.data if sp.issparse(observed.X) else np.asarray(observed.X)
    if (np.modf(values)[0] > 1e-3).any():
        raise InputError("observed: cell-eval2 scores counts, but X holds fractions: give raw counts")
    totals = np.asarray(observed.X.sum(axis=1)).ravel()
    genes = set(map(str, observed.var_names))
    perturbed = set(observed.obs[pert_key].astype(str)) - {control}
    # a perturbation named after no measured gene (a drug, a construct) has no gene of its own to leave out
    targets = {name: name if name in genes else None for name in perturbed}
    config = replace(cell_eval2.EvalConfig.from_preset("vcc2026"), target_gene_map=targets)
    counts = to_counts(predicted, totals[totals > 0], seed=seed)
    # its progress bars and remarks would drown the run's own lines
    with contextlib.redirect_stderr(io.StringIO()):
        table = cell_eval2.compute_metrics(
            counts, observed, config=config, pert_col=pert_key, control=control, num_threads=1
        )
    summary = table.to_pandas().groupby("metric")["value"].mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    cost = {"wall_seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "peak_gib": peak}
    return {str(name): float(value) for name, value in summary.items()} | cost
