"""Every model that is compared, behind one call: fit on cells, embed others, generate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.data.datasets import counts_of
from experiments.methods.base import Fitted, Task, one_thread
from experiments.methods.compiling import compiling
from experiments.run_folder import quiet
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from qbmvae.model.embedding import Representation


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
    aligns
        Name of the model whose embedding this one aligns; empty for all others.
    """

    fit: Callable[..., Fitted]
    note: str
    options: dict[str, Any] = field(default_factory=dict)
    uses_labels: bool = False
    deterministic: bool = False
    ablation: bool = False
    inductive: bool = True
    aligns: str = ""


#: The latest fit of this process, with its name, task and options: the row that aligns a model's embedding follows the
#: model's own row in a grid, and need not train it again.
_latest: list[tuple[str, Task, dict[str, Any], Fitted]] = []


def fit(name: str, task: Task, **options: Any) -> Fitted:
    """Fit a model by its name (see `METHODS`).

    Parameters
    ----------
    name
        Its name.
    task
        The cells and the budget.
    **options
        Options of this model besides those that its name stands for.

    Raises
    ------
    InputError
        For an unknown name or option, or data that the model cannot take.
    """
    if name not in METHODS:
        raise InputError(f"there is no model {name!r}{nearest(name, METHODS)}")
    method = METHODS[name]
    if method.aligns:
        return _aligned(method.aligns, task, options)
    wall, cpu = time.perf_counter(), time.process_time()
    with quiet(), one_thread(), compiling() as kernels:
        try:
            fitted = method.fit(task, **{**method.options, **options})
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise InputError(f"model {name!r}: {error}") from error
            raise
    fitted.seconds, fitted.compile_seconds = time.perf_counter() - wall, kernels.seconds
    fitted.cpu_seconds = time.process_time() - cpu - kernels.seconds
    _latest[:] = [(name, task, options, fitted)]
    return fitted


def _aligned(name: str, task: Task, options: dict[str, Any]) -> Fitted:
    """Return a model with our alignment on top: the latest fit where it is of this model, else a new one."""
    from experiments.methods.aligned import align

    known = [f for n, t, o, f in _latest if n == name and t.adata is task.adata and o == options and _like(t, task)]
    plain = known[0] if known else fit(name, task, **options)
    wall, cpu = time.perf_counter(), time.process_time()
    with one_thread():
        found = align(plain, task)
    return dataclasses.replace(
        found,
        seconds=plain.seconds + time.perf_counter() - wall,
        cpu_seconds=plain.cpu_seconds + time.process_time() - cpu,
    )


def _like(one: Task, other: Task) -> bool:
    """Return whether two tasks differ in nothing besides their cells."""
    return dataclasses.replace(one, adata=None) == dataclasses.replace(other, adata=None)


def fit_pca(task: Task, **options: Any) -> Fitted:
    """Fit PCA, or Harmony on top of it; see `experiments.methods.pca`."""
    from experiments.methods.pca import fit_components

    return fit_components(task, **options)


def fit_scvi(task: Task, **options: Any) -> Fitted:
    """Fit a model of scvi-tools; see `experiments.methods.scvi.fit_scvi`."""
    from experiments.methods import scvi

    return scvi.fit_scvi(task, **options)


def fit_sysvi(task: Task, **options: Any) -> Fitted:
    """Fit SysVI; see `experiments.methods.sysvi`."""
    from experiments.methods import sysvi

    return sysvi.fit_sysvi(task, **options)


def fit_scanorama(task: Task, **options: Any) -> Fitted:
    """Fit Scanorama; see `experiments.methods.scanorama`."""
    from experiments.methods import scanorama

    return scanorama.fit_scanorama(task, **options)


def fit_qbmvae(
    task: Task,
    representation: Representation | None = None,
    train: dict[str, Any] | None = None,
    shuffled: bool = False,
    labels: bool = False,
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
    labels
        Register the task's labels, for `train={"label_weight": ...}`.
    **model
        Options of `QBMVAE`, for instance `prior="bernoulli"`.
    """
    from experiments.methods.qbmvae import fit_own

    return fit_own(task, representation, train or {}, model, shuffled, labels)


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
    "scvi-zinb": Method(fit_scvi, "scVI with a zero-inflated likelihood, its own default", {"gene_likelihood": "zinb"}),
    "scvi-30": Method(fit_scvi, "scVI, 30 dimensions, KL warm-up over 25 %", {"n_latent": 30}),
    "scvi-64": Method(fit_scvi, "scVI, as many dimensions as we have bits", {"n_latent": 64}),
    "scvi-default": Method(fit_scvi, "scVI, its own KL warm-up of 400 epochs", {"kl_warmup": None}),
    "scvi-400": Method(fit_scvi, "scVI, 400 epochs, its own warm-up", {"kl_warmup": None, "max_epochs": 400}),
    "ldvae": Method(fit_scvi, "LDVAE: a linear decoder", {"variant": "LinearSCVI"}),
    "autozi": Method(fit_scvi, "AUTOZI: zero inflation decided gene by gene", {"variant": "AUTOZI"}),
    "scanvi": Method(fit_scvi, "scANVI: uses the labels", {"variant": "SCANVI"}, uses_labels=True),
    "scanvi-zinb": Method(
        fit_scvi,
        "scANVI with a zero-inflated likelihood: uses the labels",
        {"variant": "SCANVI", "gene_likelihood": "zinb"},
        uses_labels=True,
    ),
    "scanorama": Method(fit_scanorama, "Scanorama: mutual nearest neighbours (extra: baselines)", inductive=False),
    # its encoder sees the batch, which a new batch cannot tell it
    "sysvi": Method(fit_sysvi, "sysVI: VampPrior and cycle-consistency", inductive=False),
    "published": Method(fit_published, "the QBM-VAE authors' preset as their public code runs it"),
    "published-exact": Method(fit_published, "the same preset with the exact KL", {"exact_kl": True}),
    "published-successor": Method(
        fit_published,
        "the preset of the machine vendor's public plugin: 128 + 128 bits, couplings between the halves, KL weight 1e-5",
        {"restricted": True, "kl_weight": 1e-5},
    ),
    "qbmvae": Method(fit_qbmvae, "ours, defaults"),
    "qbmvae-labels": Method(
        fit_qbmvae,
        "ours, the encoder trained with the labels as well",
        {"labels": True, "train": {"label_weight": 100.0}},
        uses_labels=True,
        ablation=True,
    ),
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

#: Baselines with our alignment on top, under their names with the suffix "-aligned": a row each in the paper's table.
METHODS |= {
    f"{name}-aligned": dataclasses.replace(
        method, note=f"{method.note}; then our closed-form alignment", deterministic=False, aligns=name
    )
    for name, method in METHODS.items()
    if not method.ablation and name != "qbmvae"
}
