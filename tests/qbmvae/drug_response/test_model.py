from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae.drug_response import DrugResponse, NetworkOptions, TrainingOptions, assemble, sized_split
from samplers.errors import InputError


@pytest.fixture(scope="module")
def fitted(data) -> DrugResponse:
    parts = sized_split(data, n_train=60, n_validation=20, n_test=20)
    return DrugResponse(data, NetworkOptions(head="quantum", n_layers=1)).fit(
        data, parts, TrainingOptions(epochs=2, batch_size=32)
    )


def test_save_and_load(fitted, tables, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    again = DrugResponse.load(tmp_path / "model.safetensors")
    new = ["CCN", "c1ccncc1"]
    left, right = (m.predict(new, tables[1]) for m in (fitted, again))
    np.testing.assert_array_equal(left["response"], right["response"])
    assert again.options == fitted.options and again.history == fitted.history
    assert again.drugs["1"]["name"] == "D1"
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_predictions_are_every_molecule_on_every_line(fitted, tables):
    found = fitted.predict(["CCN", "CCO"], tables[1], names=["a", "b"])
    assert len(found) == 60 and list(found["drug"][::30]) == ["a", "b"]
    assert list(found["cosmic_id"][:3]) == [100, 101, 102]
    np.testing.assert_allclose(found["ic50_um"], np.exp(found["ln_ic50"]))
    clipped = found["response"].clip(1e-6, 1 - 1e-6)
    np.testing.assert_allclose(1 / (1 + found["ic50_um"] ** 0.1), clipped, rtol=1e-6)


def test_columns_in_another_order_change_nothing(fitted, tables):
    shuffled = tables[1].iloc[:, ::-1].assign(extra=1)
    np.testing.assert_array_equal(
        fitted.predict(["CCN"], tables[1])["response"], fitted.predict(["CCN"], shuffled)["response"]
    )


def test_a_width_that_does_not_fit_is_named(fitted, tables):
    with pytest.raises(InputError, match="trained on 40 features, the table has 39 and lacks 1 of them, first 'g7'"):
        fitted.predict(["CCN"], tables[1].drop(columns="g7"))


def test_too_many_qubits_are_refused_before_training(data):
    with pytest.raises(InputError, match=r"64 qubits at batch size 1 take 4\.43e\+11 GB of memory"):
        DrugResponse(data, NetworkOptions(head="quantum", n_qubits=64, n_layers=1))


def test_angles_that_are_not_finite_are_named(fitted, data):
    broken = DrugResponse(data, NetworkOptions(head="quantum", n_layers=1))
    with torch.no_grad():
        broken.network.head.angles[0] = float("nan")
    with pytest.raises(InputError, match="angles must be finite"):
        broken.predict_pairs(data, np.arange(4))


def test_an_embedding_of_expression_is_a_cell_line_encoder(tables):
    responses, features, drugs = tables
    embedding = features.iloc[:, :5] * 3.7 - 1
    data = assemble(responses, embedding, drugs, binary=False)
    parts = sized_split(data, n_train=60, n_validation=20, n_test=20)
    model = DrugResponse(data, NetworkOptions(head="twin", cell_encoder="dense"))
    model.fit(data, parts, TrainingOptions(epochs=1))
    assert np.isfinite(model.predict(["CCO"], embedding)["response"]).all()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_files_that_are_not_models(content, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.safetensors"):
        DrugResponse.load(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="there is no file"):
        DrugResponse.load(tmp_path / "absent")
