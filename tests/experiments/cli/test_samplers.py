from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.benchmarks.cells import CellError, Cells


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(qbmvae):
    """`qbmvae samplers` with words, which must end well: stdout out."""

    def called(*words: str) -> str:
        code, out, err = qbmvae("samplers", *words)
        assert code == 0, err
        return out

    return called


@pytest.fixture
def problem(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "problem.json"
    couplings = np.triu(rng.normal(0, 0.3, (10, 10)), 1).tolist()
    path.write_text(json.dumps({"h": rng.normal(0, 0.2, 10).tolist(), "J": couplings}))
    return path


def test_list(call):
    text = call("list")
    assert "population-annealing" in text and "optimiser" in text and "remote" in text
    listed = json.loads(call("list", "--json"))
    assert listed["gibbs"]["kind"] == "sampler" and listed["dwave"]["remote"]


def test_check_prints_a_verdict_and_writes_plots(call, problem, tmp_path):
    result = call("check", "gibbs", "--problem", str(problem))
    assert result.startswith("GOOD") and "effective beta" in result and "Callen" in result
    folder = tmp_path / "check-gibbs"
    assert {p.name for p in folder.iterdir()} == {
        "energies.png", "moments.png", "fields.png", "residuals.png", "verdict.json", "report.html",
    }  # fmt: skip
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["level"] == "good" and verdict["num_spins"] == 10 and verdict["reference"] == "enumeration"


def test_check_for_machines(call, problem, tmp_path):
    out = tmp_path / "deep" / "folder"
    words = ["check", "coherent-ising?correction_sweeps=3", "--problem", str(problem), "--num-reads", "200"]
    result = call(*words, "--beta", "0.5", "--seed", "7", "--out", str(out), "--json")
    verdict = json.loads(result)
    assert verdict["beta"] == 0.5 and verdict["num_reads"] == 200 and len(verdict["plots"]) == 4
    assert "moment error, random start" in verdict["findings"]
    assert call(*words, "--out", str(out), "--quiet") == ""


def test_check_without_a_problem_and_with_data(call, tmp_path):
    np.save(tmp_path / "data.npy", np.ones((5, 12)))
    result = call("check", "gibbs?num_sweeps=1", "--spins", "12", "--data", "data.npy", "--num-reads", "100")
    assert "R-hat" in result


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "gibs"], "gibbs"),
        (["check", "gibbs?sweeps=3"], "num_sweeps"),
        (["check", "gibbs", "--problem", "none.json"], "none.json"),
        (["check", "gibbs", "--num-reads", "3"], ">= 50"),
        (["check", "gibbs", "--beta", "-1"], "beta"),
        (["check", "gibbs", "--data", "none.npy"], "none.npy"),
        (["bench", "--sizes", "12,x"], "'x'"),
        (["bench", "--sizes", "12", "--couplings", "ising"], "gaussian"),
        (["bench", "--sizes", "12", "--seconds", "0"], "> 0"),
        (["serve", "--token-file", "none.txt"], "none.txt"),
        (["serve", "--backend", "gibs"], "gibbs"),
    ],
)
def test_wrong_input_is_one_line_that_helps(qbmvae, words, said):
    code, _, err = qbmvae("samplers", *words)
    assert code == 2 and said in err and err.count("\n") == 1


def test_exit_code_two(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.cli.main", "samplers", "check", "gibs"],
        capture_output=True, text=True, cwd=tmp_path, env={**__import__("os").environ, "PYTHONPATH": _root()},
    )  # fmt: skip
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and done.stdout == ""


def _root() -> str:
    import experiments

    return experiments.__path__[0].rsplit("/", 1)[0]


def test_bench(call, tmp_path):
    words = ["bench", "--sizes", "12,16", "--seconds", "0.05", "-b", "gibbs", "-b", "coherent-ising", "--quiet"]
    call(*words)
    report = json.loads((tmp_path / "sampler-bench" / "bench.json").read_text())
    assert (tmp_path / "sampler-bench" / "gap.png").read_bytes()[:4] == b"\x89PNG"
    rows = report["optimisation"]
    assert {r["backend"] for r in rows} == {"gibbs", "coherent-ising", "simulated-annealing"}
    assert {(r["kind"], r["n"]) for r in rows} == {(k, n) for k in ("pm1", "gaussian") for n in (12, 16)}
    for row in rows:
        assert row["best"] <= row["mean"] and row["over_best_known"] >= 0
        assert (row["gap"] == 0) or row["backend"] != "simulated-annealing"
    assert all(r["moment_error"] > 0.5 for r in report["sampling"])


def test_bench_leaves_out_what_takes_too_long(call, tmp_path):
    # a path integral of 1,000 spins, all coupled, takes minutes; 15 s is what a busy machine may need for the others
    words = ["bench", "--sizes", "1000", "--couplings", "pm1", "--seconds", "0.05", "--most-seconds", "15", "--quiet"]
    call(*words, "-b", "gibbs", "-b", "path-integral-annealing?num_sweeps=20000")
    report = json.loads((tmp_path / "sampler-bench" / "bench.json").read_text())
    assert {r["backend"] for r in report["optimisation"]} == {"gibbs", "simulated-annealing"}
    (out,) = report["left_out"]
    assert out["backend"].startswith("path-integral") and out["reason"] == "took longer than 15 s"
    assert (tmp_path / "sampler-bench" / "gap.png").exists()


def test_a_call_that_hangs_or_dies_is_ended_and_the_next_one_served():
    with Cells(60.0) as cells:
        assert cells.call(abs, -3) == 3
        with pytest.raises(CellError, match=r"longer than 0\.5 s"):
            cells.call(time.sleep, 600, most=0.5)
        with pytest.raises(CellError, match="died"):
            cells.call(os._exit, 9)
        with pytest.raises(ZeroDivisionError):
            cells.call(divmod, 1, 0)
        assert cells.call(abs, -3) == 3


def test_serve_passes_its_limits_on(call, qbmvae, tmp_path, monkeypatch):
    seen = {}
    import samplers.server.app as server

    monkeypatch.setattr(server, "serve", lambda spec, **options: seen.update(spec=spec, **options))
    (tmp_path / "token.txt").write_text("secret\n")
    call("serve", "--backend", "gibbs", "--port", "9001", "--token-file", "token.txt", "--max-spins", "10")
    assert seen["spec"] == "gibbs" and seen["port"] == 9001 and seen["token"] == "secret" and seen["max_spins"] == 10
    assert {"host", "max_reads", "max_seconds", "workers"} <= set(seen)
    (tmp_path / "token.txt").write_text("\n")
    code, _, err = qbmvae("samplers", "serve", "--token-file", "token.txt")
    assert code == 2 and "empty" in err
