"""PCA of the unintegrated data, and Harmony's correction of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.data.datasets import log_normalised
from experiments.methods.base import Fitted, Task
from samplers.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from anndata import AnnData


def fit_components(task: Task, n_components: int = 30, scale: bool = False, harmony: bool = False) -> Fitted:
    """Fit PCA of the log-normalised counts, and on request Harmony (Korsunsky et al. 2019) on top of it.

    Parameters
    ----------
    task
        The cells.
    n_components
        Principal components.
    scale
        Give every gene unit variance first (values beyond 10 standard deviations are cut), as Harmony's users do.
    harmony
        Correct the components for the batch; cells that were not fitted on cannot be embedded then.

    Raises
    ------
    MissingExtraError
        Where Harmony is asked for and not installed.
    """
    from sklearn.decomposition import PCA

    log = log_normalised(task.adata, task.layer).X
    log = log.toarray() if hasattr(log, "toarray") else log
    mean = log.mean(axis=0)
    deviation = log.std(axis=0) if scale else np.ones_like(mean)
    deviation[deviation == 0] = 1

    def prepare(x: np.ndarray) -> np.ndarray:
        return np.clip((x - mean) / deviation, -10, 10) if scale else x - mean

    prepared = prepare(log)
    pca = PCA(min(n_components, min(prepared.shape) - 1), random_state=task.seed).fit(prepared)
    fitted_on = pca.transform(prepared).astype(np.float32)
    if harmony and task.batch_key is not None and task.adata.obs[task.batch_key].nunique() > 1:
        try:
            import harmonypy
        except ImportError:
            raise MissingExtraError("harmonypy", "experiments") from None

        batch = pd.DataFrame({"batch": task.adata.obs[task.batch_key].astype(str).to_numpy()})
        corrected = harmonypy.run_harmony(fitted_on, batch, "batch", random_state=task.seed, ncores=1, verbose=False)
        fitted_on = np.asarray(corrected.Z_corr, dtype=np.float32)

    def embed(adata: AnnData | None = None) -> np.ndarray:
        if adata is None:
            return fitted_on
        if harmony:
            raise InputError("Harmony corrects the cells that it was fitted on; it cannot embed others")
        x = log_normalised(adata, task.layer).X
        return pca.transform(prepare(x.toarray() if hasattr(x, "toarray") else x)).astype(np.float32)

    return Fitted(embed, model=(pca.components_, mean, deviation), inductive=not harmony)
