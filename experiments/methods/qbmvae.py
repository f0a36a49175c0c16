"""Our own model behind the comparison's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.methods.base import Fitted
from experiments.methods.scvi import UNLABELLED, borrow_batch, known_batches
from experiments.run_folder import history_table
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from experiments.methods.base import Task
    from qbmvae.model.embedding import Representation


def fit_own(
    task: Task,
    representation: Representation | None,
    train: dict[str, Any],
    options: dict[str, Any],
    shuffled: bool = False,
    labels: bool = False,
) -> Fitted:
    """Fit `QBMVAE` on the task's cells; see `experiments.methods.registry.fit_qbmvae`.

    Parameters
    ----------
    task, representation, train, shuffled
        As there.
    options
        Options of `QBMVAE`.
    labels
        As there.

    Raises
    ------
    InputError
        Where labels are asked for that the task has not.
    """
    from qbmvae import QBMVAE

    adata = task.adata.copy()
    setup: dict[str, Any] = {"batch_key": task.batch_key, "layer": task.layer}
    if labels:
        if task.label_key is None:
            raise InputError("this model is trained with labels: give label_key")
        adata.obs["shown"] = adata.obs[task.label_key].astype(str).astype("category").cat.add_categories(UNLABELLED)
        setup |= {"labels_key": "shown", "unlabeled_category": UNLABELLED}
    QBMVAE.setup_anndata(adata, **setup)
    options = {"n_hidden": task.n_hidden, "n_layers": task.n_layers, **options}
    model = QBMVAE(adata, **options)
    by_epoch: dict[int, np.ndarray] = {}

    def snapshot(trainer: Any) -> None:
        if trainer.epoch in task.snapshots:
            by_epoch[trainer.epoch] = model.get_latent_representation(representation=representation)

    settings: dict[str, Any] = {"max_epochs": task.max_epochs, "batch_size": task.batch_size, **train}
    if shuffled:
        model = _with_shuffled_couplings(model, adata, task, options, settings)
    if task.snapshots:
        settings["on_epoch"] = snapshot
    model.train(seed=task.seed, accelerator="cpu", progress_bar=False, **settings)

    def embed(cells: AnnData | None = None) -> np.ndarray:
        if cells is None:
            return model.get_latent_representation(representation=representation)
        ready = borrow_batch(cells, model, task.batch_key)
        z = model.get_latent_representation(ready, representation=representation)
        if task.batch_key is None:
            return z
        # cells of a batch that was borrowed lie where their own code puts them: the lender's offsets are not theirs
        unseen = ~cells.obs[task.batch_key].astype(str).isin(known_batches(model)).to_numpy()
        if unseen.any():
            z[unseen] = model.get_latent_representation(
                ready, indices=np.flatnonzero(unseen), representation=representation, align_batches=False
            )
        return z

    def bounds(cells: AnnData) -> dict[str, float]:
        ready = borrow_batch(cells, model, task.batch_key)
        return {"elbo": float(model.get_elbo(ready)), "iwae": float(model.get_marginal_ll(ready, n_mc_samples=50))}

    def novelty(cells: AnnData) -> dict[str, np.ndarray]:
        ready = borrow_batch(cells, model, task.batch_key)
        scores = {"negative ELBO": model.get_energy(ready, kind="bound")}
        if model.module.vae.prior.discrete:
            scores["prior energy"] = model.get_energy(ready)
            scores["free energy"] = model.get_energy(ready, kind="free")
        return scores

    return Fitted(
        embed,
        history=history_table(model.history),
        model=model,
        by_epoch=by_epoch,
        generate=lambda n, seed: model.generate(n_cells=n, seed=seed).X,
        bounds=bounds,
        novelty=novelty,
    )


def _with_shuffled_couplings(
    teacher: Any, adata: AnnData, task: Task, options: dict[str, Any], settings: dict[str, Any]
) -> Any:
    """Return a model with new weights whose frozen couplings are a trained model's, in other places."""
    import torch

    from qbmvae import QBMVAE

    teacher.train(seed=task.seed, accelerator="cpu", progress_bar=False, **settings)
    W = teacher.module.vae.prior.W.detach()
    above = torch.triu_indices(W.shape[0], W.shape[1], 1)
    order = torch.from_numpy(np.random.default_rng(task.seed).permutation(above.shape[1]))
    moved = torch.zeros_like(W)
    moved[above[0], above[1]] = W[above[0], above[1]][order]
    model = QBMVAE(adata, seed=task.seed, prior="random-couplings", **options)
    model.module.vae.prior.get_parameter("W").data.copy_(moved + moved.T)
    # train would draw the weights of a fresh model anew, and the couplings with them
    model.set_weights()
    return model
