from __future__ import annotations

import numpy as np
import pytest

from experiments.perturbation.splits import split
from samplers.errors import InputError

LABELS = np.array(["c"] * 10 + ["A"] * 6 + ["B"] * 6 + ["A+B"] * 4 + ["D"] * 6)


CONTEXTS = np.array(["r1", "r2"] * 16)


def test_unseen_perturbations():
    parts = split(LABELS, "c", "perturbations", values=["B"])
    assert set(LABELS[parts.test]) == {"c", "B"} and "B" not in LABELS[parts.train]
    assert parts.held_out == ["B"]
    again = [split(LABELS, "c", "perturbations", share=0.5, seed=3).held_out for _ in range(2)]
    assert again[0] == again[1] and len(again[0]) == 2


def test_unseen_context_keeps_apart():
    parts = split(LABELS, "c", "context", contexts=CONTEXTS)
    assert not (parts.train & parts.test).any() and set(CONTEXTS[parts.test]) == {"r2"}


def test_unseen_cells_keep_every_perturbation_on_both_sides():
    parts = split(LABELS, "c", "cells", seed=1)
    assert not (parts.train & parts.test).any()
    assert set(LABELS[parts.train]) == set(LABELS[parts.test]) == set(LABELS)


def test_unseen_combinations_keep_their_parts():
    parts = split(LABELS, "c", "combinations", share=1.0, values=["A+B"])
    assert "A+B" not in LABELS[parts.train] and {"A", "B"} <= set(LABELS[parts.train])


def test_no_hold_out():
    assert not split(LABELS, "c", "none").test.any()


@pytest.mark.parametrize(
    ("how", "options", "words"),
    [
        ("perturbation", {}, "nearest: 'perturbations'"),
        ("perturbations", {"values": ["Q"]}, "no perturbation 'Q'"),
        ("context", {}, "--context-key"),
        ("context", {"contexts": CONTEXTS, "values": ["r3"]}, "no context 'r3'"),
        ("context", {"contexts": np.array(["r1"] * 32)}, "at least two contexts"),
        ("combinations", {"separator": "_"}, "joins perturbations with '_'"),
    ],
)
def test_wrong_hold_outs_are_named(how, options, words):
    with pytest.raises(InputError, match=words):
        split(LABELS, "c", how, **options)
