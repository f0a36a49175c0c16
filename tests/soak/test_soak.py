from __future__ import annotations

import math

from tests.soak import soak


def test_a_few_seconds_of_soaking_end_cleanly_without_a_wrong_answer():
    report = soak.soak(minutes=0.04, kill_every=1.0)
    figures = report["figures"]
    assert figures["wrong answers"] == 0 and figures["server's exit code"] == 0 and not figures["token leaked"]
    assert figures["steps over HTTP"] == figures["calls in the ledger"] >= 1
    assert set(report["verdicts"]) == {
        "no wrong answer", "memory flat", "effective temperature tracked", "both learned", "clean end, no credentials",
    }  # fmt: skip


def test_growth_is_that_of_the_last_quarter():
    assert soak._growth([50.0, 90.0] + [100.0] * 30) == 0.0
    assert soak._growth([float(k) for k in range(40)]) == 20.0
    assert math.isnan(soak._growth([1.0]))


def test_each_failure_has_its_verdict():
    good = {
        "wrong answers": 0, "answers compared": 5, "growth of server (MiB)": 0.1, "scale error, median": 0.02,
        "scale error, 95 %": 0.1, "KL over HTTP": 0.01, "KL on the machine": 0.01, "server's exit code": 0,
        "token leaked": False,
    }  # fmt: skip
    assert all(soak._judge(good)["verdicts"].values())
    for name, value in {
        "wrong answers": 1, "growth of server (MiB)": 50.0, "scale error, 95 %": 1.0, "KL on the machine": 1.0,
        "token leaked": True,
    }.items():  # fmt: skip
        assert sum(not passed for passed in soak._judge({**good, name: value})["verdicts"].values()) == 1
