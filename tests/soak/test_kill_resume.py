from __future__ import annotations

import numpy as np
import torch

from tests.soak.kill_resume import first_difference


def test_the_first_difference_is_named():
    one = {"a": [1, torch.ones(3)], "b": {"c": np.arange(3)}}
    assert first_difference(one, {"a": [1, torch.ones(3)], "b": {"c": np.arange(3)}}) is None
    assert first_difference(one, {"a": [1, torch.ones(3) * (1 + 1e-7)], "b": {"c": np.arange(3)}}) == "state.a[1]"
    assert first_difference(one, {"a": [1, torch.ones(3)], "b": {"c": np.arange(4)}}) == "state.b.c"
    assert first_difference(one, {"a": [1], "b": {"c": np.arange(3)}}) == "state.a"
    assert first_difference(one, {"a": [1, torch.ones(3)]}) == "state"
