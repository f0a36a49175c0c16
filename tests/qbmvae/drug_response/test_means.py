from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qbmvae.drug_response import DrugResponse, NetworkOptions, TrainingOptions, sized_split
from qbmvae.drug_response.means import effects, fit_means
from samplers.errors import InputError


def test_effects_solve_the_penalised_least_squares():
    rng = np.random.default_rng(0)
    drug, line = rng.integers(0, 4, 60), rng.integers(0, 7, 60)
    response = rng.normal(size=60)
    centre, by_drug, by_line = effects(response, drug, line, 5, 7)
    design = np.hstack([np.eye(5)[drug], np.eye(7)[line]])
    exact = np.linalg.solve(design.T @ design + np.eye(12), design.T @ (response - response.mean()))
    # twenty rounds leave a little in the one direction that moves all drugs against all lines
    np.testing.assert_allclose(by_drug[drug] + by_line[line], design @ exact, atol=5e-4)
    np.testing.assert_allclose(np.r_[by_drug, by_line], exact, atol=2e-3)
    assert centre == response.mean() and by_drug[4] == 0


def test_what_is_expected_of_a_training_pair_does_not_hold_its_own_response(data):
    rows = np.arange(60)
    _, expected = fit_means(data, rows, 0)
    values = data.values.copy()
    values[7] += 5
    changed = fit_means(replace(data, values=values), rows, 0)[1] - expected
    assert changed[7] == pytest.approx(0) and abs(changed[60:]).max() > 0


@pytest.fixture(scope="module")
def fitted(data):
    parts = sized_split(data, n_train=90, n_validation=40, n_test=40)
    model = DrugResponse(data, NetworkOptions(head="mlp"))
    return model.fit(data, parts, TrainingOptions(epochs=3, batch_size=32, baseline="means")), parts


def test_means_and_network_are_added(data, fitted):
    model, parts = fitted
    errors = []
    for share in (0.0, model.means.share):
        means = replace(model.means, share=share)
        model.means, kept = means, model.means
        errors.append(np.mean((model.predict_pairs(data, parts.validation) - data.response[parts.validation]) ** 2))
        model.means = kept
    # the share is chosen on validation pairs, where it cannot do harm
    assert 0 <= model.means.share <= 1 and errors[1] <= errors[0]
    expected = model.means.of(data, parts.test)
    assert np.corrcoef(expected, data.response[parts.test])[0, 1] > 0.9


def test_tables_and_pairs_have_the_same_predictions_and_a_saved_model_too(data, tables, fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "m.safetensors")
    again = DrugResponse.load(tmp_path / "m.safetensors")
    assert again.means == model.means
    smiles = [m.smiles for m in data.molecules.molecules]
    table = again.predict([smiles[0]], tables[1])["response"].to_numpy()
    rows = np.flatnonzero(data.drug == 0)
    np.testing.assert_allclose(table[data.line[rows]], model.predict_pairs(data, rows), atol=1e-5)
    # a molecule that training did not see has its line's effect alone
    new = again.means([again.drugs["1"]["smiles"], "CCCCC"], [data.line_ids[0]] * 2)
    assert new[1] == pytest.approx(again.means.centre + again.means.lines[data.line_ids[0]]) and new[0] != new[1]


def test_an_unknown_baseline_is_named():
    with pytest.raises(InputError, match="baseline"):
        TrainingOptions(baseline="mean")
