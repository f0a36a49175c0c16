from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae import fingerprint


def test_one_word_for_arrays_matrices_and_names():
    x = np.array([[0.0, 2.0], [3.0, 0.0]], dtype=np.float32)
    rows, names = sp.csr_matrix(x), np.array(["a", "bc"])
    word = fingerprint.of_all(rows, names)
    assert word == fingerprint.of_all(sp.csr_matrix(x.copy()), ["a", "bc"])
    assert word == fingerprint.of_all(rows, pd.Index(["a", "bc"])), "the container of names does not count"
    wide = rows.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert word == fingerprint.of_all(wide, names), "nor the width of indices"
    changes = (sp.csr_matrix(x * 1.01), names), (rows, names[::-1]), (rows, ["ab", "c"]), (rows.T, names), (names, rows)
    words = {fingerprint.of_all(*parts) for parts in changes}
    assert len(words) == len(changes) and word not in words
