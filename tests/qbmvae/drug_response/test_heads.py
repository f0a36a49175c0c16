from __future__ import annotations

import itertools
import math

import pytest
import torch

from qbmvae.drug_response import HEADS, HybridNetwork, make_head
from qbmvae.drug_response.heads import check_memory
from qbmvae.drug_response.model import n_trainable
from samplers.errors import InputError

WEIGHTS = {
    "quantum": 1322,
    "twin": 2056,
    "fourier": 1321,
    "mlp": 1291,
    "boltzmann": 1291,
    "frozen": 2,
    "no-entanglement": 1322,
}


@pytest.mark.parametrize("name", HEADS)
def test_shape_and_number_of_trainable_weights(name):
    head = make_head(name)
    assert n_trainable(head) == WEIGHTS[name]
    features = torch.randn(3, 256, requires_grad=True)
    out = head(features)
    assert out.shape == (3, 1)
    out.sum().backward()
    assert torch.isfinite(features.grad).all() and features.grad.abs().sum() > 0


def test_the_response_unit_sums_its_hidden_units_out():
    torch.manual_seed(0)
    head, features = make_head("boltzmann"), torch.randn(4, 256)
    c, u = head.hidden(features), head.response.weight[0]
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)))
    weight = [((c[:, None] + on * u) * states).sum(2) + on * head.response.bias for on in (0, 1)]
    expected = torch.softmax(torch.stack([w.logsumexp(1) for w in weight], 1), 1)[:, 1:]
    torch.testing.assert_close(head(features), expected)


def test_quantum_head_has_1320_angles_in_33_blocks():
    assert make_head("quantum").angles.shape == (33, 5, 8)


def test_without_entanglement_the_circuit_is_a_product_of_bloch_vectors():
    torch.manual_seed(0)
    head = make_head("no-entanglement", n_layers=2)
    features = torch.randn(4, 256)
    x, y, z = torch.zeros(4, 8), torch.zeros(4, 8), torch.ones(4, 8)
    turns = head.angles.detach().sum(1)
    for block in range(33):
        if block:
            phase = features.reshape(4, 32, 8)[:, block - 1]
            x, y = phase.cos() * x - phase.sin() * y, phase.sin() * x + phase.cos() * y
        y, z = turns[block].cos() * y - turns[block].sin() * z, turns[block].sin() * y + turns[block].cos() * z
    torch.testing.assert_close(head(features)[:, 0].detach(), z.prod(1), rtol=1e-3, atol=1e-5)


def test_frozen_angles_do_not_learn_but_pass_gradients():
    head = make_head("frozen", n_layers=1)
    assert not head.angles.requires_grad and head.scale.requires_grad


def test_fourier_frequencies_lie_in_the_spectrum_of_the_circuit():
    head = make_head("fourier")
    assert head.frequencies.shape == (660, 256)
    assert set(head.frequencies.unique().tolist()) == {-1.0, 0.0, 1.0}
    features = torch.randn(2, 256)
    torch.testing.assert_close(head(features), head(features + 2 * math.pi), rtol=1e-3, atol=1e-3)


def test_equal_seeds_give_equal_branches_whatever_the_head():
    a, b = (HybridNetwork(50, head, seed=3) for head in ("twin", "fourier"))
    for left, right in zip(a.drug_encoder.parameters(), b.drug_encoder.parameters(), strict=True):
        assert torch.equal(left, right)
    for left, right in zip(a.cell_encoder.parameters(), b.cell_encoder.parameters(), strict=True):
        assert torch.equal(left, right)


def test_bad_heads_are_named():
    with pytest.raises(InputError, match="nearest: 'quantum'"):
        make_head("quantom")
    with pytest.raises(InputError, match="multiple of n_qubits=7"):
        make_head("quantum", n_qubits=7)
    with pytest.raises(InputError, match="'conv'"):
        HybridNetwork(50, "twin", cell_encoder="con")


def test_too_many_qubits_say_how_much_memory_they_take():
    with pytest.raises(InputError, match=r"32 qubits at batch size 64 take 6,597\.1 GB of memory"):
        check_memory(32, 64, 10**10)
    check_memory(8, 64, 10**10)
