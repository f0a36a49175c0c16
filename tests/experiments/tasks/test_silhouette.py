from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.silhouette import silhouette_batch, silhouette_samples


def test_silhouettes_equal_scib_metrics(cells):
    import scib_metrics
    from sklearn.metrics import silhouette_samples as oracle

    x, batch, label = cells
    assert silhouette_samples(x, label) == pytest.approx(oracle(x.astype(float), label), abs=1e-6)
    assert silhouette_samples(x, label, "cosine") == pytest.approx(oracle(x, label, metric="cosine"), abs=1e-6)
    assert silhouette_batch(x, label, batch) == pytest.approx(scib_metrics.silhouette_batch(x, label, batch), abs=1e-5)
    bras = silhouette_batch(x, label, batch, "cosine", "mean_other")
    assert bras == pytest.approx(float(scib_metrics.bras(x, label, batch)), abs=1e-4)
    assert np.isnan(silhouette_batch(x[:5], np.arange(5), batch[:5]))
