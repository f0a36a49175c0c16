from __future__ import annotations

import json
import os
import pkgutil

import pytest

from experiments import benchmarks
from experiments.benchmarks.__main__ import HELPERS, names
from experiments.benchmarks.report import alone, arguments, finish, in_turn, ratios, selected


def test_options_have_the_type_of_their_default(tmp_path):
    words = ["--cells", "5", "--sizes", "1", "2", "--rate", ".5", "--out", str(tmp_path / "o"), "--only", "a"]
    found = arguments("One line.\n\nMore.", words, cells=3, sizes=[9], rate=(1.0, "a rate"), names=([], "none"))
    assert (found.cells, found.sizes, found.rate, found.names, found.out) == (5, [1, 2], 0.5, [], tmp_path / "o")
    assert selected(found, "abc") and not selected(found, "bcd")
    with pytest.raises(SystemExit):
        arguments("One line.", ["--cells", "five"], cells=3)


def test_calls_take_turns_and_compare():
    order: list[str] = []
    found = in_turn({"a": lambda: order.append("a") or 2.0, "b": lambda: order.append("b") or 6.0}, 2)
    assert order == ["a", "b", "a", "b"] and found == {"a": [2.0, 2.0], "b": [6.0, 6.0]}
    assert ratios([1.0, 2.0, 4.0], [2.0, 2.0, 2.0], "gain") == {"gain (median)": 1.0, "least": 0.5, "largest": 2.0}


def test_a_function_alone_has_another_process():
    assert alone(os.getpid) != os.getpid()


def test_the_table_is_printed_and_written(tmp_path, capsys):
    rows = [{"name": "a", "ms": 12345.6, "each": [0.5, 1.0]}, {"name": "bb", "more": 3}]
    finish("a title", rows, tmp_path / "rows.json")
    out = capsys.readouterr().out
    assert "| a    | 12,346 | 0.5 1 |      |" in out and "a title" in out
    assert json.loads((tmp_path / "rows.json").read_text())["rows"] == rows


def test_every_benchmark_is_known_by_name():
    files = {m.name for m in pkgutil.iter_modules(benchmarks.__path__)}
    assert set(names()) == files - HELPERS
