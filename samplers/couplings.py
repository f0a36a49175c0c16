"""Fields, couplings and labels in every form that users have them; `InputError` names the spin at fault."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError, nearest

Labels = Sequence[Hashable]


def read(h: Any, J: Any, labels: Any) -> tuple[np.ndarray, np.ndarray | sp.csr_array, Labels]:
    """Return fields `(n,)`, symmetric couplings `(n, n)`, dense or CSR as they were given, and the spins' labels.

    Parameters
    ----------
    h, J, labels
        As in `Ising`.

    Raises
    ------
    InputError
        For anything that is not a problem; the message says what.
    """
    if labels is not None:
        labels = _checked_labels(labels)
    mapped = isinstance(J, Mapping) and not sp.issparse(J)
    if mapped or isinstance(h, Mapping) or (hasattr(h, "index") and hasattr(h, "to_numpy")):
        h, J, labels = _by_label(h, J, labels)
    elif hasattr(J, "columns") and hasattr(J, "to_numpy"):
        labels, J = _frame(J, labels)
    fields = checked_fields(h)
    n = len(fields)
    if labels is not None and len(labels) != n:
        raise InputError(f"labels name {len(labels)} spins, but h has {n}")
    couplings = symmetric_csr(J, n) if sp.issparse(J) else symmetric_dense(J, n)
    return fields, couplings, range(n) if labels is None or list(labels) == list(range(n)) else labels


def numbers(name: str, value: Any) -> np.ndarray:
    """Return real numbers as a float64 array; complex ones, booleans, texts, masked and missing values are refused.

    Parameters
    ----------
    name
        What messages call the value.
    value
        An array, tensor, sequence or table.

    Raises
    ------
    InputError
        For what holds anything but real numbers; the message begins with `name`.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.to_dense() if value.layout != _strided(value) else value).numpy()
    if np.ma.is_masked(value):
        raise InputError(f"{name} holds masked values: fill them")
    try:
        array = np.asarray(value)
        # Fractions, Decimals and integers beyond 64 bits are objects that float() reads
        if array.dtype.kind == "O" and any(isinstance(v, str | bytes | bool | np.bool_ | None) for v in array.ravel()):
            raise TypeError("texts, booleans or None are among them")
        array = array.astype(np.float64) if array.dtype.kind in "iufO" else array
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must hold numbers, in rows of equal length ({error})") from None
    if array.dtype.kind != "f":
        raise InputError(f"{name} is of type {array.dtype}: give real numbers")
    return array


def _strided(tensor: Any) -> Any:
    import torch

    return torch.strided


def checked_fields(h: Any) -> np.ndarray:
    """Return the fields as float64, `(n,)`.

    Raises
    ------
    InputError
        For another shape, and for a field that is not a finite real number.
    """
    if h is None or sp.issparse(h):
        raise InputError("fields h must be an array (n,), zeros where there are none, or a mapping from spin to field")
    fields = numbers("h", h)
    if fields.ndim != 1:
        raise InputError(f"fields h have shape {fields.shape}: give one value a spin, shape (n,)")
    if not np.isfinite(fields).all():
        i = int(np.argmin(np.isfinite(fields)))
        raise InputError(f"field h[{i}] is {fields[i]}: fields must be finite")
    return fields


def symmetric_dense(J: Any, n: int) -> np.ndarray:
    """Return couplings given in full or as a triangle as a symmetric `(n, n)` float64 array.

    Raises
    ------
    InputError
        For a wrong shape, a self-loop, two different triangles, or a value that is not a finite real number.
    """
    if hasattr(J, "adj") and hasattr(J, "nodes"):
        raise InputError("J is a graph: give networkx.to_scipy_sparse_array(graph), or {(i, j): value}")
    couplings = numbers("J", J)
    if couplings.shape == (0,):
        return np.zeros((n, n))
    if couplings.shape != (n, n):
        hint = "; edges go in as {(i, j): value}" if couplings.ndim == 2 and couplings.shape[1] == 3 else ""
        raise InputError(f"J has shape {couplings.shape}, but h has {n} spins: give an ({n}, {n}) array{hint}")
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
    """Return couplings given in full or as a triangle as a symmetric CSR array with sorted indices and no zeros.

    Raises
    ------
    InputError
        For a wrong shape, a self-loop, two different triangles, or a value that is not a finite real number.
    """
    if J.dtype.kind not in "iuf":
        raise InputError(f"J is of type {J.dtype}: give real numbers")
    if J.shape != (n, n):
        raise InputError(f"J has shape {J.shape}, but h has {n} spins")
    # to float64 first: small integers would overflow where entries are summed
    couplings = sp.csr_array(J.astype(np.float64))
    couplings.sum_duplicates()
    if not np.isfinite(couplings.data).all():
        coo = couplings.tocoo()
        k = int(np.argmin(np.isfinite(coo.data)))
        raise InputError(f"coupling J[{coo.row[k]}, {coo.col[k]}] is {coo.data[k]}: couplings must be finite")
    loops = np.flatnonzero(couplings.diagonal())
    if len(loops):
        raise InputError(f"spin {loops[0]} is coupled to itself: remove the self-loop")
    couplings.eliminate_zeros()
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


def _checked_labels(labels: Any) -> Labels:
    """Return the names of the spins as a list; raise `InputError` where one comes twice or cannot be a name."""
    names = list(labels)
    try:
        twice = len(set(names)) != len(names)
    except TypeError:
        raise InputError("labels must be hashable, such as numbers, texts or tuples") from None
    if twice:
        raise InputError("labels must be different names, one a spin")
    return names


def upper_csr(i: np.ndarray, j: np.ndarray, values: np.ndarray, n: int) -> sp.csr_array:
    """Return couplings of pairs as an upper triangular CSR array; a pair that comes twice is summed, as `dimod` does.

    Parameters
    ----------
    i, j
        Spins of each pair, in either order.
    values
        Their couplings.
    n
        Number of spins.
    """
    low, high = np.minimum(i, j), np.maximum(i, j)
    return sp.csr_array(sp.coo_array((values, (low, high)), shape=(n, n)))


def _by_label(h: Any, J: Any, labels: Labels | None) -> tuple[Any, Any, Labels | None]:
    """Return fields and couplings by index, and the labels, where one of the two is given by label."""
    pairs = _pairs(J) if isinstance(J, Mapping) and not sp.issparse(J) else None
    if hasattr(h, "to_numpy"):
        h = _series(h, J, labels)
    if not isinstance(h, Mapping):
        # the fields have an order of their own: keys of J are indices, or the labels that come with it
        n = len(checked_fields(h))
        return h, _from_pairs(J, pairs, n, labels), labels
    if labels is None:
        if pairs is None:
            names: list[Hashable] = list(h)
            frame = _frame(J, None)[0] if hasattr(J, "columns") else None
            names = names if frame is None else list(dict.fromkeys([*names, *frame]))
        else:
            # the order of dimod: fields first, then what only couplings name
            names = list(dict.fromkeys([*h, *(v for pair in pairs for v in pair)]))
        integers = all(isinstance(v, int | np.integer) for v in names)
        labels = sorted(names) if integers and set(names) == set(range(len(names))) else names  # type: ignore[type-var]
    unknown = [v for v in h if v not in set(labels)]
    if unknown:
        raise InputError(f"h names spin {unknown[0]!r}, which is none of the labels{nearest(unknown[0], labels)}")
    fields = numbers("h", [h.get(v, 0.0) for v in labels])
    if not np.isfinite(fields).all():
        name = labels[int(np.argmin(np.isfinite(fields)))]
        raise InputError(f"field h[{name!r}] is {h[name]}: fields must be finite")
    if pairs is None:
        J = _frame(J, labels)[1] if hasattr(J, "columns") else J
        return fields, J, labels
    index = {v: k for k, v in enumerate(labels)}
    return fields, _from_index(J, pairs, index), labels


def _pairs(J: Mapping[Any, Any]) -> list[tuple[Hashable, Hashable]]:
    for pair in J:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InputError(f"J names the coupling {pair!r}: keys are pairs of spins, such as (0, 1)")
    return list(J)


def _values(J: Mapping[Any, Any]) -> np.ndarray:
    try:
        values = numbers("J", list(J.values()))
    except InputError:
        values = np.array([np.nan])
    if values.ndim != 1 or not np.isfinite(values).all():
        for pair, value in J.items():
            if (
                not (np.isscalar(value) or hasattr(value, "__float__"))
                or np.iscomplexobj(value)
                or isinstance(value, str | bool)
            ):
                raise InputError(f"coupling J[{pair}] is {value!r}: couplings must be numbers")
            if not np.isfinite(float(value)):
                raise InputError(f"coupling J[{pair}] is {value}: couplings must be finite")
    return values


def _from_pairs(J: Any, pairs: list[Any] | None, n: int, labels: Labels | None) -> Any:
    if pairs is None:
        return J
    whole = labels is None or list(labels) == list(range(n))
    try:
        array = np.array(pairs) if whole and pairs else np.empty((0, 2), dtype=np.int64)
    except ValueError:
        # labels of unequal length
        array = np.empty(0)
    if whole and array.dtype.kind in "iu" and array.ndim == 2:
        outside = (array < 0) | (array >= n)
        if outside.any():
            i, j = array[outside.any(axis=1)][0]
            raise InputError(f"coupling ({i}, {j}) names a spin out of range: h has spins 0 to {n - 1}")
        return upper_csr(array[:, 0].astype(np.int64), array[:, 1].astype(np.int64), _values(J), n)
    names = range(n) if whole or labels is None else labels
    if not whole and all(isinstance(v, int | np.integer) for pair in pairs for v in pair):
        integers = [v for v in names if isinstance(v, int | np.integer)]
        if integers:
            raise InputError(
                "J names spins by whole numbers, and so do the labels, in another order: give h as a mapping from "
                "label to field as well, or leave the labels out"
            )
        names = range(n)
    return _from_index(J, pairs, {v: k for k, v in enumerate(names)})


def _from_index(J: Mapping[Any, Any], pairs: Iterable[Any], index: Mapping[Hashable, int]) -> sp.csr_array:
    rows = []
    for pair in pairs:
        for spin in pair:
            if spin not in index:
                said = "h is an array of" if list(index) == list(range(len(index))) else "the problem has"
                raise InputError(
                    f"coupling {pair!r} names spin {spin!r}, but {said} {len(index)} spins{nearest(spin, index)}"
                )
        rows.append((index[pair[0]], index[pair[1]]))
    array = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return upper_csr(array[:, 0], array[:, 1], _values(J), len(index))


def _series(h: Any, J: Any, labels: Labels | None) -> Any:
    """Return a pandas Series of fields as a mapping, or as an array where its index is that of an array."""
    names = list(h.index)
    if names == list(range(len(names))) and labels is None and not hasattr(J, "columns"):
        return h.to_numpy()
    if len(set(names)) != len(names):
        raise InputError("h is a Series in which a label comes twice")
    return dict(zip(names, h.to_numpy(), strict=True))


def _frame(J: Any, labels: Labels | None) -> tuple[Labels, np.ndarray]:
    """Return the labels of a pandas DataFrame of couplings, and its values in the order of `labels`."""
    rows, columns = list(J.index), list(J.columns)
    names = rows if labels is None else list(labels)
    for found in (rows, columns):
        if len(found) != len(names) or set(found) != set(names):
            raise InputError("J is a DataFrame whose index and columns are not the spins' labels, each once")
    return names, J.loc[names, names].to_numpy()
