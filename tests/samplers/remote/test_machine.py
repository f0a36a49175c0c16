from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import InputError, Ising
from samplers.quantisation import clip, quantise
from samplers.remote.machine import VARIABLE, Machine, machine


def test_a_problem_that_does_not_fit_is_told_what_would():
    small = Machine("CPQC-550", max_spins=550, ancillas=1)
    small.check(Ising(np.zeros(549), {}))
    with pytest.raises(
        InputError, match=r"600 spins and 1 ancilla does not fit 'CPQC-550', which takes 550: at most 549"
    ):
        small.check(Ising(np.zeros(600), {}))
    Machine("unknown").check(Ising(np.zeros(9999), {}))


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 700) | st.none(), st.integers(1, 10))
def test_batches_cover_the_reads_within_the_limits(reads, most, least):
    batches = Machine("m", max_reads=most and max(most, least), min_reads=least).batches(reads)
    assert sum(batches) >= reads and min(batches) >= least
    assert most is None or max(batches) <= max(most, least)
    assert max(batches) - min(batches) <= 1


def test_facts_come_from_account_file_and_user_in_that_order(tmp_path, monkeypatch):
    path = tmp_path / "machines.yaml"
    path.write_text("CIM: {max_spins: 1000, bits: 8, h_range: [-1, 1]}\n")
    monkeypatch.setenv(VARIABLE, str(path))
    found = machine("CIM", {"max_spins": 550, "max_reads": 10, "quota_calls": 3}, max_reads=20, bits=None)
    assert (found.max_spins, found.max_reads, found.bits, found.quota_calls) == (1000, 20, 8, 3)
    assert found.h_range == (-1.0, 1.0) and "price_per_call" in found.facts()
    assert machine("other").max_spins is None


def test_a_bad_file_of_machines_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match=r"none\.yaml"):
        machine("CIM")
    (tmp_path / "wrong.yaml").write_text("CIM: {max_spin: 5}")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "wrong.yaml"))
    with pytest.raises(InputError, match="'max_spin'; nearest: 'max_spins'"):
        machine("CIM")
    (tmp_path / "list.yaml").write_text("- 1")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "list.yaml"))
    with pytest.raises(InputError, match="must map names"):
        machine("CIM")


def test_clipping_is_reported():
    h, J, report = clip(np.array([0.5, -5.0, 0.0]), np.array([1.5, -0.5]), (-4, 4), (-2, 1))
    assert h.tolist() == [0.5, -4, 0] and J.tolist() == [1, -0.5]
    assert report.clipped == 0.5 and report.worst == 1.5
    assert clip(np.zeros(2), np.zeros(0), (-1, 1), (-1, 1))[2].worst == 0.0


def test_quantising_keeps_ratios_and_reports_what_it_lost():
    matrix = np.array([[0.0, 0.5], [-0.25, 2.0]])
    whole, report = quantise(matrix, gain=100.0, bits=8)
    assert whole.tolist() == [[0, 50], [-25, 127]]
    assert report.clipped == pytest.approx(1 / 3) and report.worst == pytest.approx(200 / 127) and report.rounding == 0
    assert 0 < quantise(matrix, gain=1.1, bits=8)[1].rounding < 0.5
    assert quantise(np.zeros((2, 2)), gain=1.0, bits=8)[1].rounding == 0
