from __future__ import annotations

import sys

import numpy as np
import pytest

from experiments.data.synthetic import synthetic
from experiments.evaluation import bit_stability
from experiments.evaluation.bit_stability import Bits
from samplers.errors import InputError


def test_turned_and_permuted_bits_are_found_again():
    rng = np.random.default_rng(0)
    q, effects = rng.random((400, 12)), rng.normal(size=(12, 50))
    W = np.triu(rng.normal(size=(12, 12)), 1)
    W = W + W.T
    order, turned = rng.permutation(12), rng.random(12) < 0.5
    sign = np.where(turned, -1, 1)
    other = Bits(
        np.where(turned, 1 - q, q)[:, order],
        (effects * sign[:, None])[order],
        (W * np.outer(sign, sign))[np.ix_(order, order)],
    )
    found = bit_stability.compare(Bits(q, effects, W), other)
    for name in ("matched", "above .8", "effects", "couplings", "explained"):
        assert found[name] == pytest.approx(1.0), name
    assert found["null"] < 0.3
    # bits that have nothing to do with each other are no better than the null
    strange = Bits(rng.random((400, 12)), effects, W)
    found = bit_stability.compare(Bits(q, effects, W), strange)
    assert found["matched"] == pytest.approx(found["null"], abs=0.05)
    assert found["above .5"] == 0


def test_a_mixture_of_bits_is_explained_though_no_bit_matches():
    rng = np.random.default_rng(1)
    q = rng.random((500, 10))
    rotated = q @ np.linalg.qr(rng.normal(size=(10, 10)))[0]
    found = bit_stability.compare(Bits(q, q.T, np.eye(10)), Bits(rotated, rotated.T, np.eye(10)))
    assert found["explained"] == pytest.approx(1.0)
    assert found["above .8"] < 0.5


def test_the_best_factor_for_a_condition_may_point_down():
    treated = np.arange(40) < 20
    q = np.column_stack([np.random.default_rng(0).random(40), np.where(treated, 0.1, 0.9)])
    assert bit_stability.best_auroc(Bits(q, q.T, None), treated) == 1.0


def test_factors_without_couplings_are_compared_without():
    q = np.random.default_rng(2).normal(size=(50, 4))
    found = bit_stability.compare(Bits(q, q.T, None), Bits(-q, -q.T, None))
    assert found["matched"] == pytest.approx(1) and found["effects"] == pytest.approx(1) and "couplings" not in found


def test_the_command(tmp_path, monkeypatch, capsys):
    synthetic(n_cells=120, n_genes=40, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    command = ["bit_stability", str(tmp_path / "cells.h5ad"), "--max-epochs", "4"]
    monkeypatch.setattr(sys, "argv", [*command, "--condition", "batch", "--control", "batch 1"])
    bit_stability.main()
    out = capsys.readouterr().out
    assert '"seeds": "0, 1"' in out and "explained" in out and "best AUROC" in out
    monkeypatch.setattr(sys, "argv", [*command, "--condition", "batch", "--control", "batch1"])
    with pytest.raises(InputError, match="no value 'batch1'.*'batch 1'"):
        bit_stability.main()
    monkeypatch.setitem(sys.modules, "drvi", None)
    monkeypatch.setattr(sys, "argv", [*command, "--model", "drvi"])
    with pytest.raises(InputError, match="pip install drvi-py"):
        bit_stability.main()
    monkeypatch.setattr(sys, "argv", ["bit_stability", str(tmp_path / "cells.h5ad"), "--seeds", "0"])
    with pytest.raises(SystemExit):
        bit_stability.main()
