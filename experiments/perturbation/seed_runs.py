"""The runs of an experiment over seeds: each run with each preset, each held-out context and each seed; and their scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from experiments.comparison.statistics import means, standing
from experiments.perturbation.config import TrainConfig
from experiments.perturbation.distribution import SCORES
from experiments.perturbation.distribution_table import CEILING
from experiments.perturbation.scorer2 import SCORES_2026
from qbmvae.perturbation import audit
from samplers.errors import InputError, nearest

#: Distances whose margins are reported.
MARGINS = ("mmd", "energy")


@dataclass(frozen=True)
class SeedRun:
    """One training run: `folder` is its name, `predictor` what its model is called in tables."""

    run: str
    predictor: str
    context: str
    config: TrainConfig

    @property
    def folder(self) -> str:
        """A file name."""
        parts = [self.run, self.context, "" if self.predictor == "model" else self.config.preset, str(self.config.seed)]
        return "-".join(part.replace("/", "_") for part in parts if part)


def expanded(name: str, settings: Mapping[str, Any], seeds: Sequence[int]) -> list[SeedRun]:
    """Return the training runs of one named run.

    Parameters
    ----------
    name
        Of the run.
    settings
        Of `TrainConfig`, and three more. `presets`: preset to its own options; the run is trained with each, and the first is
        compared with the others. `each`: true, or a list of contexts, each of which is held out in turn. `seeds`: its own.
    seeds
        Of hold-out, weights and cells, where the run has none of its own.

    Raises
    ------
    InputError
        For presets without options, or a run that holds nothing out.
    """
    values = dict(settings)
    presets, each, seeds = values.pop("presets", None), values.pop("each", False), values.pop("seeds", seeds)
    if presets is not None and not (isinstance(presets, Mapping) and presets):
        raise InputError(
            f"run {name!r}: presets is {presets!r}: name each preset with its options, such as default: {{}}"
        )
    base = TrainConfig.from_dict(values)
    configs = {"model": base} if presets is None else {
        f"model ({preset})": replace(base, preset=preset, options=dict(options or {})) for preset, options in presets.items()
    }  # fmt: skip
    for config in configs.values():
        config.resolved_options()
    if base.resolved_holdout() == "none":
        raise InputError(f"run {name!r} holds nothing out, so it has no scores to compare over seeds")
    contexts = _contexts(name, base, each) if each else [""]
    return [
        SeedRun(name, predictor, context, replace(config, seed=seed, holdout_values=(context,) if context else config.holdout_values))
        for seed in seeds
        for context in contexts
        for predictor, config in configs.items()
    ]  # fmt: skip


def _contexts(name: str, config: TrainConfig, each: Any) -> list[str]:
    import anndata as ad

    if config.context_key is None:
        raise InputError(f"run {name!r}: each holds out contexts in turn, so context_key must name their column")
    adata = ad.read_h5ad(config.data, backed="r")
    try:
        known = sorted(set(map(str, audit.labels(adata, config.context_key, config.data))))
    finally:
        adata.file.close()
    wanted = known if each is True else [str(value) for value in each]
    for value in wanted:
        if value not in known:
            raise InputError(f"run {name!r}: no context {value!r} in {config.context_key!r}{nearest(value, known)}")
    return wanted


def score_rows(run: SeedRun, metrics: Mapping[str, Any], with_controls: bool) -> Iterator[dict[str, Any]]:
    """Yield one row a predictor of a finished run: the challenges' scores and, where they were made, the distribution's.

    Parameters
    ----------
    run
        What was run.
    metrics
        What its metrics.json holds.
    with_controls
        Whether baselines and controls are wanted too; they are the same for every preset of a seed.
    """
    keys = {"run": run.run, "context": run.context, "seed": run.config.seed}
    found = metrics.get("distribution") or {"own": "", "scores": []}
    distribution = {row["predictor"]: {s: row[s] for s in SCORES} for row in found["scores"]}
    challenge = {k: metrics["model"].get(k) for k in ("des", "pds", "mae", "overall")}
    later = metrics.get("challenge_2026") or {}
    of_2026 = {name: {k: scores[k] for k in SCORES_2026 if k in scores} for name, scores in later.items()}
    own = distribution.get(found["own"], {})
    # ways of making cells keep a row of their own, in every context, whichever of them a run chose
    distribution.pop("model", None)
    yield {**keys, "predictor": run.predictor, **challenge, **own, **of_2026.get("model", {})}
    for name in [name for name in distribution if name.startswith("model")]:
        other, label = distribution.pop(name), run.predictor.removesuffix(")")
        how = name.removeprefix("model (").removesuffix(")")
        yield {**keys, "predictor": f"{label}, {how})" if "(" in label else name, **other}
    if not with_controls:
        return
    for name, scores in metrics["baselines"].items():
        yield {
            **keys,
            "predictor": name,
            **{k: scores.get(k) for k in challenge},
            **distribution.pop(name, {}),
            **of_2026.get(name, {}),
        }
    for name, scores in distribution.items():
        yield {**keys, "predictor": name, **scores}


def pooled(frame: pd.DataFrame, by: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return means by run and `by`, and the 95 % t half-width (suffix " +-"): over contexts, where a run holds out several.

    Seeds of a context are averaged first: they share its cells. Without several contexts the interval is over seeds.

    Parameters
    ----------
    frame
        Scores, a row a run.
    by
        Column whose values are told apart.
    columns
        Scores to average.
    """
    found = []
    for _, part in frame.groupby("run", sort=False):
        over = "context" if part["context"].nunique() > 1 else "seed"
        known = [c for c in columns if c in part]
        averaged = part.groupby(["run", by, over], sort=False)[known].mean().reset_index()
        found.append(means(averaged, ["run", by], known))
    return pd.concat(found, ignore_index=True)


def margins(frame: pd.DataFrame) -> pd.DataFrame:
    """Return by how much the first model leads each other predictor, paired by context and seed: positive is better."""
    signs = {"des": 1, "pds": 1, "mae": -1} | dict.fromkeys(MARGINS, -1)
    rows = []
    for run, part in frame.groupby("run", sort=False):
        wide = part.set_index(["context", "seed", "predictor"])
        own = wide.xs(part["predictor"].iloc[0], level="predictor")
        for name in part["predictor"].unique()[1:]:
            other = wide.xs(name, level="predictor")
            gain = pd.DataFrame({c: s * (own[c] - other[c]) for c, s in signs.items() if c in own and c in other})
            if name != CEILING and gain.notna().any().any():
                rows.append(gain.reset_index().assign(run=run, against=name))
    found = pooled(pd.concat(rows), "against", list(signs)) if rows else pd.DataFrame(columns=["run", "against"])
    for metric in (c for c in signs if c in found):
        pairs = found[[metric, f"{metric} +-"]].to_numpy(float)
        found[f"{metric} verdict"] = [standing(*pair) for pair in pairs]
    return found
