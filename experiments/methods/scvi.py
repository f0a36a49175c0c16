"""What the models of scvi-tools need beside their own methods: snapshots, curves, generation, bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.methods.base import Fitted, quiet

if TYPE_CHECKING:
    from anndata import AnnData

    from experiments.methods.base import Task


def curves(history: Any) -> pd.DataFrame:
    """Return a history of one-column frames as one table by epoch."""
    columns = {}
    for name, frame in (history or {}).items():
        values = pd.to_numeric(frame.iloc[:, 0], errors="coerce")
        if name.endswith("_step") or len(values) == 0:
            continue
        columns[name] = values[~values.index.duplicated(keep="last")]
    table = pd.DataFrame(columns)
    table.index.name = "epoch"
    return table


def snapshot_callback(model: Any, epochs: Sequence[int], store: dict[int, np.ndarray]) -> Any:
    """Return a Lightning callback that keeps the embedding of all cells after some epochs."""
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


def borrow_batch(adata: AnnData, model: Any, batch_key: str | None) -> AnnData:
    """Return cells whose unseen batches are named as a known one: an encoder that never sees the batch may embed them."""
    if batch_key is None:
        return adata.copy()
    known = known_batches(model)
    values = adata.obs[batch_key].astype(str)
    copy = adata.copy()
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
        return borrow_batch(adata if prepare is None else prepare(adata), model, task.batch_key)

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
        history=curves(model.history),
        model=model,
        by_epoch=by_epoch,
        generate=(lambda n, seed: prior_counts(model, n, seed)) if plain else None,
        bounds=bounds if plain else None,
        novelty=novelty if plain else None,
    )


def prior_counts(model: Any, n_cells: int, seed: int = 0) -> Any:
    """Return counts drawn from SCVI's prior, CSR `(n_cells, n_genes)`, at training cells' depths and batches."""
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
