"""A category is what it reads as, whatever its type."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbmvae.data.categories import as_text, learn, match, text_of
from samplers import InputError


def _columns(values: np.ndarray) -> dict[str, pd.Series]:
    """Return whole numbers in every type in which a column of obs holds categories."""
    text = values.astype(str)
    return {
        "int": pd.Series(values),
        "int8": pd.Series(values.astype(np.int8)),
        "float": pd.Series(values.astype(float)),
        "text": pd.Series(text, dtype=object),
        "text of floats": pd.Series(values.astype(float).astype(str), dtype=object),
        "string": pd.Series(text, dtype="string"),
        "nullable": pd.Series(values, dtype="Int64"),
        "categorical int": pd.Series(pd.Categorical(values, categories=range(-1, 9))),
        "categorical text": pd.Series(pd.Categorical(text, categories=[str(i) for i in range(8, -2, -1)])),
        "ordered": pd.Series(pd.Categorical(text, categories=[str(i) for i in range(9)], ordered=True)),
        "object of ints": pd.Series(values.astype(object)),
    }


@given(st.lists(st.integers(0, 8), min_size=1, max_size=30), st.data())
def test_every_type_gives_the_same_codes(values, data):
    values = np.asarray(values)
    first = data.draw(st.sampled_from(sorted(_columns(values))))
    codes, known = learn(_columns(values)[first], "batch")
    assert len(known) == len(np.unique(values))
    assert [text_of(known[c]) for c in codes] == [str(v) for v in values]
    for name, column in _columns(values).items():
        again, same = match(column, known, "batch")
        np.testing.assert_array_equal(again, codes, err_msg=name)
        np.testing.assert_array_equal(same, known)


def test_bools_unused_categories_and_order():
    codes, known = learn(pd.Series([True, False, True]), "b")
    np.testing.assert_array_equal(match(pd.Series(["True", "False", "True"]), known, "b")[0], codes)
    column = pd.Series(pd.Categorical(["y", "x"], categories=["z", "y", "x"]))
    codes, known = learn(column, "b")
    assert list(known) == ["y", "x"] and list(codes) == [0, 1]
    assert list(learn(pd.Series([10, 9, 10]), "b")[1]) == [9, 10]


def test_days_and_tuples_are_known_by_what_they_read_as():
    days = pd.Series(pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-02"]))
    codes, known = learn(days, "b")
    assert list(known) == ["2020-01-01", "2020-01-02"]
    np.testing.assert_array_equal(match(days.astype(str), known, "b")[0], codes)
    codes, known = learn(pd.Series([(1, 2), (0, 1), (1, 2)]), "b")
    assert list(known) == ["(0, 1)", "(1, 2)"] and list(codes) == [1, 0, 1]


def test_new_categories_are_added_or_refused_with_the_nearest():
    known = np.array(["ctrl", "stim"], dtype=object)
    with pytest.raises(InputError, match="not seen: 'Stim '; did you mean 'stim'.*load_query_data"):
        match(pd.Series(["ctrl", "Stim "]), known, "batch")
    with pytest.raises(InputError, match="not seen: 'stin'; nearest: 'stim'"):
        match(pd.Series(["stin"]), known, "batch")
    codes, grown = match(pd.Series(["stim", "lab9", "lab8"]), known, "batch", extend=True)
    assert list(grown) == ["ctrl", "stim", "lab8", "lab9"] and list(codes) == [1, 3, 2]
    codes, grown = match(pd.Series(["1", "lab9"]), np.array([0, 1]), "batch", extend=True)
    assert list(grown) == ["0", "1", "lab9"] and list(codes) == [1, 2]
    codes, grown = match(pd.Series([7, 1]), np.array([0, 1]), "batch", extend=True)
    assert grown.tolist() == [0, 1, 7] and list(codes) == [2, 1]


def test_missing_values():
    column = pd.Series(["a", None, "b"], index=["c0", "c1", "c2"])
    with pytest.raises(InputError, match="missing for 1 cells.*c1"):
        learn(column, "batch")
    with pytest.raises(InputError, match="missing for 1 cells.*c1"):
        match(column, ["a", "b"], "batch")
    codes, known = learn(column, "labels", missing="Unknown")
    assert [known[c] for c in codes] == ["a", "Unknown", "b"]
    codes, known = learn(pd.Series(["Unknown", np.nan]), "labels", missing="Unknown")
    assert list(known) == ["Unknown"] and list(codes) == [0, 0]
    codes, known = learn(pd.Series(pd.Categorical(["u", None], categories=["v", "u"])), "labels", missing="v")
    assert [known[c] for c in codes] == ["u", "v"]
    with pytest.raises(InputError, match="'1' in two spellings"):
        learn(pd.Series([1, "1"], dtype=object), "batch")
    assert len(learn(pd.Series([], dtype=object), "batch")[0]) == 0


@pytest.mark.parametrize("kind", list(_columns(np.arange(3))))
def test_a_column_as_text_is_the_text_of_each_value(kind):
    column = _columns(np.random.default_rng(0).integers(4, size=50))[kind]
    assert list(as_text(column)) == [text_of(v) for v in column]
    assert list(as_text(column).index) == list(column.index)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_keep_their_digits_as_text(dtype):
    column = pd.Series(np.random.default_rng(0).normal(size=50).astype(dtype))
    assert list(as_text(column)) == list(column.map(text_of)) and as_text(column).nunique() == 50
