"""The problem: an Ising model over spins -1/+1, in one of three layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from samplers.couplings import checked_fields, numbers, read, symmetric_csr, symmetric_dense
from samplers.errors import InputError
from samplers.layouts import Coupled, Layout
from samplers.states import clamped_spins

if TYPE_CHECKING:
    import dimod

#: Couplings as users have them: an array, a sparse matrix, or a mapping from pairs of spins.
Couplings: TypeAlias = ArrayLike | sp.sparray | sp.spmatrix | Mapping[tuple[Any, Any], float]


class Ising:
    r"""An Ising model, :math:`E(s) = h \cdot s + \sum_{i<j} J_{ij} s_i s_j + c`, with `dimod`'s sign.

    Its Boltzmann distribution at inverse temperature beta is :math:`p(s) \propto \exp(-\beta E(s))`.

    Parameters
    ----------
    h
        Fields, shape `(n,)`: an array, tensor, list or pandas Series; or a mapping `{label: value}`, in which spins that
        only `J` names have field 0.
    J
        Couplings: an `(n, n)` array or tensor, symmetric or triangular, with zero diagonal; a scipy sparse matrix or
        array of the same kind; a pandas DataFrame with labels; or a mapping `{(i, j): value}`. A symmetric array holds
        each coupling once, in two places; a pair that a mapping holds as (i, j) and as (j, i) is summed, as `dimod` does.
    offset
        The constant c (it cancels in probabilities, it counts in `log_partition`).
    labels
        Names of the spins, as `dimod` variables; by default those of a mapping `h`, else `range(n)`. Integers
        0 to n - 1 in a mapping are the spins' places.

    Raises
    ------
    InputError
        For a self-loop, a wrong shape, an unknown spin, or a value that is not a finite real number; the message names
        the spin.

    Notes
    -----
    `layout` is "dense" for an array, "sparse" for a matrix or mapping, "bipartite" when made by `Ising.bipartite`.
    """

    def __init__(
        self,
        h: ArrayLike | Mapping[Any, float],
        J: Couplings,
        *,
        offset: float = 0.0,
        labels: Sequence[Hashable] | None = None,
    ):
        fields, couplings, names = read(h, J, labels)
        self._fill(fields, Coupled(couplings), _offset(offset), names)

    def _fill(self, h: np.ndarray, coupled: Coupled, offset: float, labels: Sequence[Hashable]) -> Ising:
        self.h, self.coupled, self.offset, self.labels = h, coupled, offset, labels
        return self

    @classmethod
    def unchecked(cls, h: np.ndarray, J: np.ndarray, *, offset: float = 0.0) -> Ising:
        """Return a dense problem of float64 arrays known to be finite, J symmetric with zero diagonal: one a step is made.

        Parameters
        ----------
        h, J, offset
            As in the constructor; the arrays are kept, not copied.
        """
        return cls.__new__(cls)._fill(h, Coupled(J), float(offset), range(len(h)))

    @classmethod
    def bipartite(cls, h_visible: ArrayLike, h_hidden: ArrayLike, W: ArrayLike, *, offset: float = 0.0) -> Ising:
        """Return the problem of a restricted Boltzmann machine.

        Parameters
        ----------
        h_visible, h_hidden
            Fields, shapes `(n_visible,)` and `(n_hidden,)`; the visible spins come first.
        W
            Couplings, shape `(n_visible, n_hidden)`.
        offset
            The constant of the energy.

        Raises
        ------
        InputError
            For shapes that do not fit, or a value that is not a finite real number.
        """
        h_visible, h_hidden = checked_fields(h_visible), checked_fields(h_hidden)
        block = numbers("W", W)
        if block.shape != (len(h_visible), len(h_hidden)):
            raise InputError(
                f"W has shape {block.shape}, but the fields ask for {(len(h_visible), len(h_hidden))} (visible, hidden)"
            )
        if not np.isfinite(block).all():
            i, j = np.argwhere(~np.isfinite(block))[0]
            raise InputError(f"W[{i}, {j}] (visible, hidden) is {block[i, j]}: couplings must be finite")
        fields = np.concatenate([h_visible, h_hidden])
        return cls.__new__(cls)._fill(fields, Coupled(block, len(h_visible)), _offset(offset), range(len(fields)))

    @classmethod
    def from_binary(cls, b: ArrayLike, W: ArrayLike | sp.sparray | sp.spmatrix) -> Ising:
        r"""Return the problem whose distribution over z in {0, 1} is :math:`\exp(b \cdot z + z^T W z / 2) / Z`.

        Parameters
        ----------
        b
            Biases, shape `(n,)`.
        W
            Couplings, `(n, n)` symmetric with zero diagonal, dense or sparse.

        Raises
        ------
        InputError
            As the constructor; a triangular `W` is taken as one half of a symmetric one.

        Notes
        -----
        With z = (1 + s) / 2, the energy over spins equals :math:`-b \cdot z - z^T W z / 2` exactly, constant included,
        so that log Z is the same in both.
        """
        b = checked_fields(b)
        W = symmetric_csr(W, len(b)) if sp.issparse(W) else symmetric_dense(W, len(b))
        rows = np.asarray(W.sum(axis=1)).ravel()
        offset = float(-b.sum() / 2 - rows.sum() / 8)
        return cls.__new__(cls)._fill(-b / 2 - rows / 4, Coupled(W * -0.25), offset, range(len(b)))

    @classmethod
    def from_bqm(cls, bqm: dimod.BinaryQuadraticModel) -> Ising:
        """Return the problem of a `dimod` binary quadratic model of either vartype; the spins keep its variables' order.

        Parameters
        ----------
        bqm
            The model; its offset is kept.

        Raises
        ------
        InputError
            For a model with constraints or with other than two-valued variables, and for biases that are not finite.
        """
        from samplers.bqm import parts_of

        fields, couplings, offset, labels = parts_of(bqm)
        names = range(len(labels)) if labels == list(range(len(labels))) else labels
        return cls.__new__(cls)._fill(fields, Coupled(couplings), _offset(offset), names)

    def to_bqm(self, vartype: Literal["SPIN", "BINARY"] = "SPIN") -> dimod.BinaryQuadraticModel:
        """Return the problem as a `dimod` binary quadratic model, energies equal for every state.

        Parameters
        ----------
        vartype
            "SPIN" or "BINARY".
        """
        from samplers.bqm import model_of

        return model_of(self.h, self.edges, self.offset, self.labels, vartype)

    @property
    def n(self) -> int:
        """Number of spins."""
        return len(self.h)

    @property
    def n_visible(self) -> int | None:
        """Number of visible spins of a bipartite problem, else None."""
        return self.coupled.n_visible

    @property
    def layout(self) -> Layout:
        """How the couplings are held, "dense", "bipartite" or "sparse"."""
        return self.coupled.layout

    @property
    def J(self) -> np.ndarray | sp.csr_array:
        """Couplings, symmetric with zero diagonal, `(n, n)`; an array, or a CSR array where the layout is sparse."""
        return self.coupled.matrix

    @property
    def dense(self) -> np.ndarray:
        """Couplings as a symmetric `(n, n)` float64 array, whatever the layout."""
        return self.coupled.dense

    @property
    def sparse(self) -> sp.csr_array:
        """Couplings as a symmetric CSR array with sorted indices, whatever the layout."""
        return self.coupled.sparse

    @property
    def block(self) -> np.ndarray:
        """Couplings of a bipartite problem, `(n_visible, n_hidden)`."""
        return self.coupled.block

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The non-zero couplings `(i, j, value)` with i < j, in the order of (i, j)."""
        return self.coupled.edges

    @cached_property
    def content_hash(self) -> str:
        """A SHA-256 of fields, couplings and offset; equal for equal energies in the same order of spins."""
        digest = hashlib.sha256(np.ascontiguousarray(self.h + 0.0).tobytes())
        for part in (*self.edges, np.array([self.offset + 0.0])):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def couple(self, states: np.ndarray) -> np.ndarray:
        """Return `states @ J`, shape `(..., n)` float64: what the other spins add to each spin's energy."""
        return self.coupled.couple(np.asarray(states))

    def local_fields(self, states: np.ndarray) -> np.ndarray:
        """Return the field that acts on each spin, F = -(h + J s), shape `(..., n)`; E[s_i | rest] = tanh(beta F_i)."""
        return -(self.h + self.couple(states))

    def energies(self, states: np.ndarray) -> np.ndarray:
        """Return E(s) of each state; `(..., n)` spins to `(...)` float64.

        Raises
        ------
        InputError
            For states of another width.
        """
        states = np.asarray(states)
        if states.shape[-1:] != (self.n,):
            raise InputError(f"states have shape {states.shape}; the problem has {self.n} spins")
        spins = states.astype(np.float64)
        return spins @ self.h + 0.5 * np.einsum("...i,...i->...", spins, self.couple(states)) + self.offset

    def condition(self, clamped: Mapping[Any, int]) -> tuple[Ising, np.ndarray]:
        """Return the problem over the free spins given the clamped ones, and the indices of the free spins.

        Parameters
        ----------
        clamped
            Spin, by its index or label, to -1 or +1.
        """
        fixed = np.zeros(self.n)
        for spin, value in clamped_spins(clamped, self.labels).items():
            fixed[spin] = value
        free = np.flatnonzero(fixed == 0)
        push = self.couple(fixed)
        offset = self.offset + float(self.h @ fixed + 0.5 * fixed @ push)
        return self.restricted(free).with_fields((self.h + push)[free], offset), free

    def restricted(self, spins: np.ndarray) -> Ising:
        """Return the problem of some spins alone, ascending indices `(k,)`; labels stay behind."""
        return Ising.__new__(Ising)._fill(self.h[spins], self.coupled.restricted(spins), self.offset, range(len(spins)))

    def with_fields(self, h: ArrayLike, offset: float | None = None) -> Ising:
        """Return the problem with other fields and the same couplings, which are shared, not copied.

        Parameters
        ----------
        h
            Fields, `(n,)`.
        offset
            The constant; this problem's by default.

        Raises
        ------
        InputError
            For fields of another shape, or that are not finite real numbers.
        """
        fields = checked_fields(h)
        if fields.shape != self.h.shape:
            raise InputError(f"fields have shape {fields.shape}, but the problem has {self.n} spins")
        constant = self.offset if offset is None else _offset(offset)
        return Ising.__new__(Ising)._fill(fields, self.coupled, constant, self.labels)

    def map_couplings(self, function: Callable[[np.ndarray], np.ndarray]) -> Ising:
        """Return the problem with every coupling passed through `function`, which keeps shapes and 0, in its layout."""
        return Ising.__new__(Ising)._fill(self.h, self.coupled.map(function), self.offset, self.labels)

    def gauged(self, gauge: np.ndarray) -> Ising:
        """Return the problem in which spin i counts as `gauge[i]`, -1 or +1, times itself: E'(gauge * s) = E(s)."""
        return Ising.__new__(Ising)._fill(self.h * gauge, self.coupled.gauged(gauge), self.offset, self.labels)

    def scaled(self, factor: float) -> Ising:
        """Return the problem with every energy multiplied by `factor`."""
        scaled = self.coupled.map(lambda values: values * factor)
        return Ising.__new__(Ising)._fill(self.h * factor, scaled, self.offset * factor, self.labels)

    @property
    def magnitude(self) -> float:
        """A bound on the energies: the absolute fields and couplings summed, and the offset."""
        return float(np.abs(self.h).sum() + np.abs(self.edges[2]).sum() + abs(self.offset))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ising) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        return f"Ising({self.n} spins, {len(self.edges[0])} couplings, {self.layout})"


def _offset(offset: Any) -> float:
    found = numbers("the offset", offset)
    if found.shape != () or not np.isfinite(found):
        raise InputError(f"the offset of an Ising problem must be a finite number, not {offset!r}")
    return float(found)
