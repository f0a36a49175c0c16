"""What a problem is made of, checked: fields, couplings in three forms, labels; `InputError` names the spin at fault."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError


def checked_fields(h: Any) -> np.ndarray:
    """Return the fields as float64, `(n,)`."""
    fields = np.asarray(h, dtype=np.float64)
    if fields.ndim != 1:
        raise InputError(f"fields h have shape {fields.shape}: give one value a spin, shape (n,)")
    if not np.isfinite(fields).all():
        i = int(np.argmin(np.isfinite(fields)))
        raise InputError(f"field h[{i}] is {fields[i]}: fields must be finite")
    return fields


def symmetric_dense(J: Any, n: int) -> np.ndarray:
    """Return couplings given whole or as a triangle as a symmetric `(n, n)` float64 array."""
    couplings = np.asarray(J, dtype=np.float64)
    if couplings.shape != (n, n):
        raise InputError(f"J has shape {couplings.shape}, but h has {n} spins: give an ({n}, {n}) array")
    if not np.isfinite(couplings).all():
        i, j = np.argwhere(~np.isfinite(couplings))[0]
        raise InputError(f"coupling J[{i}, {j}] is {couplings[i, j]}: couplings must be finite")
    loops = np.flatnonzero(np.diagonal(couplings))
    if len(loops):
        raise InputError(f"spin {loops[0]} is coupled to itself (J[{loops[0]}, {loops[0]}]): set the diagonal to 0")
    if np.array_equal(couplings, couplings.T):
        return couplings
    if not np.tril(couplings).any() or not np.triu(couplings).any():
        return couplings + couplings.T
    if np.allclose(couplings, couplings.T, rtol=1e-6, atol=1e-12):
        return (couplings + couplings.T) / 2
    i, j = np.argwhere(couplings != couplings.T)[0]
    raise InputError(
        f"J is neither symmetric nor triangular: J[{i}, {j}] = {couplings[i, j]}, J[{j}, {i}] = {couplings[j, i]}; "
        "give each pair once, or the same value twice"
    )


def symmetric_csr(J: Any, n: int) -> sp.csr_array:
    """Return couplings given whole or as a triangle as a symmetric CSR array with sorted indices and no zeros."""
    couplings = sp.csr_array(J, dtype=np.float64)
    if couplings.shape != (n, n):
        raise InputError(f"J has shape {couplings.shape}, but h has {n} spins")
    couplings.sum_duplicates()
    if not np.isfinite(couplings.data).all():
        coo = couplings.tocoo()
        k = int(np.argmin(np.isfinite(coo.data)))
        raise InputError(f"coupling J[{coo.row[k]}, {coo.col[k]}] is {coo.data[k]}: couplings must be finite")
    loops = np.flatnonzero(couplings.diagonal())
    if len(loops):
        raise InputError(f"spin {loops[0]} is coupled to itself: remove the self-loop")
    if sp.triu(couplings, k=1).nnz and sp.tril(couplings, k=-1).nnz:
        gap = abs(couplings - couplings.T)
        if gap.nnz and gap.max() > 1e-6 * max(1e-6, abs(couplings).max()):
            raise InputError("J is neither symmetric nor triangular: give each pair once, or the same value twice")
        couplings = (couplings + couplings.T) / 2
    else:
        couplings = couplings + couplings.T
    couplings = sp.csr_array(couplings)
    couplings.eliminate_zeros()
    couplings.sort_indices()
    return couplings


def csr_from_mapping(J: Mapping[tuple[int, int], float], n: int) -> sp.csr_array:
    """Return couplings `{(i, j): value}` as an upper triangular CSR array."""
    pairs = np.array(list(J), dtype=np.int64).reshape(-1, 2)
    values = np.fromiter(J.values(), dtype=np.float64, count=len(J))
    outside = (pairs < 0) | (pairs >= n)
    if outside.any():
        i, j = pairs[outside.any(axis=1)][0]
        raise InputError(f"coupling ({i}, {j}) names a spin out of range: h has spins 0 to {n - 1}")
    # a pair given as (i, j) and as (j, i) is summed, as dimod does
    low, high = pairs.min(axis=1, initial=n), pairs.max(axis=1, initial=-1)
    return sp.csr_array(sp.coo_array((values, (low, high)), shape=(n, n)))


def checked_labels(labels: Sequence[Hashable] | None, n: int) -> Sequence[Hashable]:
    """Return the names of the spins; `range(n)` where there are none, or no others."""
    if labels is None or list(labels) == list(range(n)):
        return range(n)
    if len(labels) != n or len(set(labels)) != n:
        raise InputError(f"labels must be {n} different names, one a spin")
    return list(labels)
