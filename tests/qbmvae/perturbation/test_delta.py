from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from qbmvae.perturbation import DeltaPredictor, Options, preset
from qbmvae.perturbation.losses import affected_genes_loss, discrimination_loss, squared_error
from qbmvae.perturbation.options import PHASES, PROTOTYPE
from qbmvae.perturbation.training import rate_factor
from samplers.errors import InputError


@pytest.mark.parametrize(("decoder", "count"), [("linear", 457_480), ("mlp512", 9_293_320)])
def test_the_prototype_has_its_published_number_of_weights(decoder, count):
    predictor = DeltaPredictor(672, 18_080, replace(PROTOTYPE, decoder=decoder))
    assert sum(p.numel() for p in predictor.parameters() if p.requires_grad) == count


def test_a_gated_circuit_starts_silent_and_learns():
    torch.manual_seed(0)
    predictor = DeltaPredictor(10, 20, Options(n_qubits=3, n_layers=2, bypass="linear"), seed=0)
    h = torch.randn(16, 10)
    assert torch.equal(predictor(h), torch.zeros(16, 20))
    predictor(h).sub(1).square().mean().backward()
    assert predictor.gate.grad.abs() > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"bottleneck": "mlp"},
        {"bottleneck": "none", "gate": False},
        {"n_blocks": 3, "n_qubits": 2, "decoder": "deep"},
        {"readout": "z"},
        {"entangle": False, "freeze_circuit": True},
        {"bypass": "none", "gate": False},
    ],
)
def test_every_architecture_maps_to_genes(changes):
    options = replace(Options(n_qubits=3, n_layers=1), **changes)
    predictor = DeltaPredictor(7, 11, options)
    assert predictor(torch.randn(4, 7)).shape == (4, 11)
    if options.freeze_circuit:
        assert not any(p.requires_grad for p in predictor.bottleneck.core.parameters())


def test_gene_map_starts_the_decoder():
    predictor = DeltaPredictor(6, 30, Options(n_qubits=2, n_layers=1))
    weights = torch.randn(30, 4)
    assert predictor.copy_gene_map(weights) == 4
    copied = predictor.decoder[-1].weight[:, :4]
    projector = weights @ torch.linalg.pinv(weights)
    torch.testing.assert_close(projector @ copied, copied, atol=1e-4, rtol=1e-4)
    assert predictor.copy_gene_map(torch.randn(31, 4)) == 0


def test_discrimination_loss_prefers_the_right_order():
    torch.manual_seed(0)
    target = torch.randn(8, 40)
    labels = torch.arange(8)
    right = discrimination_loss(target + 0.1 * torch.randn(8, 40), target, labels)
    wrong = discrimination_loss(target.roll(1, 0), target, labels)
    alike = discrimination_loss(target.mean(0).expand(8, -1), target, labels)
    assert right < alike < wrong
    # replicates of one perturbation are not rivals
    twice = torch.cat([target, target])
    assert discrimination_loss(twice, twice, labels.repeat(2)) < 3 * discrimination_loss(target, target, labels)
    assert discrimination_loss(target[:1], target[:1], labels[:1]) == 0


def test_affected_genes_loss_prefers_large_effects_on_significant_genes():
    torch.manual_seed(0)
    significance = torch.rand(4, 100) + 10 * (torch.arange(100) < 10)
    good, flat = significance.clone(), torch.ones(4, 100)
    assert affected_genes_loss(good, significance) < affected_genes_loss(flat, significance)


def test_weights_of_the_squared_error_are_normalised():
    error = squared_error(torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    assert float(error) == pytest.approx(1.0)


def test_schedule_warms_up_and_decays():
    options = Options(warm_up=0.1, schedule="cosine")
    factors = [rate_factor(step, 100, options) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(1.0) and factors[-1] < 0.01
    assert rate_factor(99, 100, replace(options, schedule="constant", warm_up=0.0)) == 1.0


def test_phases_are_cumulative():
    assert preset("phase-0") == PROTOTYPE
    last = preset("phase-5")
    for changes in PHASES.values():
        for name, value in changes.items():
            later = [c[name] for c in PHASES.values() if name in c]
            assert getattr(last, name) == later[-1], (name, value)
    assert Options.from_dict(last.to_dict()) == last


def test_wrong_options_are_named():
    with pytest.raises(InputError, match="no preset 'protoype'; nearest: 'prototype'"):
        preset("protoype")
    with pytest.raises(InputError, match="no option 'n_qubit'"):
        Options.from_dict({"n_qubit": 4})
    with pytest.raises(InputError, match="decoder must be one of .*not 'mlp'"):
        Options(decoder="mlp")
    with pytest.raises(InputError, match="n_layers must be a whole number >= 1, not 0"):
        Options(n_layers=0)
