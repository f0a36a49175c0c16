"""A short hash of what arrays hold: do a resumed fit and its checkpoint see the same data?"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import scipy.sparse as sp


def fingerprint(*parts: Any) -> str:
    """Return a short hash of the content of arrays, sparse matrices and columns of names."""
    digest = hashlib.sha256()
    for part in parts:
        if sp.issparse(part):
            part = part.tocsr()
            pieces = [part.indptr.astype(np.int64), part.indices.astype(np.int64), part.data]
        else:
            array = np.asarray(part)
            pieces = [np.array("\x00".join(map(str, array)).encode()) if array.dtype.kind in "OUS" else array]
        for piece in pieces:
            digest.update(f"{piece.shape}{piece.dtype}".encode())
            digest.update(np.ascontiguousarray(piece).tobytes())
    return digest.hexdigest()[:16]
