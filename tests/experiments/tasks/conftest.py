from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def cells():
    """Embedding, batch and label of 700 cells; one label and one batch hold a single cell."""
    generator = np.random.default_rng(0)
    label, batch = generator.integers(0, 3, 700), generator.integers(0, 4, 700)
    x = generator.normal(size=(700, 5)).astype(np.float32)
    x[:, 0] += 2 * label
    x[:, 1] += 0.6 * batch
    label[0], batch[1] = 7, 9
    return x, batch, label
