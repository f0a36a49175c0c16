"""The interface of `Circuit`: shapes, conventions, sampling, errors."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from qbmvae.circuits import Circuit
from samplers.errors import InputError


def example():
    c = Circuit(3)
    c.rx(0, param=0)
    c.ry(1, feature=0)
    c.rz(2, angle=0.3)
    c.h(0)
    c.s(1)
    c.cnot(0, 1)
    c.cz(1, 2)
    c.crx(0, 2, param=1)
    return c


def test_shapes_and_counts():
    c = example()
    params, features = torch.randn(2), torch.randn(5, 1)
    assert (c.n_params, c.n_features, len(c)) == (2, 1, 8)
    assert c.expval(["Z0", "X1", "Z0 Z2"], params, features).shape == (5, 3)
    assert c.probabilities(params, features).shape == (5, 8)
    assert c.sample(params, features, shots=10, seed=0).shape == (5, 10, 3)
    torch.testing.assert_close(c.probabilities(params, features).sum(1), torch.ones(5))


def test_qubit_0_is_the_most_significant_bit():
    c = Circuit(3).x(0)
    assert c.probabilities()[0].argmax() == 4
    assert c.sample(shots=2, seed=0).tolist() == [[[1, 0, 0]] * 2]
    assert c.expval(["Z0", "Z1"]).tolist() == [[-1, 1]]


def test_precision_follows_the_inputs():
    c = example()
    assert c.expval("Z0", torch.zeros(2), torch.zeros(1, 1)).dtype == torch.float32
    assert c.expval("Z0", np.zeros(2), torch.zeros(1, 1)).dtype == torch.float64
    assert c.expval("Z0", [0.1, 0.2], [[0.3]]).dtype == torch.float32


def test_one_row_of_features_is_a_batch_of_one():
    c = example()
    torch.testing.assert_close(c.expval("Z0", [0.1, 0.2], [0.3]), c.expval("Z0", [0.1, 0.2], [[0.3]]))


def test_rotations_turn_as_they_should():
    angle = 0.7
    assert Circuit(1).rx(0, angle=angle).expval("Z0").item() == pytest.approx(math.cos(angle), abs=1e-6)
    assert Circuit(1).rx(0, angle=angle).expval("Y0").item() == pytest.approx(-math.sin(angle), abs=1e-6)
    assert Circuit(1).ry(0, angle=angle).expval("X0").item() == pytest.approx(math.sin(angle), abs=1e-6)
    assert Circuit(1).h(0).rz(0, angle=angle).expval("Y0").item() == pytest.approx(math.sin(angle), abs=1e-6)
    assert Circuit(1).rx(0, param=0, scale=2.0).expval("Z0", [angle]).item() == pytest.approx(
        math.cos(2 * angle), abs=1e-6
    )


def test_samples_follow_the_probabilities():
    c, shots = example(), 20_000
    p = c.probabilities([0.4, 1.2], [[0.9]])[0].double().numpy()
    bits = c.sample([0.4, 1.2], [[0.9]], shots=shots, seed=3)[0].numpy().astype(int)
    counts = np.bincount(bits @ [4, 2, 1], minlength=8)
    live = p > 1e-6
    chi2 = ((counts - shots * p)[live] ** 2 / (shots * p[live])).sum()
    assert chi2 < 24.3  # 99.9 % of chi-squared with 7 degrees of freedom
    assert np.array_equal(bits, c.sample([0.4, 1.2], [[0.9]], shots=shots, seed=3)[0].numpy())


def test_a_gate_added_later_is_seen():
    c = Circuit(1).rx(0, param=0)
    assert c.expval("Z0", [0.0]).item() == pytest.approx(1)
    c.x(0)
    assert c.expval("Z0", [0.0]).item() == pytest.approx(-1)


def test_circuits_copy_and_pickle():
    c = example()
    expected = c.expval("Z0", [0.1, 0.2], [[0.3]])
    for other in (copy.deepcopy(c), pickle.loads(pickle.dumps(c))):
        assert other == c
        torch.testing.assert_close(other.expval("Z0", [0.1, 0.2], [[0.3]]), expected)


def test_dead_circuits_have_zero_gradients():
    c = Circuit(2).rz(0, param=0).cnot(0, 1)
    params = torch.tensor([0.3], requires_grad=True)
    c.expval("Z1", params).sum().backward()
    assert params.grad.tolist() == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Circuit(0), "1 to 62 qubits"),
        (lambda: Circuit(2.5), "not an integer"),
        (lambda: Circuit(2).rx(2, angle=1.0), r"rx: qubit 2 is not in 0\.\.1"),
        (lambda: Circuit(2).rx(-1, angle=1.0), r"qubit -1"),
        (lambda: Circuit(2).cnot(1, 1), "not distinct"),
        (lambda: Circuit(2).rx(0), "exactly one"),
        (lambda: Circuit(2).rx(0, param=0, feature=1), "exactly one"),
        (lambda: Circuit(2).rx(0, angle=math.nan), "rx: angle is nan"),
        (lambda: Circuit(2).rx(0, param=-1), "position"),
        (lambda: Circuit(2).u3(0, angle=(1.0, 2.0)), "takes 3 angles"),
        (lambda: Circuit(2).append("rxy", (0,)), "nearest"),
        (lambda: example().expval("Z3", [0, 0], [[0]]), r"qubit 3 is not in 0\.\.2"),
        (lambda: example().expval("W0", [0, 0], [[0]]), "Pauli letter"),
        (lambda: example().expval("Z0 X0", [0, 0], [[0]]), "twice"),
        (lambda: example().expval([], [0, 0], [[0]]), "at least one"),
        (lambda: example().expval("Z0", [0.0], [[0]]), "params has 1 values, the circuit uses 2"),
        (lambda: example().expval("Z0", [0.0, 0.0]), r"features of shape \(batch, 1\)"),
        (lambda: example().expval("Z0", None, [[0]]), r"params of shape \(2,\)"),
        (lambda: Circuit(1).rx(0, feature=1).expval("Z0", None, [[0.0]]), "features has 1 columns, the circuit uses 2"),
        (lambda: example().expval("Z0", [0.0, math.inf], [[0]]), r"params \[1\] is inf"),
        (lambda: example().expval("Z0", [0.0, 0.0], [[0.0], [math.nan]]), "row 1, column 0 is nan"),
        (lambda: example().expval("Z0", [0.0, 0.0], [[0.0]], engine="fram"), "nearest: 'frame'"),
        (lambda: example().sample([0.0, 0.0], [[0.0]], shots=0), "shots must be a whole number >= 1"),
        (lambda: Circuit(40).h(0).expval("Z0"), r"40 qubits at batch 1 need [\d,.]+ GiB"),
        (lambda: Circuit(40).h(0).probabilities(), "GiB"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
