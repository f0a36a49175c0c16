"""SysVI (Hrovatin et al. 2023): VampPrior and latent cycle-consistency, on log-normalised values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.data.datasets import log_normalised
from experiments.methods.base import Fitted, Task
from experiments.methods.scvi import finish
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def fit_sysvi(task: Task, n_latent: int = 15, cycle: float = 5.0) -> Fitted:
    """Fit SysVI (Hrovatin et al. 2023): VampPrior and latent cycle-consistency, on log-normalised values.

    Parameters
    ----------
    task
        The cells.
    n_latent
        Latent dimensions.
    cycle
        Weight of the cycle-consistency.

    Raises
    ------
    InputError
        Without two batches.
    """
    import scvi
    from scvi.external import SysVI

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
