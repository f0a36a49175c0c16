"""Every model that is compared, behind one call: fit on cells, embed others, generate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.datasets import counts_of, log_normalised
from experiments.methods.base import Fitted, Task, one_thread
from experiments.run_folder import quiet
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Method:
    """A model by name: how to fit it, with which options, and what must be known when its scores are read.

    Attributes
    ----------
    fit, options
        What fits it, called with a `Task` and the options.
    note
        What it is.
    uses_labels
        Whether it sees the cell types.
    deterministic
        Whether every seed gives the same result.
    ablation
        Whether it is a variant of our own model, which counts as no baseline.
    inductive
        Whether it can embed cells that it was not fitted on, of new batches too.
    """

    fit: Callable[..., Fitted]
    note: str
    options: dict[str, Any] = field(default_factory=dict)
    uses_labels: bool = False
    deterministic: bool = False
    ablation: bool = False
    inductive: bool = True


def fit(name: str, task: Task, **options: Any) -> Fitted:
    """Fit a model by its name (see `METHODS`).

    Parameters
    ----------
    name
        Its name.
    task
        The cells and the budget.
    **options
        Options of this model beside those that its name stands for.

    Raises
    ------
    InputError
        For an unknown name or option, or data that the model cannot take.
    """
    if name not in METHODS:
        raise InputError(f"there is no model {name!r}{nearest(name, METHODS)}")
    method = METHODS[name]
    wall, cpu = time.perf_counter(), time.process_time()
    with quiet(), one_thread():
        try:
            fitted = method.fit(task, **{**method.options, **options})
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise InputError(f"model {name!r}: {error}") from error
            raise
    fitted.seconds, fitted.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    return fitted


def fit_pca(task: Task, **options: Any) -> Fitted:
    """Fit PCA, or Harmony on top of it; see `experiments.methods.pca`."""
    from experiments.methods.pca import fit_components

    return fit_components(task, **options)


def fit_scvi(
    task: Task, variant: str = "SCVI", n_latent: int = 10, kl_warmup: float | None = 0.25, max_epochs: int | None = None
) -> Fitted:
    """Fit a model of scvi-tools: SCVI, LinearSCVI (LDVAE), AUTOZI or SCANVI, with an NB likelihood.

    Parameters
    ----------
    task
        The cells.
    variant
        Which; SCANVI is SCVI for the whole budget and a fifth of it more with the labels.
    n_latent
        Latent dimensions.
    kl_warmup
        Share of the training over which the KL's weight rises; None for scvi-tools' default of 400 epochs, which a
        shorter training never completes.
    max_epochs
        In the place of the task's.
    """
    import scvi

    from experiments.methods.scvi import UNLABELLED, finish, snapshot_callback

    scvi.settings.seed = task.seed
    epochs = max_epochs or task.max_epochs
    adata = task.adata.copy()
    keys = {"batch_key": task.batch_key, "layer": task.layer}
    # AUTOZI's and LDVAE's decoders are linear or fixed; depth counts where there is a choice
    shape: dict[str, Any] = {"n_hidden": task.n_hidden, "n_latent": n_latent, "n_layers": task.n_layers}
    if variant != "AUTOZI":
        shape["gene_likelihood"] = "nb"
    plan = {} if kl_warmup is None else {"n_epochs_kl_warmup": max(1, round(kl_warmup * epochs))}
    base = getattr(scvi.model, "SCVI" if variant == "SCANVI" else variant)
    base.setup_anndata(adata, **keys)
    model = base(adata, **shape)
    by_epoch: dict[int, np.ndarray] = {}
    callbacks = [snapshot_callback(model, task.snapshots, by_epoch)] if task.snapshots else []
    options = {
        "batch_size": task.batch_size,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "logger": None,
        # a last batch of one cell breaks batch normalisation
        "datasplitter_kwargs": {"drop_last": 0 < round(0.9 * adata.n_obs) % task.batch_size < 3},
    }
    # the curves need no more points; a pass over the held-out cells costs a ninth of an epoch
    every = max(1, epochs // 25)
    model.train(max_epochs=epochs, plan_kwargs=plan, check_val_every_n_epoch=every, callbacks=callbacks, **options)
    if variant == "SCANVI":
        if task.label_key is None:
            raise InputError("scANVI needs labels: give label_key")
        history = model.history
        model = scvi.model.SCANVI.from_scvi_model(model, unlabeled_category=UNLABELLED, labels_key=task.label_key)
        model.train(max_epochs=max(5, epochs // 5), **options)
        model.history_ = {**model.history, **history}
    return finish(model, task, by_epoch)


def fit_sysvi(task: Task, n_latent: int = 15, cycle: float = 5.0) -> Fitted:
    """Fit SysVI (Hrovatin et al. 2023): VampPrior and latent cycle-consistency, on log-normalised values."""
    import scvi
    from scvi.external import SysVI

    from experiments.methods.scvi import finish

    if task.batch_key is None or task.adata.obs[task.batch_key].nunique() < 2:
        raise InputError("sysVI needs a batch_key with two batches or more")
    scvi.settings.seed = task.seed
    adata = log_normalised(task.adata, task.layer)
    adata.X = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
    SysVI.setup_anndata(adata, batch_key=task.batch_key)
    model = SysVI(adata, n_latent=n_latent, n_hidden=task.n_hidden, n_layers=task.n_layers)
    model.train(
        max_epochs=task.max_epochs,
        batch_size=task.batch_size,
        accelerator="cpu",
        enable_progress_bar=False,
        logger=None,
        check_val_every_n_epoch=max(1, task.max_epochs // 25),
        plan_kwargs={"z_distance_cycle_weight": cycle},
    )
    fitted = finish(model, task, {}, prepare=lambda a: _dense_log(a, task.layer))
    fitted.generate = fitted.bounds = fitted.novelty = None
    return fitted


def _dense_log(adata: AnnData, layer: str | None) -> AnnData:
    log = log_normalised(adata, layer)
    log.X = log.X.toarray() if hasattr(log.X, "toarray") else log.X
    return log


def fit_qbmvae(
    task: Task,
    representation: str | None = None,
    train: dict[str, Any] | None = None,
    shuffled: bool = False,
    **model: Any,
) -> Fitted:
    """Fit our own model.

    Parameters
    ----------
    task
        The cells.
    representation
        Which embedding to judge.
    train
        Options of `QBMVAE.train`.
    shuffled
        Train once, move the learned couplings to other pairs of bits at random, and train anew with them frozen.
    **model
        Options of `QBMVAE`, for instance `prior="bernoulli"`.
    """
    from experiments.methods.qbmvae import fit_own

    return fit_own(task, representation, train or {}, model, shuffled)


def fit_published(task: Task, exact_kl: bool = False, **options: Any) -> Fitted:
    """Fit the preset of the QBM-VAE authors' public code; see `experiments.methods.published`."""
    from experiments.methods.published import fit_preset

    counts_of(task.adata, task.layer)
    return fit_preset(task, exact_kl=exact_kl, **options)


def _own(note: str, **options: Any) -> Method:
    return Method(fit_qbmvae, note, options, ablation=True)


METHODS: dict[str, Method] = {
    "pca": Method(fit_pca, "30 principal components of log-normalised counts", deterministic=True),
    "harmony": Method(
        fit_pca, "Harmony on 30 components of scaled data", {"scale": True, "harmony": True}, inductive=False
    ),
    "scvi": Method(fit_scvi, "scVI, 10 dimensions, KL warm-up over 25 %"),
    "scvi-30": Method(fit_scvi, "scVI, 30 dimensions, KL warm-up over 25 %", {"n_latent": 30}),
    "scvi-64": Method(fit_scvi, "scVI, as many dimensions as we have bits", {"n_latent": 64}),
    "scvi-default": Method(fit_scvi, "scVI, its own KL warm-up of 400 epochs", {"kl_warmup": None}),
    "scvi-400": Method(fit_scvi, "scVI, 400 epochs, its own warm-up", {"kl_warmup": None, "max_epochs": 400}),
    "ldvae": Method(fit_scvi, "LDVAE: a linear decoder", {"variant": "LinearSCVI"}),
    "autozi": Method(fit_scvi, "AUTOZI: zero inflation decided gene by gene", {"variant": "AUTOZI"}),
    "scanvi": Method(fit_scvi, "scANVI: uses the labels", {"variant": "SCANVI"}, uses_labels=True),
    # its encoder sees the batch, which a new batch cannot tell it
    "sysvi": Method(fit_sysvi, "sysVI: VampPrior and cycle-consistency", inductive=False),
    "published": Method(fit_published, "the QBM-VAE authors' preset as their public code runs it"),
    "published-exact": Method(fit_published, "the same preset with the exact KL", {"exact_kl": True}),
    "qbmvae": Method(fit_qbmvae, "ours, defaults"),
    "qbmvae-kl2": _own("ours, KL weight 2 instead of .25: tighter clusters", train={"kl_weight": 2.0}),
    "qbmvae-denoised": _own("ours, decoded expression without the counts as embedding", representation="denoised"),
    "qbmvae-probabilities": _own("ours, the bits' probabilities as embedding", representation="probabilities"),
    # a Gaussian code mixes batches best at a larger weight than bits do: of .25 and 2, each prior has its better one
    "vae": Method(
        fit_qbmvae,
        "our network, standard Gaussian prior, KL weight 2",
        {"prior": "gaussian", "n_latent": 10, "train": {"kl_weight": 2.0}},
    ),
    "mixture": _own(
        "ours with a mixture of Gaussians, 10 dimensions, KL weight 2",
        prior="gaussian-mixture",
        n_latent=10,
        train={"kl_weight": 2.0},
    ),
    "vamp": _own(
        "ours with a VampPrior, 10 dimensions, KL weight 2", prior="vamp", n_latent=10, train={"kl_weight": 2.0}
    ),
    "bernoulli": _own("ours, J = 0, fields learned", prior="bernoulli"),
    "uniform": _own("ours, uniform bits", prior="uniform"),
    "shuffled-couplings": _own("ours, learned couplings moved to other pairs, frozen", shuffled=True),
    "random-couplings": _own("ours, frozen random couplings", prior="random-couplings"),
    "rbm": _own("ours, restricted Boltzmann machine, 64 hidden units", topology="bipartite", n_hidden_units=64),
    "pegasus": _own("ours, couplings on a Pegasus graph", topology="pegasus"),
}
