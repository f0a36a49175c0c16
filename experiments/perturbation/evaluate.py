"""Score a predictor and the baselines on held-out cells, with intervals and the diagnostics of collapse.

Parameters
----------
model
    The fitted predictor.
seed
    Of cells drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from experiments.comparison.statistics import lead
from qbmvae.perturbation import baselines
from qbmvae.perturbation.boltzmann import BoltzmannPerturbation
from qbmvae.perturbation.cells import make_cells
from qbmvae.perturbation.diagnostics import collapse_report
from qbmvae.perturbation.groups import Groups
from qbmvae.perturbation.scoring import METRICS, Screen, scale_scores, score_screens, screen

if TYPE_CHECKING:
    from anndata import AnnData

    from qbmvae.perturbation.model import PerturbationModel

# what scaled scores are relative to, as in the Virtual Cell Challenge
REFERENCE = "mean response"


def observed_screen(
    model: PerturbationModel | BoltzmannPerturbation, test: AnnData, n_control: int | None, seed: int
) -> Screen:
    """Read the held-out cells with the model's genes and normalisation.

    Parameters
    ----------
    test
        The cells.
    n_control
        Control cells to test against.
    """
    cells, x = model.expression(test, "test")
    normalised = _with_x(cells, x)
    return screen(normalised, model.pert_key, model.control, n_control=n_control, seed=seed, which="test")


def _with_x(cells: AnnData, x: Any) -> AnnData:
    import anndata as ad

    return ad.AnnData(x, obs=cells.obs.copy(), var=cells.var[[]].copy())


def evaluate(
    model: PerturbationModel | BoltzmannPerturbation,
    test: AnnData,
    groups: Groups | None,
    *,
    n_control: int | None = 200,
    seed: int = 0,
    n_cells: int | None = None,
    reference: Mapping[str, float] | None = None,
    on_cells: Callable[[str, AnnData], None] = lambda name, cells: None,
) -> dict[str, Any]:
    """Return the scores of the model and of the baselines on `test`.

    Parameters
    ----------
    test
        Held-out perturbed cells and the control cells to predict from.
    groups
        Training groups, from which the baselines learn; without them there are none.
    n_control
        Control cells to test differential expression against, as the challenge's scorer samples them.
    n_cells
        Cells to predict of each perturbation; as many as observed by default.
    reference
        Raw scores of the mean response, where `groups` is None and they are known.
    on_cells
        Called with the predicted cells of each predictor, controls included, and its name ("model" or a baseline's).

    Returns
    -------
    dict
        "model" and "baselines" (name -> scores): des, pds, mae, their standard errors over perturbations and, for all
        but the reference, the scaled scores and "overall"; "diagnostics"; "per_perturbation" (name -> records).
    """
    truth = observed_screen(model, test, n_control, seed)
    labels = list(map(str, truth.names))
    control_cells = test[(test.obs[model.pert_key].astype(str) == model.control).to_numpy()]
    sizes = {name: n_cells or len(truth.rows[name]) for name in labels}
    own = model.predict(sizes, control_cells, seed=seed)
    if isinstance(model, BoltzmannPerturbation):
        own = _with_x(*model.expression(own, "predicted"))
        deltas = {"model": _shifts(own, labels, model.pert_key, model.control)}
    else:
        deltas = {"model": model.predict_delta(labels, control_cells, seed=seed)}
    if groups is not None:
        known = all(model.features.has(label) for label in labels)
        for name in baselines.BASELINES:
            if known or name in ("no change", "mean response"):
                deltas[name] = baselines.predict(name, groups, model.features, labels)
    raw, tables = {}, {}
    for name, delta in deltas.items():
        predicted = own if name == "model" else shifted(model, control_cells, labels, delta, sizes, seed)
        on_cells(name, predicted)
        result = score_screens(
            screen(predicted, model.pert_key, model.control, n_control=n_control, seed=seed), truth, model.genes
        )
        tables[name] = result.pop("per_perturbation").assign(fdr=result.pop("fdr_per_perturbation"))
        n = len(tables[name])
        errors = tables[name].std(ddof=1) / np.sqrt(n) if n > 1 else tables[name].iloc[0] * np.nan
        raw[name] = {k: float(result[k]) for k in (*METRICS, "fdr")} | {f"{k}_se": float(errors[k]) for k in METRICS}
    reference = raw.get(REFERENCE, reference)
    if reference is not None:
        for scores in raw.values():
            scores.update(scale_scores(scores, reference))
    effects = truth.means - truth.control
    return {
        "model": raw.pop("model"),
        "baselines": raw,
        "diagnostics": collapse_report(deltas["model"], effects, truth.control),
        "n_perturbations": len(labels),
        "n_control": len(truth.control_rows),
        "strata": saturation(tables),
        "reference": REFERENCE if reference is not None else None,
        "per_perturbation": {k: t.reset_index().to_dict("list") for k, t in tables.items()},
        "effects": {"names": labels, "predicted": deltas["model"], "observed": effects},
    }


def saturation(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the model's scores in thirds of the perturbations by how far simple baselines solve them already.

    The saturation of a perturbation is the share of the error of "no change" that its best baseline takes away,
    1 - MAE(best) / MAE(no change). Empty with fewer than six perturbations, or without baselines.

    Parameters
    ----------
    tables
        Predictor to its scores, one row a perturbation; "model" among them.
    """
    others = [name for name in tables if name != "model"]
    if "no change" not in others or len(tables["model"]) < 6:
        return []
    error = np.stack([tables[name]["mae"].to_numpy(float) for name in others])
    best = np.min(error, axis=0)
    share = 1 - best / np.maximum(tables["no change"]["mae"].to_numpy(float), 1e-12)
    pds = np.stack([tables[name]["pds"].to_numpy(float) for name in others]).max(0)
    rows = []
    for words, part in zip(
        ("least solved", "between", "most solved"), np.array_split(np.argsort(share), 3), strict=True
    ):
        own = tables["model"].iloc[part]
        rows.append(
            {"perturbations": words, "n": len(part), "solved": share[part].mean(), "mae": own["mae"].mean()}
            | {"best_mae": best[part].mean(), "pds": own["pds"].mean(), "best_pds": pds[part].mean()}
            | {"des": own["des"].mean(), "fdr": own["fdr"].mean()}
        )
    return [{k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()} for row in rows]


def shifted(
    model: Any, controls: AnnData, labels: list[str], deltas: np.ndarray, sizes: Mapping[str, int], seed: int
) -> AnnData:
    """Return control cells moved by `deltas` (n_labels, n_genes), each gene rescaled, with the controls at the end.

    Parameters
    ----------
    controls
        Control cells.
    labels, deltas
        Perturbations and their shifts.
    sizes
        Cells of each.
    """
    import anndata as ad

    rng = np.random.default_rng(seed)
    cells, x = model.expression(controls, "controls")
    x = sp.csr_matrix(x, dtype=np.float32)
    mean = np.asarray(x.mean(axis=0, dtype=np.float64)).ravel()
    blocks = [make_cells(x, mean, d, sizes[name], how="scale", rng=rng) for name, d in zip(labels, deltas, strict=True)]
    names = [name for name in labels for _ in range(sizes[name])] + [model.control] * x.shape[0]
    obs = pd.DataFrame({model.pert_key: pd.Categorical(names)}, index=[f"cell-{i}" for i in range(len(names))])
    return ad.AnnData(sp.vstack([*blocks, x], format="csr"), obs=obs, var=cells.var[[]].copy())


def _shifts(predicted: AnnData, labels: list[str], pert_key: str, control: str) -> np.ndarray:
    names = predicted.obs[pert_key].astype(str).to_numpy()
    means = [np.asarray(predicted.X[names == name].mean(axis=0)).ravel() for name in [control, *labels]]
    return np.stack(means[1:]) - means[0]


def lines(metrics: dict[str, Any]) -> str:
    """Return the held-out scores of the model and of every baseline and control, a line each."""
    found = metrics.get("distribution") or {"own": "", "scores": []}
    energy = {row["predictor"]: row["energy"] for row in found["scores"] if not row["predictor"].startswith("ceiling")}
    if found["own"]:
        energy["model"] = energy.pop(found["own"])
    rows = {"model": metrics["model"], **metrics["baselines"]}
    shown = [f"{'held-out ' + metrics['holdout']:<32}{'DES':>8}{'PDS':>8}{'MAE':>8}{'energy':>8}"]
    for name in dict.fromkeys([*rows, *energy]):
        values = [rows.get(name, {}).get(k) for k in ("des", "pds", "mae")] + [energy.get(name)]
        shown.append(f"{name:<32}" + "".join(f"{'-' if v is None else format(v, '.4f'):>8}" for v in values))
    return "\n".join(shown)


def verdict(result: dict[str, Any]) -> list[str]:
    """Say for each baseline whether the model is better, level or worse in PDS and MAE.

    The interval is 1.96 standard errors of the paired differences over perturbations; one perturbation has none.
    """
    lines = []
    own = result["per_perturbation"]["model"]
    for name in result["baselines"]:
        other = result["per_perturbation"][name]
        for metric, label, sign in (("pds", "discrimination (PDS)", 1), ("mae", "error (MAE)", -1)):
            gain = sign * (np.asarray(own[metric]) - np.asarray(other[metric]))
            lines.append(lead(f"{label} against {name}", gain))
    return lines
