from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import yaml

from experiments.config import build, load
from experiments.drug_response import cells, sweep
from experiments.drug_response.compare import compare
from experiments.drug_response.config import CompareConfig, SweepConfig, Tables, plain, read_data
from experiments.drug_response.controls import CONTROLS, fit_control
from qbmvae.drug_response import sized_split
from samplers.errors import InputError


@pytest.fixture(scope="module")
def config(files) -> CompareConfig:
    return load(
        CompareConfig,
        None,
        [
            *(f"tables.{k}={files[k]}" for k in ("ic50", "features", "drugs")),
            "heads=[quantum, twin]",
            "controls=[drug-mean, ridge]",
            "sizes=[{train: 20, test: 5, epochs: 2, batch_size: 8}, {train: 60, test: 20, epochs: 5, batch_size: 16}]",
            "seeds=[0, 1]",
            "common_test=30",
        ],
    )


def test_a_stopped_comparison_goes_on(config, tmp_path, monkeypatch):
    run, calls = cells.run_cell, []

    def stops_after_three(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments[2].key)
        return run(*arguments)

    monkeypatch.setattr(cells, "run_cell", stops_after_three)
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path)
    monkeypatch.setattr(cells, "run_cell", lambda *a: (calls.append(a[2].key), run(*a))[1])
    found = compare(config, tmp_path)
    assert len(calls) == len(set(calls)) == 16
    compare(config, tmp_path)
    assert len(calls) == 16

    assert set(found) == {"summary", "differences", "mechanisms", "claims"}
    assert (
        not len(found["mechanisms"])
        and len(found["summary"]) == 8
        and len(found["differences"]) == 6
        and len(found["claims"]) == 5
    )
    assert found["summary"]["mse"].gt(0).all()
    results = pd.read_parquet(tmp_path / "results.parquet")
    assert len(results) == 16 and results["paper_mse"].notna().all()
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert len(stored["claims"]) == 5
    text = (tmp_path / "report.html").read_text()
    heads = re.findall(r"<th [^>]*><button type=\"button\"[^>]*>([^<]*)", text)
    assert "Pearson within drugs" in heads and not [head for head in heads if "_" in head]
    assert text.count("data:image/png;base64") == 2 and "16 of 16 trainings" in text
    with pytest.raises(InputError, match="another 'learning_rate'"):
        compare(build(CompareConfig, plain(config) | {"learning_rate": 0.1}), tmp_path)


def test_heads_on_top_of_means_are_rows_of_their_own(config, tmp_path):
    values = plain(config) | {"heads": ["mlp", "mlp+means"], "controls": ["drug-and-line-mean"], "seeds": [0]}
    found = compare(build(CompareConfig, values | {"sizes": values["sizes"][1:]}), tmp_path)
    errors = found["summary"].set_index("model")["mse"]
    assert errors["mlp+means"] < errors["mlp"]
    share = json.loads((tmp_path / "fits" / "mlp+means-60-0.json").read_text())["share"]
    assert 0 <= share <= 1
    with pytest.raises(InputError, match=r"no head 'mlpp'.*'mlp'"):
        build(CompareConfig, values | {"heads": ["mlpp+means"]})


def test_blind_splits_and_strata_by_mechanism(config, files, tmp_path):
    drugs = pd.read_csv(files["drugs"]).assign(pathway=["A", "A", "A", "B", "B", None])
    drugs.to_csv(tmp_path / "drugs.csv", index=False)
    values = plain(config) | {"tables": {**plain(config)["tables"], "drugs": str(tmp_path / "drugs.csv")}}
    values["tables"]["lines"] = files["lines"]
    values |= {"splits": ["random", "blind-tissue-and-drug"], "sizes": [{**values["sizes"][0], "test": 5}]}
    found = compare(build(CompareConfig, values | {"common_test": 6, "heads": ["quantum"]}), tmp_path / "out")
    assert set(found["summary"]["split"]) == {"random", "blind-tissue-and-drug"} and len(found["summary"]) == 6
    # the claims are held against random pairs, though files come in the order of their names
    assert list(found["summary"]["split"].unique()) == ["random", "blind-tissue-and-drug"]
    assert set(found["mechanisms"]["mechanism"]) <= {"A", "B", "unknown"} and len(found["mechanisms"])
    assert "By mechanism of action" in (tmp_path / "out" / "report.html").read_text()


def test_a_comparison_of_failures_says_the_first(config, tmp_path, monkeypatch):
    def fails(*arguments):
        raise ValueError("no luck")

    monkeypatch.setattr(cells, "run_cell", fails)
    with pytest.raises(RuntimeError, match="16 of 16 fits failed, the first, .*no luck"):
        compare(config, tmp_path)


def test_the_test_never_chooses(config):
    cell = next(c for c in cells.grid(config) if c.name == "twin" and c.size.train == 60)
    data = read_data(config.tables)
    parts = sized_split(data, n_train=60, n_validation=30, n_test=30, seed=cell.seed)
    before = cells.run_cell(config, data, cell)
    data.values[parts.test] = 50.0
    after = cells.run_cell(config, data, cell)
    assert before["best_epoch"] == after["best_epoch"]
    assert before["history"]["mse_validation"] == after["history"]["mse_validation"]
    assert before["common"]["mse"] < after["common"]["mse"]


@pytest.mark.parametrize("name", sorted(set(CONTROLS) - {"line-mean"}))  # which knows lines alone
def test_controls_learn_potency(files, name):
    data = read_data(Tables(files["ic50"], files["features"], files["drugs"]))
    parts = sized_split(data, n_train=100, n_validation=30, n_test=40, seed=0)
    found = fit_control(name, data, parts, 0)(parts.test)
    observed = data.response[parts.test]
    assert found.shape == (40,) and ((found - observed) ** 2).mean() < 0.5 * observed.var()


def test_a_sweep_chooses_on_validation(files, tmp_path):
    config = load(
        SweepConfig,
        None,
        [
            *(f"tables.{k}={files[k]}" for k in ("ic50", "features", "drugs")),
            "n_qubits=[2, 4]",
            "n_layers=[1]",
            "learning_rate=[0.001]",
            "train=40",
            "validation=20",
            "test=20",
            "epochs=2",
        ],
    )
    chosen = sweep.sweep(config, tmp_path)
    ranked = pd.read_csv(tmp_path / "sweep.csv")
    assert len(ranked) == 2 and ranked["validation_mse"].is_monotonic_increasing
    assert chosen["validation_mse"] == pytest.approx(ranked["validation_mse"][0])
    assert {p.name for p in (tmp_path / "fits").iterdir()} == {"2-1-0.001-adam-0.json", "4-1-0.001-adam-0.json"}
    assert chosen["test"]["mse"] > 0 and "Chosen" in (tmp_path / "report.html").read_text()
    assert sweep.sweep(config, tmp_path)["setting"] == chosen["setting"]


def test_the_shipped_configurations_are_the_defaults():
    assert load(CompareConfig, "drug-paper") == CompareConfig()
    assert load(SweepConfig, "drug-sweep") == SweepConfig()
    assert [(s.train, s.test) for s in CompareConfig().sizes] == [(50, 10), (200, 50), (5000, 1000)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seds=[0]", "nearest: 'seeds'"),
        ("seeds", "not key=value"),
        ("tables.ic51=x", "nearest: 'ic50'"),
        ("heads=[quantom]", "nearest: 'quantum'"),
        ("controls=[rigde]", "nearest: 'ridge'"),
        ("sizes=[{train: 5}]", "'sizes.0.test' is missing"),
        ("sizes=[5]", "takes a mapping, not 5"),
        ("seeds=[]", "one entry or more"),
    ],
)
def test_bad_overrides_are_named(override, message):
    with pytest.raises(InputError, match=message):
        load(CompareConfig, None, [override])


def test_names_in_configurations_are_those_of_the_tables():
    from typing import get_args

    from experiments.drug_response import config
    from experiments.drug_response.config import ControlName, OptimiserName
    from qbmvae.drug_response.heads import HEADS
    from qbmvae.drug_response.training import OPTIMISERS

    assert set(config.HEADS) == set(HEADS) and set(get_args(ControlName)) == set(CONTROLS)
    assert set(get_args(OptimiserName)) == set(OPTIMISERS)


def test_configurations_survive_yaml(tmp_path):
    config = load(CompareConfig, None, ["seeds=[3]", "tables.target=auc"])
    assert build(CompareConfig, yaml.safe_load(yaml.safe_dump(plain(config)))) == config
    with pytest.raises(InputError, match="there is no file"):
        load(CompareConfig, tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(InputError, match="not valid YAML"):
        load(CompareConfig, tmp_path / "bad.yaml")
