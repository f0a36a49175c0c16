"""Search over settings with Ray Tune: each trial trains one model and reports its held-out ELBO after each validation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samplers.errors import InputError, MissingExtraError, nearest

#: What trials are compared by: the held-out negative ELBO in nats, lower is better.
METRIC = "elbo_validation"


def divide(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that `QBMVAE(...)` takes and those that `QBMVAE.train(...)` takes; others are refused.

    Raises
    ------
    InputError
        For a setting that neither takes.
    """
    from qbmvae import QBMVAE

    # a model's constructor passes what it does not name on to the module, see `qbmvae.core.vae.VAE`
    from qbmvae.core.vae import VAE

    model = {*inspect.signature(QBMVAE.__init__).parameters, *inspect.signature(VAE.__init__).parameters}
    model -= {"self", "adata", "n_input", "n_categories", "n_continuous", "kwargs"}
    training = set(inspect.signature(QBMVAE.train).parameters) - {"self", "on_epoch", "progress_bar"}
    for name in settings:
        if name not in model | training:
            raise InputError(f"neither QBMVAE nor its train takes {name!r}{nearest(name, model | training)}")
    return (
        {name: value for name, value in settings.items() if name in model},
        {name: value for name, value in settings.items() if name in training - model},
    )


def trial(
    settings: Mapping[str, Any],
    adata: Any,
    report: Callable[[dict[str, float]], None],
    *,
    batch_key: str | None = None,
    layer: str | None = None,
) -> None:
    """Train one model and report after each validation.

    Parameters
    ----------
    settings
        Keyword arguments of `QBMVAE` and of `QBMVAE.train`, mixed.
    adata
        The cells.
    report
        Takes the metrics: "elbo_validation", "reconstruction_loss_validation", "rate", "active_bits", "epoch".
    batch_key, layer
        As in `QBMVAE.setup_anndata`.
    """
    from qbmvae import QBMVAE

    for_model, for_training = divide(settings)
    QBMVAE.setup_anndata(adata, batch_key=batch_key, layer=layer)
    model = QBMVAE(adata, **for_model)
    seen = 0

    def on_epoch(trainer: Any) -> None:
        nonlocal seen
        history = trainer.history
        if len(history.get(METRIC, ())) > seen:
            seen = len(history[METRIC])
            names = (METRIC, "reconstruction_loss_validation", "rate", "active_bits")
            report({"epoch": trainer.epoch, **{name: history[name][-1][1] for name in names}})

    model.train(**for_training, on_epoch=on_epoch, progress_bar=False)


def sweep(
    path: str | Path,
    space: Mapping[str, Any],
    *,
    batch_key: str | None = None,
    layer: str | None = None,
    num_samples: int = 10,
    cpus_per_trial: int = 1,
    gpus_per_trial: float = 0,
    out: str | Path | None = None,
    scheduler: Any = None,
) -> Any:
    """Run trials over a space of settings and return Ray's `ResultGrid`; `get_best_result().config` is the best.

    Parameters
    ----------
    path
        An `.h5ad` file; each trial reads it.
    space
        Settings of `trial`, single ones or Ray's distributions, such as `ray.tune.choice([32, 64, 128])`.
    batch_key, layer
        As in `QBMVAE.setup_anndata`.
    num_samples
        Number of trials.
    cpus_per_trial, gpus_per_trial
        What a trial occupies.
    out
        Folder for Ray's results; Ray's default where None.
    scheduler
        One of Ray's, such as `ASHAScheduler()`, which ends poor trials early.

    Raises
    ------
    InputError
        Where the file is not there, or a setting is unknown.
    MissingExtraError
        Where Ray Tune is not installed.
    """
    try:
        from ray import tune
    except ImportError as error:
        raise MissingExtraError("ray[tune]", "tune") from error
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}")
    divide(space)
    where = str(Path(path).resolve())

    def run(settings: dict[str, Any]) -> None:
        import anndata as ad
        import torch

        torch.set_num_threads(cpus_per_trial)
        trial(settings, ad.read_h5ad(where), tune.report, batch_key=batch_key, layer=layer)

    tuner = tune.Tuner(
        tune.with_resources(run, {"cpu": cpus_per_trial, "gpu": gpus_per_trial}),
        param_space=dict(space),
        tune_config=tune.TuneConfig(metric=METRIC, mode="min", num_samples=num_samples, scheduler=scheduler),
        run_config=tune.RunConfig(storage_path=None if out is None else str(Path(out).resolve()), name="qbmvae"),
    )
    return tuner.fit()
