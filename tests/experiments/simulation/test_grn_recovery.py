from __future__ import annotations

import numpy as np
import pytest

from experiments.simulation.grn_recovery import beeline_cases, random_circuit, score, simulated_cases


def test_scores_count_directed_edges_and_pairs():
    truth = np.zeros((4, 4), dtype=bool)
    truth[0, 1] = truth[2, 3] = True
    perfect = score(truth.astype(float), truth)
    assert perfect["auprc"] == perfect["auprc_pairs"] == 1.0
    assert perfect["chance"] == pytest.approx(2 / 12) and perfect["chance_pairs"] == pytest.approx(2 / 6)
    both = score((truth | truth.T).astype(float), truth)
    assert both["auprc"] == pytest.approx(0.5) and both["auprc_pairs"] == 1.0


def test_cases_hold_their_truth(shared_data):
    cases = simulated_cases(1, 30)
    assert [task for task, _, _ in cases] == ["cx", "cry", "signed cry", "paper case 1, joint"]
    for _, expression, truth in cases:
        assert expression.shape == (30, len(truth)) and truth.sum() in (3, 20)
    assert len(random_circuit("cry", 0)["edges"]) == 20
    beeline = beeline_cases(shared_data / "simulated" / "beeline_SIMULATED")
    assert len(beeline) == 9 and all(t.any() and not t.diagonal().any() for _, _, t in beeline)
