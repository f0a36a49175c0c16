"""Every way to name cells selects what the plain integer array selects, or is refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbmvae.data.selection import positions
from samplers import InputError

NAMES = pd.Index([f"cell{i}" for i in range(12)])


def _forms(rows: np.ndarray) -> dict[str, object]:
    """Return the same selection in every form that keeps its order."""
    names = NAMES[rows]
    return {
        "list": rows.tolist(),
        "tuple": tuple(rows.tolist()) if len(rows) != 1 else rows.tolist(),
        "int32": rows.astype(np.int32),
        "uint8": rows.astype(np.uint8),
        "object": rows.astype(object),
        "negative": rows - 12,
        "series": pd.Series(rows, index=names),
        "nullable": pd.Series(rows, dtype="Int64"),
        "index": pd.Index(rows),
        "categorical": pd.Categorical(rows),
        "where": (rows,),
        "names": list(names),
        "names array": np.asarray(names, dtype=str),
        "names index": names,
        "names categorical": pd.Categorical(names),
        "names string": pd.Series(names, dtype="string"),
    }


@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_every_form_selects_the_same_cells(rows):
    rows = np.asarray(rows)
    for name, form in _forms(rows).items():
        np.testing.assert_array_equal(positions(form, NAMES), rows, err_msg=name)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_every_mask_selects_the_same_cells(mask):
    mask = np.asarray(mask)
    shuffled = np.random.default_rng(0).permutation(12)
    forms = [
        mask,
        mask.tolist(),
        mask.astype(object),
        pd.Series(mask),
        pd.Series(mask, index=NAMES),
        pd.Series(mask, index=NAMES).iloc[shuffled],
        pd.Series(mask, dtype="boolean"),
        pd.array(mask),
        np.where(mask),
    ]
    for form in forms:
        np.testing.assert_array_equal(positions(form, NAMES), np.flatnonzero(mask))


def test_slices_ranges_and_nothing():
    assert positions(None, NAMES) is None
    np.testing.assert_array_equal(positions(slice(2, None, 3), NAMES), [2, 5, 8, 11])
    np.testing.assert_array_equal(positions(range(3), NAMES), [0, 1, 2])
    for empty in ([], np.array([]), pd.Index([]), (), pd.Series([], dtype=float)):
        assert positions(empty, NAMES).shape == (0,)
        assert positions(empty, NAMES).dtype == np.int64


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.array([0.0, 1.0]), "float64.*astype"),
        ([0, 1.5], "float64"),
        ([0, np.nan], "float64"),
        (pd.Series([0, None], dtype="Int64"), "missing values"),
        (pd.Series([True] * 11 + [None], dtype="boolean"), "missing values"),
        ([12], "holds 12, but there are 12 cells"),
        ([-13], "holds -13"),
        ([True] * 5, "mask of length 5, but there are 12"),
        (pd.Series([True] * 12, index=[f"x{i}" for i in range(12)]), "index is not obs_names"),
        (["cell3", "cel4"], "1 cells that are not there, first 'cel4'; nearest"),
        ([True, 3], "mixes bool and int"),
        (np.array(["cell3", 4], dtype=object), "mixes int, str"),
        ("cell3", "not str"),
        (3, "not int"),
        (np.int64(3), "not int64"),
        ({1, 2}, "not set"),
        ({"a": 1}, "not dict"),
        (pd.DataFrame({"a": [1]}), "not DataFrame"),
        ((i for i in range(3)), "not generator"),
        (np.zeros((2, 2), dtype=int), r"shape \(2, 2\)"),
        (np.argwhere(np.ones(3)), r"shape \(3, 1\).*ravel"),
        ([[0], [1, 2]], "ragged|mixes"),
        (np.array([0, 1], dtype=complex), "complex"),
        (pd.to_datetime(["2020-01-01"]), "datetime64"),
    ],
)  # fmt: skip
def test_other_kinds_are_refused_by_name(bad, words):
    with pytest.raises(InputError, match=words):
        positions(bad, NAMES)


def test_names_that_stand_twice_are_refused_only_where_they_are_asked_for():
    names = pd.Index(["a", "b", "a", "c"])
    np.testing.assert_array_equal(positions(["c", "b"], names), [3, 1])
    with pytest.raises(InputError, match="'a', which is there more than once"):
        positions(["a"], names)
