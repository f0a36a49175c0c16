"""Models of scvi-tools: their fit, snapshots, generation, bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.methods.base import Fitted
from experiments.run_folder import history_table, quiet
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from experiments.methods.base import Task


def snapshot_callback(model: Any, epochs: Sequence[int], store: dict[int, np.ndarray]) -> Any:
    """Return a Lightning callback that keeps the embedding of all cells after some epochs.

    Parameters
    ----------
    model
        Of scvi-tools.
    epochs
        After which to embed.
    store
        Takes the embeddings, by epoch.
    """
    import torch
    from lightning.pytorch.callbacks import Callback

    class Snapshots(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            epoch = trainer.current_epoch + 1
            if epoch not in epochs:
                return
            trained, model.is_trained_ = model.is_trained_, True
            with torch.random.fork_rng(devices=[]):
                store[epoch] = model.get_latent_representation()
            model.is_trained_ = trained
            pl_module.train()

    return Snapshots()


def fit_scvi(
    task: Task,
    variant: str = "SCVI",
    n_latent: int = 10,
    kl_warmup: float | None = 0.25,
    max_epochs: int | None = None,
    gene_likelihood: str = "nb",
) -> Fitted:
    """Fit a model of scvi-tools: SCVI, LinearSCVI (LDVAE), AUTOZI or SCANVI,.

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
    gene_likelihood
        "nb", as ours has, or "zinb", scvi-tools' default; AUTOZI has its own.

    Raises
    ------
    InputError
        For scANVI without labels.
    """
    import scvi

    scvi.settings.seed = task.seed
    epochs = max_epochs or task.max_epochs
    adata = task.adata.copy()
    keys = {"batch_key": task.batch_key, "layer": task.layer}
    # AUTOZI's and LDVAE's decoders are linear or fixed; depth counts where there is a choice
    shape: dict[str, Any] = {"n_hidden": task.n_hidden, "n_latent": n_latent, "n_layers": task.n_layers}
    if variant != "AUTOZI":
        shape["gene_likelihood"] = gene_likelihood
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


#: What scANVI calls cells whose type it is not told.
UNLABELLED = "unknown"


def borrow_batch(adata: AnnData, model: Any, batch_key: str | None, label_key: str | None = None) -> AnnData:
    """Return cells that an encoder which sees neither batch nor type takes, whatever theirs are.

    Parameters
    ----------
    adata
        The cells; they are not written to.
    model
        The fitted model.
    batch_key
        Batches that the model does not know are named as one that it knows.
    label_key
        All cells are called unlabelled, for a model that asks for labels.
    """
    copy = adata.copy()
    if label_key is not None:
        copy.obs[label_key] = pd.Categorical([UNLABELLED] * copy.n_obs)
    if batch_key is not None:
        known = known_batches(model)
        values = adata.obs[batch_key].astype(str)
        copy.obs[batch_key] = pd.Categorical(np.where(values.isin(known), values, known[0]))
    return copy


def known_batches(model: Any) -> list[str]:
    """Return the names of the batches that a model of scvi-tools or ours was trained on."""
    state = model.registry_["field_registries"]["batch"]["state_registry"]
    return [str(name) for name in state["categorical_mapping"]]


def finish(
    model: Any, task: Task, by_epoch: dict[int, np.ndarray], prepare: Callable[[AnnData], AnnData] | None = None
) -> Fitted:
    """Return a trained model of scvi-tools as a `Fitted`.

    Parameters
    ----------
    model
        The model.
    task
        What it was fitted on.
    by_epoch
        Snapshots.
    prepare
        What turns counts into the model's input.
    """
    model.module.eval()

    def ready(adata: AnnData) -> AnnData:
        labels = task.label_key if type(model).__name__ == "SCANVI" else None
        return borrow_batch(adata if prepare is None else prepare(adata), model, task.batch_key, labels)

    def embed(adata: AnnData | None = None) -> np.ndarray:
        with quiet():
            return model.get_latent_representation(None if adata is None else ready(adata))

    def bounds(adata: AnnData) -> dict[str, float]:
        import scvi

        scvi.settings.seed = task.seed
        cells = ready(adata)
        with quiet():
            return {
                "elbo": float(np.mean(np.asarray(model.get_elbo(cells)))),
                "iwae": float(np.mean(np.asarray(model.get_marginal_ll(cells, n_mc_samples=50)))),
            }

    def novelty(adata: AnnData) -> dict[str, np.ndarray]:
        cells = ready(adata)
        with quiet():
            elbo = np.asarray(model.get_elbo(cells, return_mean=False)).ravel()
        return {"negative ELBO": -elbo}

    plain = type(model).__name__ == "SCVI"
    return Fitted(
        embed,
        history=history_table(model.history),
        model=model,
        by_epoch=by_epoch,
        generate=(lambda n, seed: prior_counts(model, n, seed)) if plain else None,
        bounds=bounds if plain else None,
        novelty=novelty if plain else None,
    )


def prior_counts(model: Any, n_cells: int, seed: int = 0) -> Any:
    """Return counts drawn from SCVI's prior, CSR `(n_cells, n_genes)`, at training cells' depths and batches.

    Parameters
    ----------
    model
        Trained SCVI.
    n_cells, seed
        How many cells, and the seed of the draws.
    """
    import scipy.sparse as sp
    import torch

    manager = model.adata_manager
    generator = np.random.default_rng(seed)
    rows = generator.choice(model.train_indices, size=n_cells)
    counts = manager.get_from_registry("X")
    library = np.asarray(counts[np.sort(rows)].sum(axis=1)).ravel()
    batch = np.asarray(manager.get_from_registry("batch")).ravel()[np.sort(rows)]
    parts = []
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(int(generator.integers(2**31)))
        for cells in np.array_split(np.arange(n_cells), max(1, n_cells // 512)):
            out = model.module.generative(
                z=torch.randn(len(cells), model.module.n_latent),
                library=torch.log(torch.tensor(library[cells, None], dtype=torch.float32)),
                batch_index=torch.tensor(batch[cells, None], dtype=torch.long),
            )
            parts.append(sp.csr_matrix(out["px"].sample().numpy().astype(np.float32)))
    return sp.vstack(parts).tocsr()
