from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.drug_response import HybridNetwork, TrainingOptions, sized_split, split
from qbmvae.drug_response.data import pair_batch, shuffled_rows
from qbmvae.drug_response.training import default_epochs, predict, train
from samplers.errors import InputError


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 180), st.integers(1, 50), st.integers(1, 9), st.integers(0, 5))
def test_an_epoch_visits_each_pair_once(data, n, batch_size, pairs_per_line, seed):
    rows = np.random.default_rng(seed).permutation(len(data))[:n]
    batches = list(shuffled_rows(data, rows, batch_size, pairs_per_line, np.random.default_rng(seed)))
    assert sorted(np.concatenate(batches)) == sorted(rows)
    assert batch_size == 1 or min(map(len, batches)) > 1


def test_runs_of_a_line_need_fewer_encodings(data):
    def distinct(pairs_per_line: int) -> float:
        batches = shuffled_rows(data, np.arange(180), 12, pairs_per_line, np.random.default_rng(0))
        return float(np.mean([len(np.unique(data.line[b])) for b in batches]))

    assert distinct(6) == 2 and distinct(1) > 8


def test_duplicates_taken_out_change_nothing(data):
    network = HybridNetwork(data.width, "twin").eval()
    drug, line = np.array([3, 0, 3, 1]), np.array([2, 2, 7, 2])
    together = network(pair_batch(data.molecules, data.features, drug, line))
    for k in range(4):
        alone = network(pair_batch(data.molecules, data.features, drug[k : k + 1], line[k : k + 1]))
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        predict(network, data.molecules, data.features, drug, line, chunk=3), together.detach(), rtol=1e-4, atol=1e-5
    )


def test_a_planted_response_is_learnt(data):
    parts = split(data, validation=0.1, test=0.1, seed=0)
    options = TrainingOptions(epochs=25, batch_size=24)
    network = HybridNetwork(data.width, "twin", seed=0)
    loop = train(network, data, parts.train, {"validation": parts.validation}, options)
    loop.restore_best()
    found = predict(network, data.molecules, data.features, data.drug[parts.test], data.line[parts.test])
    assert np.mean((found - data.response[parts.test]) ** 2) < 0.3 * data.response[parts.test].var()
    errors = [value for _, value in loop.history["mse_validation"]]
    assert errors[loop.best_epoch - 1] == min(errors)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_stopped_training_goes_on_bit_for_bit(data, tmp_path, optimiser):
    parts = sized_split(data, n_train=40, n_validation=10, n_test=10, seed=0)

    def go(epochs: int, checkpoint=None):
        options = TrainingOptions(epochs=epochs, batch_size=16, optimiser=optimiser, seed=5)
        network = HybridNetwork(data.width, "twin", dropout=0.2, seed=1)
        return train(network, data, parts.train, {"validation": parts.validation}, options, checkpoint=checkpoint)

    whole = go(4)
    go(2, tmp_path / "c")
    again = go(4, tmp_path / "c")
    assert again.history == whole.history and again.best_epoch == whole.best_epoch
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_seeds_decide_and_leave_the_global_generator_alone(data):
    options = TrainingOptions(epochs=1, seed=2)
    rows, watched = np.arange(30), {"validation": np.arange(30, 40)}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    runs = [train(HybridNetwork(data.width, "mlp"), data, rows, watched, options) for _ in range(2)]
    assert runs[0].history == runs[1].history
    assert torch.equal(before, torch.get_rng_state())


def test_patience_stops(data):
    options = TrainingOptions(epochs=30, learning_rate=1e-12, optimiser="sgd", patience=2)
    rows = np.arange(20)
    loop = train(HybridNetwork(data.width, "twin"), data, rows, {"validation": rows}, options)
    assert loop.epoch < 30


def test_a_diverging_loss_names_the_cure(data):
    options = TrainingOptions(epochs=5, learning_rate=1e12, optimiser="sgd")
    rows = np.arange(100)
    with pytest.raises(InputError, match="lower the learning rate"):
        train(HybridNetwork(data.width, "twin"), data, rows, {"validation": rows}, options)


def test_options_are_checked():
    for options in ({"optimiser": "adm"}, {"learning_rate": 0.0}, {"epochs": 0}, {"batch_size": 0}):
        with pytest.raises(InputError):
            TrainingOptions(**options)
    assert default_epochs(5000) == 50 and default_epochs(10**6) == 3 and default_epochs(10) == 50


def test_a_checkpoint_of_other_responses_is_refused(data, tmp_path):
    from dataclasses import replace

    from qbmvae.drug_response import DrugResponse, NetworkOptions, TrainingOptions, split

    parts, options = split(data, seed=0), TrainingOptions(epochs=1)
    network = NetworkOptions("mlp", n_qubits=2)
    DrugResponse(data, network).fit(data, parts, options, checkpoint=tmp_path / "c")
    DrugResponse(data, network).fit(data, parts, options, checkpoint=tmp_path / "c")
    other = replace(data, values=data.values * 1.01)
    with pytest.raises(InputError, match="other data"):
        DrugResponse(other, network).fit(other, parts, options, checkpoint=tmp_path / "c")
