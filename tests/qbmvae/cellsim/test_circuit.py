from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qbmvae.cellsim import GeneCircuit
from samplers.errors import InputError


@pytest.mark.parametrize(
    ("activations", "edges", "says"),
    [
        ([0.2, 1.1], [], "activation of gene g1 is 1.1: activations lie in [0, 1]"),
        ([0.2, float("nan")], [], "activation of gene g1 is nan"),
        ([0.2, -0.1], [], "g1 is -0.1"),
        ([], [], "give one number a gene"),
        (["high"], [], "must be numbers"),
        ([0.2, 0.3], [(1, 1)], "gene 'g1' is both control and target"),
        ([0.2, 0.3], [(0, 2)], "target 2 is not a gene of the circuit: it has genes 0 to 1"),
        ([0.2, 0.3], [("g0", "g4")], "target 'g4' is not a gene of the circuit; nearest: 'g1', 'g0'"),
        ([0.2, 0.3], [(0, 1, "cnot")], "unknown gate 'cnot'"),
        ([0.2, 0.3], [(0, 1, "cx", 0.5)], "a cx gate has no strength"),
        ([0.2, 0.3], [(0, 1, "cry", -0.5)], "a repressing edge has sign -1"),
        ([0.2, 0.3], [(0, 1, "cry", 0.5, "up")], "sign 'up'"),
        ([0.2, 0.3], [(0,)], "an edge is (control, target"),
        ([0.2, 0.3], [{"control": 0, "to": 1}], "unknown key 'to'"),
    ],
)
def test_wrong_input_is_named(activations, edges, says):
    with pytest.raises(InputError) as error:
        GeneCircuit(activations, edges)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_cycle_that_no_engine_holds_says_how_much_memory_it_needs():
    n = 40
    edges = [(i, (i + 1) % n, "cry", 0.3) for i in range(n)] * 2
    gc = GeneCircuit(np.full(n, 0.5), edges)
    assert gc.engine == "components"
    with pytest.raises(InputError, match=r"feed back on one another .* need a joint statevector of .*iB"):
        gc.sample(10, seed=0)
    with pytest.raises(InputError, match=r"2\^40 outcomes"):
        gc.probabilities()


def test_marginals_of_a_large_part_with_rotations_are_refused():
    gc = GeneCircuit(np.full(30, 0.5), [(i, i + 1, "cry", 0.2) for i in range(29)])
    with pytest.raises(InputError, match="part of 30 with rotations"):
        gc.marginals()
    assert gc.sample(100, seed=0).shape == (100, 30)


def test_engines_that_cannot_hold_a_circuit_refuse_it():
    rotations = GeneCircuit([0.2, 0.3], [(0, 1, "cry", 0.4)])
    with pytest.raises(InputError, match="needs only CX edges; this circuit needs 'bayesian-network'"):
        rotations.sample(5, engine="gf2")
    with pytest.raises(InputError, match="unknown engine 'gf3'; nearest: 'gf2'"):
        rotations.sample(5, engine="gf3")
    with pytest.raises(InputError, match="no exact probabilities"):
        rotations.probabilities("aer")
    with pytest.raises(InputError, match="n_cells is 0"):
        rotations.sample(0)


def test_edges_take_names_mappings_and_signs():
    gc = GeneCircuit(
        [0.5, 0.5], [{"control": "B", "target": "A", "gate": "cry", "strength": 0.25, "sign": "-"}], ["A", "B"]
    )
    assert gc.edges[0].control == 1 and gc.edges[0].angle == pytest.approx(-np.pi / 4)
    # B off: P(A) = 1/2; B on: sin^2((pi/2 - pi/4) / 2)
    p = gc.probabilities().reshape(2, 2)
    assert p[1, 0] == pytest.approx(0.25) and p[1, 1] == pytest.approx(0.5 * np.sin(np.pi / 8) ** 2)
    opened = GeneCircuit([0.5, 0.0], [(0, 1, "cx", 1, "-")]).probabilities().reshape(2, 2)
    assert opened[0, 1] == pytest.approx(0.5) and opened[1, 0] == pytest.approx(0.5)


def test_importing_the_simulator_does_not_import_scvi_or_torch():
    code = "import sys, qbmvae.cellsim; sys.exit(any(m in sys.modules for m in ('scvi', 'torch', 'scanpy', 'qiskit')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
