from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.drug_response import denormalise, normalise
from qbmvae.drug_response.response import from_response, to_response
from samplers.errors import InputError


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(1e-8, 1e8), min_size=1, max_size=20))
def test_normalisation_inverts(values):
    y = np.array(values)
    r = normalise(y)
    np.testing.assert_allclose(r, 1 / (1 + y**0.1), rtol=1e-12)
    np.testing.assert_allclose(denormalise(r), y, rtol=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.floats(-15, 15), st.sampled_from(["ln_ic50", "auc"]))
def test_targets_invert(value, target):
    found = from_response(to_response(np.array([value]), target), target)
    np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-9)


def test_logarithm_and_value_agree():
    y = np.array([0.01, 1.0, 300.0])
    np.testing.assert_allclose(to_response(y, "ic50"), to_response(np.log(y), "ln_ic50"))
    assert (np.diff(normalise(y)) < 0).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_value_that_is_not_positive_is_named(bad):
    with pytest.raises(InputError, match="IC50 number 1 "):
        normalise(np.array([1.0, bad]))


def test_predictions_outside_the_range_stay_finite():
    assert np.isfinite(from_response(np.array([-0.2, 0.0, 1.0, 1.7]), "ln_ic50")).all()
