"""Problems in files: our JSON, `dimod`'s serialised JSON, and `dimod`'s COO text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from samplers.errors import InputError, nearest
from samplers.files import write_text
from samplers.problem import Ising

#: Keys of our JSON.
KEYS = ("h", "J", "offset", "h_visible", "h_hidden", "W")


def read_problem(path: str | Path) -> Ising:
    """Read an Ising problem.

    Parameters
    ----------
    path
        A `.json` file in one of three forms, or a COO text file of `dimod` (any other suffix):

        - `{"h": [...], "J": ..., "offset": 0}` over spins -1/+1 with `dimod`'s sign. `J` is a list of edges
          `[i, j, value]`, or a symmetric or upper triangular matrix (list of lists). `h` may be left out (zeros), and so
          may `offset`.
        - `{"h_visible": [...], "h_hidden": [...], "W": [[...]], "offset": 0}`, a restricted Boltzmann machine.
        - `dimod.BinaryQuadraticModel.to_serializable()`, of either vartype.

    Raises
    ------
    InputError
        Where the file cannot be read or understood; the message names it.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the problem {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _from_json(json.loads(text)) if path.suffix == ".json" else _from_coo(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except InputError as error:
        raise InputError(f"problem {path}: {error}") from error


def write_problem(problem: Ising, path: str | Path) -> None:
    """Write a problem as our JSON, atomically; bipartite problems keep their block, others become a list of edges."""
    if (nv := problem.n_visible) is not None:
        content: dict[str, Any] = {
            "h_visible": problem.h[:nv].tolist(),
            "h_hidden": problem.h[nv:].tolist(),
            "W": problem.block.tolist(),
        }
    else:
        i, j, values = problem.edges
        content = {
            "h": problem.h.tolist(),
            "J": [[int(a), int(b), float(v)] for a, b, v in zip(i, j, values, strict=True)],
        }
    content["offset"] = problem.offset
    write_text(path, json.dumps(content))


def _from_json(content: Any) -> Ising:
    if not isinstance(content, dict):
        raise InputError(f'the JSON holds a {type(content).__name__}: give an object with "h" and "J"')
    if content.get("type") == "BinaryQuadraticModel":
        import dimod

        try:
            return Ising.from_bqm(dimod.BinaryQuadraticModel.from_serializable(content))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this serialised dimod model is damaged ({error}): write it again") from error
    for key in content:
        if key not in KEYS:
            raise InputError(f"there is no key {key!r} in a problem{nearest(key, KEYS)}")
    offset = _numbers("offset", content.get("offset", 0.0), 0)
    if "W" in content:
        visible, hidden = (_numbers(key, content.get(key), 1) for key in ("h_visible", "h_hidden"))
        return Ising.bipartite(visible, hidden, _numbers("W", content["W"], 2), offset=float(offset))
    if "J" not in content:
        raise InputError('the couplings are missing: give "J" as edges [[i, j, value], ...] or as a matrix')
    h = None if content.get("h") is None else _numbers("h", content["h"], 1)
    return _with_couplings(h, content["J"], float(offset))


def _with_couplings(h: np.ndarray | None, J: Any, offset: float) -> Ising:
    if J == [] or J == [[]]:
        return Ising(np.zeros(0) if h is None else h, {}, offset=offset)
    table = _numbers("J", J, 2)
    rows, columns = table.shape
    square = rows == columns and (h is None or len(h) == rows)
    # three edges and a matrix of three spins look alike: a matrix has a zero diagonal
    if square and (columns != 3 or not np.diagonal(table).any()):
        return Ising(np.zeros(rows) if h is None else h, table, offset=offset)
    if columns != 3:
        spins = "" if h is None else f", and h has {len(h)} spins"
        raise InputError(f"J has shape {table.shape}{spins}: give edges [i, j, value], or a matrix of all spins")
    pairs = table[:, :2].astype(np.int64)
    odd = np.flatnonzero((pairs != table[:, :2]).any(axis=1))
    if len(odd):
        raise InputError(f"edge {odd[0]} of J is {table[odd[0]].tolist()}: spins are whole numbers from 0")
    couplings: dict[tuple[int, int], float] = {}
    for (i, j), value in zip(pairs.tolist(), table[:, 2].tolist(), strict=True):
        if (j, i) in couplings:
            raise InputError(f"J lists the pair of spins {i} and {j} in both orders: list each pair once")
        couplings[i, j] = couplings.get((i, j), 0.0) + value
    if h is None:
        h = np.zeros(int(pairs.max()) + 1)
    problem = Ising(h, couplings, offset=offset)
    n = problem.n
    # kernels for dense problems are faster where most pairs are coupled
    return Ising(h, problem.dense, offset=offset) if len(couplings) > 0.25 * n * (n - 1) / 2 else problem


def _numbers(name: str, value: Any, dimensions: int) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim != dimensions:
        form = ("one number", "a list of numbers", "rows of numbers of equal length")[dimensions]
        raise InputError(f'"{name}" must be {form}')
    return array


def _from_coo(text: str) -> Ising:
    from dimod import Vartype
    from dimod.serialization import coo

    try:
        model = coo.loads(text) if "vartype=" in text else coo.loads(text, vartype=Vartype.SPIN)
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"neither JSON (a .json file) nor dimod's COO format ({error})") from error
    if not len(model):
        raise InputError("the file names no spins: write `i j value` lines (COO), or a .json file")
    order: list[Any] = sorted(model.variables, key=lambda v: (isinstance(v, str), v))
    linear, quadratic = model.spin.linear, model.spin.quadratic
    index = {v: k for k, v in enumerate(order)}
    couplings = {(index[u], index[v]): bias for (u, v), bias in quadratic.items()}
    labels = None if order == list(range(len(order))) else order
    return Ising([float(linear[v]) for v in order], couplings, offset=float(model.spin.offset), labels=labels)
