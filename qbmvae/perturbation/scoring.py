"""The scores of the Virtual Cell Challenge, as cell-eval (0.8) defines them: DES, PDS, MAE and the overall score.

DES: the share of a perturbation's k truly significant genes (Mann-Whitney against controls, FDR < .05) that are among
the k largest predicted significant fold changes. PDS: one minus the normalised rank of the true perturbation among all
by L1 distance of pseudobulk effects, the target gene left out; 1 is best, .5 is chance. MAE: mean absolute error of
pseudobulk expression. Each is a mean over perturbations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.perturbation import audit
from qbmvae.perturbation.differential import fold_change_and_fdr, prepare_controls, ranked_genes
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData

METRICS = ("des", "pds", "mae")


class Screen(NamedTuple):
    """Log1p-normalised cells, their perturbations, and the pseudobulks: `names` (P,), `means` (P, n_genes), `control` (n_genes,)."""

    x: sp.csr_matrix | np.ndarray
    rows: dict[str, np.ndarray]
    control_rows: np.ndarray
    names: np.ndarray
    means: np.ndarray
    control: np.ndarray


def screen(
    adata: AnnData,
    pert_key: str = "target_gene",
    control: str = "non-targeting",
    *,
    n_control: int | None = None,
    seed: int | np.random.Generator | None = 0,
    which: str = "data",
) -> Screen:
    """Read a perturbation screen; `n_control` keeps that many control cells, drawn with `seed`.

    Parameters
    ----------
    adata
        Cells.
    pert_key, control
        Column of obs with each cell's perturbation, and the label of the controls.
    n_control
        Control cells to keep; all by default.
    seed
        Of their choice.
    which
        What messages call the cells.

    Raises
    ------
    InputError
        Where nothing but controls is there, or the cells are not usable.
    """
    names = audit.labels(adata, pert_key, which)
    audit.require_control(names, control, pert_key, which)
    audit.require_perturbed(names, control, pert_key, which)
    x = audit.log_normalised(adata, which)
    unique, inverse = np.unique(names, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    rows = {str(name): part for name, part in zip(unique, parts, strict=True)}
    control_rows = rows.pop(str(control))
    if n_control is not None and n_control < control_rows.size:
        control_rows = np.sort(np.random.default_rng(seed).choice(control_rows, n_control, replace=False))
    means = np.stack([_mean(x[part]) for part in rows.values()])
    return Screen(x, rows, control_rows, np.array(list(rows)), means, _mean(x[control_rows]))


def _mean(x: sp.csr_matrix | np.ndarray) -> np.ndarray:
    return np.asarray(x.mean(axis=0, dtype=np.float64)).ravel()


def _same_perturbations(predicted: Screen, observed: Screen) -> None:
    if np.array_equal(predicted.names, observed.names):
        return
    lacking = sorted(set(observed.names) - set(predicted.names))
    extra = sorted(set(predicted.names) - set(observed.names))
    if lacking:
        raise InputError(
            f"predicted: {len(lacking)} observed perturbations are missing, first {str(lacking[0])!r}{nearest(lacking[0], extra)}"
        )
    raise InputError(
        f"observed: {len(extra)} predicted perturbations are missing, first {str(extra[0])!r}: drop them from the prediction"
    )


def overlap(predicted: Screen, observed: Screen, real_controls: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return DES and the false discoveries of each perturbation, (P,) each.

    DES is `overlap_at_N` of cell-eval, 0 where the truth has no significant gene. False discoveries are the share of the
    genes that are significant in the prediction and not in the truth; NaN where the prediction has none.

    Parameters
    ----------
    predicted, observed
        The screens.
    real_controls
        Test predicted cells against the observed controls, not against the predicted ones.
    """
    controls = prepare_controls(observed.x[observed.control_rows])
    own = controls if real_controls else prepare_controls(predicted.x[predicted.control_rows])
    des, false = np.zeros(observed.names.size), np.full(observed.names.size, np.nan)
    for i, name in enumerate(observed.names):
        real = ranked_genes(*fold_change_and_fdr(observed.x[observed.rows[name]], controls))
        pred = ranked_genes(*fold_change_and_fdr(predicted.x[predicted.rows[name]], own))
        if real.size:
            des[i] = np.intersect1d(real, pred[: real.size], assume_unique=True).size / real.size
        if pred.size:
            false[i] = np.setdiff1d(pred, real, assume_unique=True).size / pred.size
    return des, false


def discrimination(predicted: np.ndarray, observed: np.ndarray, names: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """PDS of each perturbation, (P,), from effects (pseudobulk minus control), both (P, n_genes).

    Parameters
    ----------
    predicted, observed
        Effects, `(P, n_genes)`.
    names, genes
        Of the perturbations and of the genes: a perturbed gene itself does not count.
    """
    from scipy.spatial.distance import cdist

    distances = cdist(predicted, observed, "cityblock")
    column = {gene: j for j, gene in enumerate(genes)}
    out = np.empty(len(names))
    for i, name in enumerate(names):
        row = distances[i]
        j = column.get(name)
        if j is not None:
            row = row - np.abs(predicted[i, j] - observed[:, j])
        out[i] = 1 - np.flatnonzero(np.argsort(row) == i)[0] / len(names)
    return out


def scores(
    predicted: AnnData,
    observed: AnnData,
    pert_key: str = "target_gene",
    control: str = "non-targeting",
    baseline: AnnData | Mapping[str, float] | None = None,
    *,
    n_control: int | None = None,
    real_controls: bool = False,
    seed: int | np.random.Generator | None = 0,
) -> dict[str, Any]:
    """Score predicted perturbed cells against observed ones.

    Parameters
    ----------
    predicted, observed
        Cells with the same genes in the same order and the same perturbations, controls included; X log1p-normalised
        (counts are normalised to the median total, as cell-eval does).
    pert_key
        Column of obs that names each cell's perturbation.
    control
        Label of the control cells.
    baseline
        Predictions of a baseline, or its raw scores {"des", "pds", "mae"}; adds the scaled scores and "overall".
    n_control
        Evaluate against this many control cells drawn with `seed` (the same draw of rows in both where they have
        the same controls); all by default, as cell-eval does.
    real_controls
        Compare predicted cells with the observed controls, not with those of the prediction.
    seed
        Of the choice of control cells.

    Returns
    -------
    dict
        "des", "pds", "mae", "fdr": means over perturbations; "per_perturbation": DataFrame; "fdr_per_perturbation":
        Series, the share of significant genes of the prediction that are not significant in the truth; with `baseline` also
        "des_scaled", "pds_scaled", "mae_scaled" (0 = the baseline or worse, 1 = perfect), "overall" (0-100).

    Raises
    ------
    InputError
        Genes or perturbations differ, controls are missing, or X is not log1p-normalised.
    """
    if isinstance(baseline, Mapping):
        _raw(baseline)
    _same_genes(predicted, observed)
    options: dict[str, Any] = {"n_control": n_control, "seed": seed}
    truth = screen(observed, pert_key, control, which="observed", **options)
    result = score_screens(
        screen(predicted, pert_key, control, which="predicted", **options), truth, observed.var_names, real_controls
    )
    if baseline is not None:
        if not isinstance(baseline, Mapping):
            _same_genes(baseline, observed, "baseline")
            other = screen(baseline, pert_key, control, which="baseline", **options)
            baseline = score_screens(other, truth, observed.var_names, real_controls)
        result |= scale_scores(result, baseline)
    return result


def _same_genes(predicted: AnnData, observed: AnnData, which: str = "predicted") -> None:
    for name, cells in (("observed", observed), (which, predicted)):
        audit.unique_genes(cells, name)
    if np.array_equal(predicted.var_names, observed.var_names):
        return
    missing = observed.var_names.difference(predicted.var_names)
    if len(missing):
        raise InputError(
            f"{which}: {len(missing)} observed genes are missing, first {missing[0]!r}{nearest(missing[0], predicted.var_names[:5000])}"
        )
    raise InputError(f"{which}: genes are not those of observed in the same order: index with [:, observed.var_names]")


def score_screens(predicted: Screen, observed: Screen, genes: Any, real_controls: bool = False) -> dict[str, Any]:
    """Score one `Screen` against another with the same genes; see `scores`.

    Parameters
    ----------
    predicted, observed
        The screens.
    genes
        Their names.
    real_controls
        See `scores`.
    """
    _same_perturbations(predicted, observed)
    des, false = overlap(predicted, observed, real_controls)
    table = pd.DataFrame(
        {
            "des": des,
            "pds": discrimination(
                predicted.means - (observed if real_controls else predicted).control,
                observed.means - observed.control,
                observed.names,
                np.asarray(genes, dtype=object),
            ),
            "mae": np.abs(predicted.means - observed.means).mean(axis=1),
        },
        index=pd.Index(observed.names, name="perturbation"),
    )
    discoveries = pd.Series(false, table.index, name="fdr")
    means = {name: float(table[name].mean()) for name in METRICS} | {"fdr": float(discoveries.mean())}
    return means | {"per_perturbation": table, "fdr_per_perturbation": discoveries}


def _raw(baseline: Mapping[str, float]) -> None:
    lacking = [name for name in METRICS if name not in baseline]
    if lacking:
        raise InputError(
            f"baseline: no {lacking[0]!r} among its raw scores: give des, pds and mae, or predictions as AnnData"
        )


def scale_scores(raw: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    """Scale raw scores by a baseline's: "des_scaled", "pds_scaled", "mae_scaled" and "overall" (0-100).

    (s - b) / (1 - b) for DES and PDS, 1 - s / b for MAE, negative and undefined values set to 0, as cell-eval does;
    the overall score is their mean in per cent.
    """
    _raw(baseline)
    scaled = {}
    for name in METRICS:
        s, b = float(raw[name]), float(baseline[name])
        room = b if name == "mae" else 1 - b
        gain = b - s if name == "mae" else s - b
        scaled[f"{name}_scaled"] = max(0.0, gain / room) if room else 0.0
    return scaled | {"overall": 100 * float(np.mean(list(scaled.values())))}
