"""`dimod`'s binary quadratic models as fields and couplings, and back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import dimod
import numpy as np
import scipy.sparse as sp

from samplers.couplings import numbers, symmetric_csr, upper_csr
from samplers.errors import InputError

#: A model in which more than this share of the pairs are coupled is held as a dense problem.
DENSE_SHARE = 0.25


def parts_of(bqm: dimod.BinaryQuadraticModel) -> tuple[np.ndarray, np.ndarray | sp.csr_array, float, list[Hashable]]:
    """Return fields, symmetric couplings (dense where most pairs are coupled), offset and variables of a model.

    Parameters
    ----------
    bqm
        A model of either vartype.

    Raises
    ------
    InputError
        For a model with constraints or with other than two-valued variables, and for biases that are not finite.
    """
    if not isinstance(bqm, dimod.BinaryQuadraticModel):
        constrained = isinstance(bqm, dimod.ConstrainedQuadraticModel)
        advice = (
            "turn constraints into penalties with dimod.cqm_to_bqm" if constrained else "give h and J to Ising(h, J)"
        )
        raise InputError(f"this takes a dimod.BinaryQuadraticModel, not {type(bqm).__name__}: {advice}")
    spin, labels = bqm.spin, list(bqm.variables)
    n, index = len(labels), {v: i for i, v in enumerate(labels)}
    fields = numbers("the model", [spin.linear[v] for v in labels])
    if not np.isfinite(fields).all():
        raise InputError(f"variable {labels[int(np.argmin(np.isfinite(fields)))]!r} has a bias that is not finite")
    values = numbers("the model", list(spin.quadratic.values()))
    if not np.isfinite(values).all():
        raise InputError(
            f"pair {list(spin.quadratic)[int(np.argmin(np.isfinite(values)))]} has a bias that is not finite"
        )
    i, j = (np.array([index[pair[side]] for pair in spin.quadratic], dtype=np.int64) for side in (0, 1))
    couplings = symmetric_csr(upper_csr(i, j, values, n), n)
    dense = couplings.nnz > DENSE_SHARE * n * (n - 1)
    return fields, couplings.toarray() if dense else couplings, float(spin.offset), labels


def model_of(
    h: np.ndarray,
    edges: tuple[np.ndarray, np.ndarray, np.ndarray],
    offset: float,
    labels: Sequence[Hashable],
    vartype: Literal["SPIN", "BINARY"],
) -> dimod.BinaryQuadraticModel:
    """Return a model whose energies equal the problem's for every state.

    Parameters
    ----------
    h, edges, offset, labels
        Of the problem; edges are (i, j, value).
    vartype
        "SPIN" or "BINARY".
    """
    i, j, values = edges
    n = len(h)
    bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(
        h, (i, j, values), offset, dimod.SPIN, variable_order=list(range(n))
    )
    if labels != range(n):
        bqm.relabel_variables(dict(enumerate(labels)))
    kind = dimod.as_vartype(vartype)
    return bqm if kind is dimod.SPIN else bqm.change_vartype(kind, inplace=False)
