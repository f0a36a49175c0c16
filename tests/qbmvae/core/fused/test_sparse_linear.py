from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
import torch

from qbmvae.core.csr import take_rows
from qbmvae.core.fused.sparse_linear import sparse_linear


def test_equals_the_dense_product_and_its_gradient():
    rng = np.random.default_rng(0)
    m = sp.random(40, 90, 0.2, format="csr", random_state=1, dtype=np.float32)
    rows = rng.permutation(40)[:17]
    block = take_rows(m.indptr, m.indices, m.data, rows, 90)
    np.testing.assert_array_equal(block.dense().numpy(), m[rows].toarray())
    weight = torch.randn(90, 33, requires_grad=True)
    out = sparse_linear(block, weight)
    dense = torch.tensor(m[rows].toarray(), dtype=torch.float64)
    torch.testing.assert_close(out.double(), dense @ weight.detach().double(), rtol=1e-5, atol=1e-5)
    push = torch.randn(17, 33)
    out.backward(push)
    torch.testing.assert_close(weight.grad.double(), dense.T @ push.double(), rtol=1e-5, atol=1e-5)


def test_empty_rows_and_read_only_counts():
    m = sp.csr_matrix((3, 5), dtype=np.float32)
    block = take_rows(m.indptr, m.indices, m.data, np.arange(3), 5)
    assert not sparse_linear(block, torch.ones(5, 4)).any()
    full = take_rows(*(np.array(a) for a in ([0, 1, 3], [4, 0, 1])), np.ones(3, dtype=np.float32), np.arange(2), 5)
    for array in (full.indptr, full.indices, full.data):
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sparse_linear(full, torch.ones(5, 1)).flatten().tolist() == [1.0, 2.0]
