"""The problem: an Ising model over spins -1/+1, in one of three layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from samplers.couplings import checked_fields, checked_labels, csr_from_mapping, symmetric_csr, symmetric_dense
from samplers.errors import InputError

if TYPE_CHECKING:
    import dimod

Layout = Literal["dense", "bipartite", "sparse"]


class Ising:
    r"""An Ising model, :math:`E(s) = h \cdot s + \sum_{i<j} J_{ij} s_i s_j + c`, with `dimod`'s sign.

    Its Boltzmann distribution at inverse temperature beta is :math:`p(s) \propto \exp(-\beta E(s))`.

    Parameters
    ----------
    h
        Fields, shape `(n,)`.
    J
        Couplings: an `(n, n)` array, symmetric or upper triangular, with zero diagonal; a scipy sparse matrix of the
        same kind; or a mapping `{(i, j): value}` with integer spins.
    offset
        The constant c (it cancels in probabilities, it counts in `log_partition`).
    labels
        Names of the spins, as `dimod` variables; `range(n)` by default.

    Raises
    ------
    InputError
        For a self-loop, a wrong shape, a spin out of range or a value that is not finite; the message names the spin.

    Notes
    -----
    `layout` is "dense" for an array, "sparse" for a matrix or mapping, "bipartite" when made by `Ising.bipartite`.
    """

    def __init__(
        self,
        h: Any,
        J: Any,
        *,
        offset: float = 0.0,
        labels: Sequence[Hashable] | None = None,
    ):
        self.h = checked_fields(h)
        self.offset = float(offset)
        self.n_visible: int | None = None
        self._dense: np.ndarray | None = None
        self._sparse: sp.csr_array | None = None
        self._block: np.ndarray | None = None
        if isinstance(J, Mapping):
            self._sparse = symmetric_csr(csr_from_mapping(J, self.n), self.n)
        elif sp.issparse(J):
            self._sparse = symmetric_csr(J, self.n)
        else:
            self._dense = symmetric_dense(J, self.n)
        self.labels = checked_labels(labels, self.n)
        if not np.isfinite(self.offset):
            raise InputError(f"the offset of an Ising problem must be finite, not {offset}")

    @classmethod
    def unchecked(cls, h: np.ndarray, J: np.ndarray, *, offset: float = 0.0) -> Ising:
        """Return a dense problem of float64 arrays known to be finite, J symmetric with zero diagonal: one a step is made.

        Parameters
        ----------
        h, J, offset
            As in the constructor; the arrays are kept, not copied.
        """
        problem = cls.__new__(cls)
        problem.h, problem.offset, problem.n_visible = h, float(offset), None
        problem._dense, problem._sparse, problem._block = J, None, None
        problem.labels = range(len(h))
        return problem

    @classmethod
    def bipartite(cls, h_visible: Any, h_hidden: Any, W: Any, *, offset: float = 0.0) -> Ising:
        """Return the problem of a restricted Boltzmann machine.

        Parameters
        ----------
        h_visible, h_hidden
            Fields, shapes `(n_visible,)` and `(n_hidden,)`; the visible spins come first.
        W
            Couplings, shape `(n_visible, n_hidden)`.
        offset
            The constant of the energy.
        """
        h_visible, h_hidden = checked_fields(h_visible), checked_fields(h_hidden)
        block = np.asarray(W, dtype=np.float64)
        if block.shape != (len(h_visible), len(h_hidden)):
            raise InputError(
                f"W has shape {block.shape}, but the fields ask for {(len(h_visible), len(h_hidden))} (visible, hidden)"
            )
        if not np.isfinite(block).all():
            i, j = np.argwhere(~np.isfinite(block))[0]
            raise InputError(f"W[{i}, {j}] (visible, hidden) is {block[i, j]}: couplings must be finite")
        problem = cls.__new__(cls)
        problem.h = np.concatenate([h_visible, h_hidden])
        problem.offset = float(offset)
        problem.n_visible = len(h_visible)
        problem._dense, problem._sparse, problem._block = None, None, block
        problem.labels = range(problem.n)
        return problem

    @classmethod
    def from_binary(cls, b: Any, W: Any) -> Ising:
        r"""Return the problem whose distribution over z in {0, 1} is :math:`\exp(b \cdot z + z^T W z / 2) / Z`.

        Parameters
        ----------
        b
            Biases, shape `(n,)`.
        W
            Couplings, `(n, n)` symmetric with zero diagonal, dense or sparse.

        Notes
        -----
        With z = (1 + s) / 2, the energy over spins equals :math:`-b \cdot z - z^T W z / 2` exactly, constant included,
        so that log Z is the same in both.
        """
        b = checked_fields(b)
        rows = np.asarray(W.sum(axis=1)).ravel()
        return cls(-b / 2 - rows / 4, W * -0.25, offset=float(-b.sum() / 2 - rows.sum() / 8))

    @classmethod
    def from_bqm(cls, bqm: dimod.BinaryQuadraticModel) -> Ising:
        """Return the problem of a `dimod` binary quadratic model of either vartype; the spins keep its variables' order."""
        spin = bqm.spin
        index = {v: i for i, v in enumerate(bqm.variables)}
        fields = np.array([spin.linear[v] for v in bqm.variables], dtype=np.float64)
        couplings = {(index[u], index[v]): bias for (u, v), bias in spin.quadratic.items()}
        n = len(index)
        labels = list(bqm.variables)
        if n and len(couplings) > 0.25 * n * (n - 1) / 2:
            return cls(fields, csr_from_mapping(couplings, n).toarray(), offset=float(spin.offset), labels=labels)
        return cls(fields, couplings, offset=float(spin.offset), labels=labels)

    def to_bqm(self, vartype: Literal["SPIN", "BINARY"] = "SPIN") -> dimod.BinaryQuadraticModel:
        """Return the problem as a `dimod` binary quadratic model, energies equal for every state.

        Parameters
        ----------
        vartype
            "SPIN" or "BINARY".
        """
        import dimod

        i, j, values = self.edges
        bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
            self.h, (i, j, values), self.offset, dimod.SPIN, variable_order=list(range(self.n))
        )
        if self.labels != range(self.n):
            bqm.relabel_variables(dict(enumerate(self.labels)))
        return bqm if vartype == "SPIN" else bqm.change_vartype(dimod.as_vartype(vartype), inplace=False)

    @property
    def n(self) -> int:
        """Number of spins."""
        return len(self.h)

    @property
    def layout(self) -> Layout:
        """How the couplings are held, "dense", "bipartite" or "sparse"."""
        return "dense" if self._dense is not None else "sparse" if self._sparse is not None else "bipartite"

    @property
    def J(self) -> np.ndarray | sp.csr_array:
        """Couplings, symmetric with zero diagonal, `(n, n)`; an array, or a CSR array where the layout is sparse."""
        return self._sparse if self._sparse is not None else self.dense

    @cached_property
    def dense(self) -> np.ndarray:
        """Couplings as a symmetric `(n, n)` float64 array, whatever the layout."""
        if self._dense is not None:
            return self._dense
        if self._sparse is not None:
            return self._sparse.toarray()
        assert self._block is not None and self.n_visible is not None
        full = np.zeros((self.n, self.n))
        full[: self.n_visible, self.n_visible :] = self._block
        return full + full.T

    @cached_property
    def sparse(self) -> sp.csr_array:
        """Couplings as a symmetric CSR array with sorted indices, whatever the layout."""
        if self._sparse is not None:
            return self._sparse
        matrix = sp.csr_array(self.dense)
        matrix.sort_indices()
        return matrix

    @property
    def block(self) -> np.ndarray:
        """Couplings of a bipartite problem, `(n_visible, n_hidden)`."""
        if self._block is None:
            raise InputError(f"a {self.layout} problem has no bipartite block: make it with Ising.bipartite")
        return self._block

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The non-zero couplings `(i, j, value)` with i < j, in the order of (i, j)."""
        if self._dense is not None:
            # by way of CSR this takes ten times as long
            i, j = np.triu_indices(self.n, 1)
            values = self._dense[i, j]
            coupled = values != 0
            return (i, j, values) if coupled.all() else (i[coupled], j[coupled], values[coupled])
        upper = sp.triu(self.sparse, k=1).tocoo()
        order = np.lexsort((upper.col, upper.row))
        return upper.row[order].astype(np.int64), upper.col[order].astype(np.int64), upper.data[order]

    @cached_property
    def content_hash(self) -> str:
        """A SHA-256 of fields, couplings and offset; equal for equal energies in the same order of spins."""
        digest = hashlib.sha256(np.ascontiguousarray(self.h + 0.0).tobytes())
        for part in (*self.edges, np.array([self.offset + 0.0])):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def couple(self, states: np.ndarray) -> np.ndarray:
        """Return `states @ J`, shape `(..., n)` float64: what the other spins add to each spin's energy."""
        states = np.asarray(states)
        if self._block is not None:
            visible = states[..., : self.n_visible].astype(np.float64)
            hidden = states[..., self.n_visible :].astype(np.float64)
            return np.concatenate([hidden @ self._block.T, visible @ self._block], axis=-1)
        if self._sparse is not None:
            flat = states.reshape(-1, self.n).astype(np.float64)
            return np.asarray((self._sparse @ flat.T).T).reshape(states.shape)
        return states.astype(np.float64) @ self.dense

    def local_fields(self, states: np.ndarray) -> np.ndarray:
        """Return the field that acts on each spin, F = -(h + J s), shape `(..., n)`; E[s_i | rest] = tanh(beta F_i)."""
        return -(self.h + self.couple(states))

    def energies(self, states: np.ndarray) -> np.ndarray:
        """Return E(s) of each state; `(..., n)` spins to `(...)` float64."""
        states = np.asarray(states)
        if states.shape[-1:] != (self.n,):
            raise InputError(f"states have shape {states.shape}; the problem has {self.n} spins")
        spins = states.astype(np.float64)
        return spins @ self.h + 0.5 * np.einsum("...i,...i->...", spins, self.couple(states)) + self.offset

    def condition(self, clamped: Mapping[int, int]) -> tuple[Ising, np.ndarray]:
        """Return the problem over the free spins given the clamped ones, and the indices of the free spins.

        Parameters
        ----------
        clamped
            Spin index to -1 or +1.
        """
        spins, values = check_clamped(clamped, self.n)
        free = np.setdiff1d(np.arange(self.n), spins)
        fixed = np.zeros(self.n)
        fixed[spins] = values
        push = self.couple(fixed)
        offset = self.offset + float(self.h @ fixed + 0.5 * fixed @ push)
        h = (self.h + push)[free]
        if self._block is not None:
            assert self.n_visible is not None
            visible, hidden = free[free < self.n_visible], free[free >= self.n_visible]
            if len(visible) and len(hidden):
                block = self._block[np.ix_(visible, hidden - self.n_visible)]
                return Ising.bipartite(h[: len(visible)], h[len(visible) :], block, offset=offset), free
            return Ising(h, {}, offset=offset), free
        couplings = self._sparse[free][:, free] if self._sparse is not None else self.dense[np.ix_(free, free)]
        return Ising(h, couplings, offset=offset), free

    def scaled(self, factor: float) -> Ising:
        """Return the problem with every energy multiplied by `factor`."""
        if self._block is not None:
            nv = self.n_visible
            return Ising.bipartite(
                self.h[:nv] * factor, self.h[nv:] * factor, self._block * factor, offset=self.offset * factor
            )
        return Ising(self.h * factor, self.J * factor, offset=self.offset * factor, labels=self.labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ising) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        return f"Ising({self.n} spins, {len(self.edges[0])} couplings, {self.layout})"


def check_clamped(clamped: Mapping[int, int], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return clamped spins and their values as arrays; raise `InputError` for a spin out of range or a value not ±1."""
    for spin, value in clamped.items():
        if not 0 <= int(spin) < n:
            raise InputError(f"clamped spin {spin} is out of range: the problem has spins 0 to {n - 1}")
        if value not in (-1, 1):
            raise InputError(f"clamped spin {spin} has value {value}: spins take -1 or +1")
    spins = np.array([int(s) for s in clamped], dtype=np.int64)
    return spins, np.array(list(clamped.values()), dtype=np.int8)
