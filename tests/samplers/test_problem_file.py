from __future__ import annotations

import json

import dimod
import numpy as np
import pytest
from dimod.serialization import coo
from hypothesis import given, settings
from hypothesis import strategies as st

import samplers
from samplers.errors import InputError
from samplers.problem_file import read_problem, write_problem


def write(tmp_path, content, name="problem.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def same_energies(one: samplers.Ising, two: samplers.Ising) -> None:
    states = np.random.default_rng(0).choice([-1, 1], (20, one.n))
    np.testing.assert_allclose(one.energies(states), two.energies(states), atol=1e-9)


@given(seed=st.integers(0, 1000), layout=st.sampled_from(["dense", "sparse", "bipartite"]))
@settings(deadline=None, max_examples=20)
def test_round_trip(tmp_path_factory, seed, layout):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    h = rng.normal(size=n)
    problem = {
        "dense": lambda: samplers.Ising(h, np.triu(rng.normal(size=(n, n)), 1), offset=0.3),
        "sparse": lambda: samplers.Ising(h, {(i, i + 1): rng.normal() for i in range(n - 1)}),
        "bipartite": lambda: samplers.Ising.bipartite(h[:1], h[1:], rng.normal(size=(1, n - 1)), offset=-1),
    }[layout]()
    path = tmp_path_factory.mktemp("round") / "p.json"
    write_problem(problem, path)
    back = read_problem(path)
    same_energies(problem, back)
    assert (back.layout == "bipartite") == (layout == "bipartite")
    assert [p.name for p in path.parent.iterdir()] == ["p.json"]


def test_matrix_and_edges_are_told_apart(tmp_path):
    edges = [[0, 1, 0.5], [0, 2, -1.0], [1, 2, 0.25]]
    matrix = [[0, 0.5, -1.0], [0.5, 0, 0.25], [-1.0, 0.25, 0]]
    one = read_problem(write(tmp_path, {"h": [0, 0.1, 0], "J": edges}))
    two = read_problem(write(tmp_path, {"h": [0, 0.1, 0], "J": matrix}))
    np.testing.assert_array_equal(one.dense, two.dense)
    assert read_problem(write(tmp_path, {"J": matrix})).n == 3
    assert read_problem(write(tmp_path, {"J": [[0, 4, 1.0], [1, 2, 1.0]]})).n == 5
    assert read_problem(write(tmp_path, {"h": [1.0, 2.0], "J": []})).n == 2


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_dimod_forms(tmp_path, vartype):
    bqm = dimod.BinaryQuadraticModel({0: 0.5, 1: -1.0, 2: 0.0}, {(0, 1): 0.5, (1, 2): -2.0}, 0.0, vartype)
    expected = samplers.Ising.from_bqm(bqm)
    same_energies(read_problem(write(tmp_path, bqm.to_serializable())), expected)
    text = coo.dumps(bqm, vartype_header=True)
    same_energies(read_problem(write(tmp_path, text, "problem.coo")), expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 1"),
        ("[1, 2]", "object"),
        ({"h": [0, 0]}, "couplings are missing"),
        ({"h": [0, 0], "j": [[0, 1, 1]]}, "'J'"),
        ({"h": [0, 0], "J": [[0, 5, 1]]}, "out of range"),
        ({"h": [0, 0], "J": [[0, 0, 1]]}, "itself"),
        ({"h": [0, 0], "J": [[0, 0.5, 1]]}, "edge 0"),
        ({"h": [0, 0, 0, 0], "J": [[0, 1], [1, 0]]}, "4 spins"),
        ({"h": [0, "x"], "J": [[0, 1, 1]]}, '"h"'),
        ({"h": [0, 0], "J": [[0, 1], [1]]}, '"J"'),
        ('{"h": [0, 0], "J": [[0, 1, NaN]]}', "finite"),
        ({"h_visible": [0], "h_hidden": [0, 0], "W": [[1]]}, "W has shape"),
        ({"h_hidden": [0, 0], "W": [[1]]}, '"h_visible"'),
        ({"type": "BinaryQuadraticModel"}, "damaged"),
    ],
)
def test_errors_name_the_file_and_the_fault(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_problem(path)
    assert words in str(error.value) and path.name in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_problem(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read"):
        read_problem(tmp_path / "x.json")
    with pytest.raises(InputError, match="COO"):
        read_problem(write(tmp_path, "not a problem", "x.txt"))
