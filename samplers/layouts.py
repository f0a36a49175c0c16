"""Couplings in one of three layouts: a full array, CSR, or the block of a bipartite graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError

Layout = Literal["dense", "bipartite", "sparse"]


class Coupled:
    """Symmetric couplings of n spins with zero diagonal; what is derived from them is computed once.

    Parameters
    ----------
    values
        `(n, n)` symmetric float64 array or CSR array; with `n_visible` the block `(n_visible, n - n_visible)`.
    n_visible
        Spins of the first side, where the couplings are bipartite.
    """

    def __init__(self, values: np.ndarray | sp.csr_array, n_visible: int | None = None):
        self.values: Any = values
        self.n_visible = n_visible
        self.layout: Layout = "bipartite"
        if n_visible is None:
            self.layout = "dense" if isinstance(values, np.ndarray) else "sparse"
            # what is given needs no derivation, which would cost a lock a problem
            self.__dict__[self.layout] = values

    @cached_property
    def dense(self) -> np.ndarray:
        """Couplings as a symmetric `(n, n)` float64 array."""
        if self.layout == "sparse":
            return self.values.toarray()
        n, visible = sum(self.values.shape), self.n_visible
        full = np.zeros((n, n))
        full[:visible, visible:] = self.values
        return full + full.T

    @cached_property
    def sparse(self) -> sp.csr_array:
        """Couplings as a symmetric CSR array with sorted indices."""
        matrix = sp.csr_array(self.dense)
        matrix.sort_indices()
        return matrix

    @property
    def matrix(self) -> np.ndarray | sp.csr_array:
        """Couplings of all pairs: a CSR array where the layout is sparse, else a full array."""
        return self.values if self.layout == "sparse" else self.dense

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays, by name, that hold each coupling once."""
        if self.layout == "bipartite":
            return {"block": self.values}
        if self.layout == "dense":
            return {"upper": self.values[np.triu_indices(len(self.values), k=1)]}
        i, j, values = self.edges
        return {"i": i.astype(np.int32), "j": j.astype(np.int32), "values": values}

    @property
    def block(self) -> np.ndarray:
        """Couplings of a bipartite problem, `(n_visible, n_hidden)`.

        Raises
        ------
        InputError
            For couplings of another layout.
        """
        if self.layout != "bipartite":
            raise InputError(f"a {self.layout} problem has no bipartite block: make it with Ising.bipartite")
        return self.values

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The non-zero couplings `(i, j, value)` with i < j, in the order of (i, j)."""
        if self.layout == "dense":
            # by way of CSR this takes ten times as long
            i, j = np.triu_indices(len(self.values), 1)
            values = self.values[i, j]
            coupled = values != 0
            return (i, j, values) if coupled.all() else (i[coupled], j[coupled], values[coupled])
        upper = sp.triu(self.sparse, k=1).tocoo()
        order = np.lexsort((upper.col, upper.row))
        return upper.row[order].astype(np.int64), upper.col[order].astype(np.int64), upper.data[order]

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The pairs (i, j), i < j, that this layout may couple, whatever couplings are zero today."""
        if self.layout == "sparse":
            return self.edges[:2]
        i, j = np.triu_indices(len(self.dense), 1)
        across = np.ones(len(i), dtype=bool) if self.n_visible is None else (i < self.n_visible) & (j >= self.n_visible)
        return i[across], j[across]

    def couple(self, states: np.ndarray) -> np.ndarray:
        """Return `states @ J`, shape `(..., n)`, in the couplings' type."""
        spins = states.astype(self.values.dtype, copy=False)
        if self.layout == "bipartite":
            visible, hidden = spins[..., : self.n_visible], spins[..., self.n_visible :]
            return np.concatenate([hidden @ self.values.T, visible @ self.values], axis=-1)
        if self.layout == "sparse":
            flat = spins.reshape(int(np.prod(states.shape[:-1])), states.shape[-1])
            return np.ascontiguousarray((self.values @ flat.T).T).reshape(states.shape)
        return spins @ self.values

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Coupled:
        """Return couplings passed through `function`, which keeps shapes and 0."""
        if self.layout != "sparse":
            return Coupled(np.asarray(function(self.values)), self.n_visible)
        return self._with_data(function(self.values.data))

    def gauged(self, gauge: np.ndarray) -> Coupled:
        """Return `J_ij gauge_i gauge_j`."""
        if self.layout == "bipartite":
            nv = self.n_visible
            return Coupled(self.values * gauge[:nv, None] * gauge[None, nv:], nv)
        if self.layout == "sparse":
            rows = np.repeat(gauge, np.diff(self.values.indptr))
            return self._with_data(self.values.data * gauge[self.values.indices] * rows)
        return Coupled(self.values * np.outer(gauge, gauge))

    def restricted(self, spins: np.ndarray) -> Coupled:
        """Return the couplings among some spins, ascending indices."""
        if self.layout == "sparse":
            return Coupled(self.values[spins][:, spins])
        if self.layout == "dense":
            return Coupled(self.values[np.ix_(spins, spins)])
        visible, hidden = spins[spins < self.n_visible], spins[spins >= self.n_visible]
        if len(visible) and len(hidden):
            return Coupled(self.values[np.ix_(visible, hidden - self.n_visible)], len(visible))
        return Coupled(sp.csr_array((len(spins), len(spins))))

    def _with_data(self, data: np.ndarray) -> Coupled:
        matrix = self.values.copy()
        matrix.data = data
        matrix.eliminate_zeros()
        return Coupled(matrix)
