"""Problems, states, clamped spins and seeds as users of dimod, pandas, torch and scipy have them: one meaning, or a name."""

from __future__ import annotations

from fractions import Fraction

import dimod
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import samplers
from samplers import InputError, Ising
from samplers.problem_file import read_problem, write_problem

H = np.array([0.5, -0.25, 0.125, 0.0])
UPPER = np.array([[0, 1.0, -0.5, 0], [0, 0, 0, 0.25], [0, 0, 0, -2.0], [0, 0, 0, 0]])
FULL = UPPER + UPPER.T
NAMES = ["a", ("b", 1), 7, "d"]
TRUTH = Ising(H, UPPER)


def edges(names=range(4), lower=False):
    return {(names[j], names[i]) if lower else (names[i], names[j]): UPPER[i, j] for i, j in np.argwhere(UPPER)}


def frame(order=range(4)):
    order = list(order)
    names = ["p", "q", "r", "s"]
    return pd.DataFrame(FULL[np.ix_(order, order)], [names[i] for i in order], [names[i] for i in order])


SAME = {
    "lists": lambda: Ising(H.tolist(), UPPER.tolist()),
    "tuples": lambda: Ising(tuple(H), tuple(map(tuple, FULL))),
    "symmetric": lambda: Ising(H, FULL),
    "lower": lambda: Ising(H, UPPER.T),
    "float32": lambda: Ising(H.astype(np.float32), FULL.astype(np.float32)),
    "fortran": lambda: Ising(H, np.asfortranarray(FULL)),
    "objects": lambda: Ising([Fraction(1, 2), -0.25, 0.125, 0], FULL.astype(object)),
    "torch": lambda: Ising(torch.tensor(H, requires_grad=True), torch.tensor(FULL, requires_grad=True)),
    "torch sparse": lambda: Ising(torch.tensor(H), torch.tensor(UPPER).to_sparse()),
    "torch csr": lambda: Ising(torch.tensor(H), torch.tensor(UPPER).to_sparse_csr()),
    "series": lambda: Ising(pd.Series(H), FULL),
    "frame": lambda: Ising(H, frame()),
    "series and shuffled frame": lambda: Ising(pd.Series(H, ["p", "q", "r", "s"]), frame([2, 0, 3, 1])),
    "dict and frame": lambda: Ising(dict(zip("pqrs", H, strict=True)), frame([3, 1, 2, 0])),
    "mapping": lambda: Ising(H, edges()),
    "lower mapping": lambda: Ising(H, edges(lower=True)),
    "numpy keys": lambda: Ising(H, {(np.int64(i), np.int32(j)): v for (i, j), v in edges().items()}),
    "whole floats": lambda: Ising(H, {(float(i), float(j)): v for (i, j), v in edges().items()}),
    "dict of whole numbers in another order": lambda: Ising({3: 0.0, 1: -0.25, 0: 0.5, 2: 0.125}, edges()),
    "dict without zeros": lambda: Ising({0: 0.5, 1: -0.25, 2: 0.125}, edges()),
    "dict by label": lambda: Ising(dict(zip(NAMES, H, strict=True)), edges(NAMES)),
    "array with labels": lambda: Ising(H, edges(NAMES), labels=NAMES),
    "labels as an index": lambda: Ising(H, FULL, labels=pd.Index(list("wxyz"))),
    "bqm": lambda: Ising.from_bqm(TRUTH.to_bqm()),
    "binary bqm": lambda: Ising.from_bqm(TRUTH.to_bqm("BINARY")),
    "object bqm": lambda: Ising.from_bqm(dimod.BinaryQuadraticModel(TRUTH.to_bqm(), dtype=object)),
    **{
        f"{kind.__name__} of {name}": lambda kind=kind, matrix=matrix: Ising(H, kind(matrix))
        for kind in (
            sp.csr_matrix, sp.csc_array, sp.coo_array, sp.coo_matrix, sp.dia_array, sp.bsr_array, sp.lil_array, sp.dok_array,
        )
        for name, matrix in {"full": FULL, "upper": UPPER, "lower": UPPER.T}.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("form", SAME, ids=lambda form: form.replace(" ", "-"))
def test_every_form_means_one_problem(form):
    problem = SAME[form]()
    states = samplers.get("exact").draw(TRUTH, 40, 0.1, seed=0).states
    np.testing.assert_allclose(
        problem.energies(states) - problem.offset, TRUTH.energies(states) - TRUTH.offset, atol=1e-6
    )
    assert problem.h.dtype == np.float64 and problem.dense.dtype == np.float64


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int8, (5, 5), elements=st.integers(-100, 100)), st.sampled_from(["i1", "i2", "f4", "f8", "u1"]))
def test_arrays_sparse_matrices_mappings_files_and_sample_ising_agree(tmp_path_factory, values, dtype):
    upper = np.triu(np.abs(values), 1).astype(dtype)
    full, states = upper + upper.T, samplers.get("exact").draw(Ising(np.zeros(5), {}), 12, seed=0).states
    truth = np.array([s @ upper.astype(float) @ s for s in states.astype(float)])
    forms = [full, upper, sp.coo_array(full), sp.csc_array(upper), {(i, j): upper[i, j] for i, j in np.argwhere(upper)}]
    for J in forms:
        np.testing.assert_allclose(Ising(np.zeros(5, dtype), J).energies(states), truth)
        answer = samplers.get("gibbs", num_sweeps=1).sample_ising([0.0] * 5, J, num_reads=6, seed=0)
        spins = answer.record.sample.astype(float)
        np.testing.assert_allclose(answer.record.energy, np.einsum("ri,ij,rj->r", spins, upper.astype(float), spins))
    path = tmp_path_factory.mktemp("p") / "problem.json"
    write_problem(Ising(np.zeros(5), full), path)
    np.testing.assert_allclose(read_problem(path).energies(states), truth)


def test_small_integers_do_not_overflow():
    twice = sp.coo_array((np.array([100, 100], np.int8), (np.array([0, 0]), np.array([1, 1]))), shape=(2, 2))
    assert Ising(np.array([100, 100], np.int8), twice).energies([1, 1]) == 400
    full = np.array([[0, 100], [100, 0]], dtype=np.int8)
    assert Ising([0, 0], full).energies([1, 1]) == 100
    problem = Ising.from_binary(np.array([100, 100], np.int8), full)
    assert problem.energies([1, 1]) == pytest.approx(-300)
    assert Ising.from_binary([100, 100], np.triu(full)).energies([1, 1]) == pytest.approx(-300)


def test_a_mapping_with_both_orders_is_summed_as_dimod_does_and_a_file_with_both_is_refused(tmp_path):
    both = {(0, 1): 1.0, (1, 0): 0.5}
    assert Ising([0, 0], both).energies([1, 1]) == dimod.BinaryQuadraticModel.from_ising({}, both).energy([1, 1])
    path = tmp_path / "p.json"
    path.write_text('{"h": [0, 0], "J": [[0, 1, 1.0], [1, 0, 1.0]]}')
    with pytest.raises(InputError, match="both orders"):
        read_problem(path)


WRONG = {
    "float index": (lambda: Ising([0, 0], {(0, 1.5): 1.0}), r"1\.5"),
    "text labels without names": (lambda: Ising([0, 0], {("a", "b"): 1.0}), "'a'"),
    "unknown label": (lambda: Ising({"a": 1}, {("a", "b"): 1.0}, labels=["a"]), "'b'"),
    "unknown field": (lambda: Ising({"a": 1, "c": 1}, {}, labels=["a", "b"]), "'c'"),
    "text key": (lambda: Ising([0, 0], {"ab": 1.0}), "pairs of spins"),
    "three spins": (lambda: Ising([0, 0], {(0, 1, 1): 1.0}), "pairs of spins"),
    "out of range": (lambda: Ising([0, 0], {(0, 2): 1.0}), "out of range"),
    "negative": (lambda: Ising([0, 0], {(0, -1): 1.0}), "out of range"),
    "self-loop": (lambda: Ising([0, 0], {(1, 1): 1.0}), "coupled to itself"),
    "self-loop by label": (lambda: Ising({"a": 0}, {("a", "a"): 1.0}), "coupled to itself"),
    "diagonal": (lambda: Ising([0, 0], np.eye(2)), "coupled to itself"),
    "sparse diagonal": (lambda: Ising([0, 0], sp.eye_array(2)), "coupled to itself"),
    "asymmetric": (lambda: Ising([0, 0], [[0, 1], [2, 0]]), "neither symmetric nor triangular"),
    "asymmetric sparse": (lambda: Ising([0, 0], sp.csr_array([[0, 1.0], [2, 0]])), "neither symmetric nor triangular"),
    "shape": (lambda: Ising([0, 0], np.zeros((3, 3))), r"shape \(3, 3\)"),
    "a list of edges": (lambda: Ising([0, 0], [[0, 1, 1.0]]), r"\{\(i, j\): value\}"),
    "ragged": (lambda: Ising([0, 0], [[0, 1], [2]]), "rows of equal length"),
    "one-dimensional sparse": (lambda: Ising([0, 0], sp.coo_array(np.ones(3))), "shape"),
    "complex h": (lambda: Ising([1j, 0], {}), "complex"),
    "complex J": (lambda: Ising([0, 0], [[0, 1j], [1j, 0]]), "complex"),
    "complex sparse": (lambda: Ising([0, 0], sp.csr_array([[0, 1j], [0, 0]])), "complex"),
    "complex value": (lambda: Ising([0, 0], {(0, 1): 1j}), "must be numbers"),
    "bool": (lambda: Ising([True, False], {}), "bool"),
    "bool sparse": (lambda: Ising([0, 0], sp.csr_array(np.triu(np.ones((2, 2), bool), 1))), "bool"),
    "bool objects": (lambda: Ising(np.array([True, 1.0], dtype=object), {}), "booleans"),
    "texts": (lambda: Ising(["1", "2"], {}), "real numbers"),
    "text objects": (lambda: Ising(np.array(["1", 2.0], dtype=object), {}), "texts"),
    "text value": (lambda: Ising([0, 0], {(0, 1): "x"}), r"J\[\(0, 1\)\] is 'x'"),
    "None": (lambda: Ising(None, {}), "fields h"),
    "None inside": (lambda: Ising([None, 1.0], {}), "numbers"),
    "masked": (lambda: Ising(np.ma.masked_array([1.0, 2.0], [True, False]), {}), "masked"),
    "NaN": (lambda: Ising([0, np.nan], {}), r"h\[1\]"),
    "NaN by label": (lambda: Ising({"a": np.nan}, {}), r"h\['a'\]"),
    "missing in a series": (lambda: Ising(pd.Series([0.0, None], ["a", "b"]), {}), r"h\['b'\]"),
    "infinite": (lambda: Ising([0, 0], {(0, 1): np.inf}), r"\(0, 1\)"),
    "infinite array": (lambda: Ising([0, 0], [[0, np.inf], [0, 0]]), r"J\[0, 1\]"),
    "infinite sparse": (lambda: Ising([0, 0], sp.csr_array([[0, np.inf], [0, 0]])), r"J\[0, 1\]"),
    "huge integer": (lambda: Ising([10**400, 0], {}), "numbers"),
    "offset": (lambda: Ising([0], {}, offset=np.nan), "offset"),
    "text offset": (lambda: Ising([0], {}, offset="x"), "offset"),
    "two-dimensional h": (lambda: Ising([[0, 0]], {}), r"shape \(1, 2\)"),
    "scalar h": (lambda: Ising(0.5, {}), r"shape \(\)"),
    "labels twice": (lambda: Ising([0, 0], {}, labels=["a", "a"]), "different names"),
    "too few labels": (lambda: Ising([0, 0], {}, labels=["a"]), "1 spins, but h has 2"),
    "lists as labels": (lambda: Ising([0, 0], {}, labels=[[1], [2]]), "hashable"),
    "ambiguous numbers": (lambda: Ising([0, 0], {(0, 1): 1.0}, labels=[1, 0]), "another order"),
    "a graph": (lambda: Ising([0, 0], __import__("networkx").path_graph(2)), "to_scipy_sparse_array"),
    "frame of other labels": (lambda: Ising({"p": 1.0}, frame()), r"h has|labels|fields|DataFrame"),
    "frame without symmetry of labels": (lambda: Ising(H, frame().rename(columns={"p": "z"})), "DataFrame"),
    "CQM": (lambda: Ising.from_bqm(dimod.ConstrainedQuadraticModel()), "cqm_to_bqm"),
    "QM": (lambda: Ising.from_bqm(dimod.QuadraticModel()), "QuadraticModel"),
    "DQM": (lambda: Ising.from_bqm(dimod.DiscreteQuadraticModel()), "DiscreteQuadraticModel"),
    "Ising as BQM": (lambda: Ising.from_bqm(TRUTH), "Ising"),
    "W with a diagonal": (lambda: Ising.from_binary([0, 0], np.eye(2)), "coupled to itself"),
    "W of another shape": (lambda: Ising.bipartite([0], [0], np.zeros((2, 1))), "W has shape"),
    "complex W": (lambda: Ising.bipartite([0], [0], [[1j]]), "complex"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG, ids=lambda name: name.replace(" ", "-"))
def test_what_is_no_problem_is_named(name):
    make, said = WRONG[name]
    if name == "frame of other labels":
        # fields left out are 0, as in any mapping
        assert make().n == 4
        return
    with pytest.raises(InputError, match=said):
        make()


LOCAL = [name for name, b in samplers.available().items() if b.usable and not b.remote]


@pytest.mark.parametrize("name", LOCAL)
def test_the_empty_problem_and_the_single_spin(name):
    sampler = samplers.get(name)
    empty = Ising([], {}, offset=2.5)
    draws = sampler.draw(empty, 4)
    assert draws.states.shape == (4, 0) and (draws.energies == 2.5).all()
    answer = sampler.sample(dimod.BinaryQuadraticModel.empty("BINARY"), num_reads=3)
    assert len(answer) == 0 and list(answer.variables) == [] and answer.vartype is dimod.BINARY
    assert len(sampler.sample_ising({}, {})) == 0
    single = sampler.draw(Ising([0.3], {}), 5, seed=0)
    assert single.states.shape == (5, 1)
    assert sampler.draw(Ising([0.3], [[0.0]]), 5, clamped={0: -1}).mean() == [-1]


def test_composites_that_fix_every_variable_work():
    composites = pytest.importorskip("dwave.preprocessing.composites")
    bqm = dimod.BinaryQuadraticModel({"a": 1.0, "b": 2.0}, {("a", "b"): 1.0}, 0.5, "SPIN")
    answer = composites.FixVariablesComposite(samplers.get("gibbs"), algorithm="explicit").sample(
        bqm, fixed_variables={"a": 1, "b": -1}
    )
    assert answer.first.energy == bqm.energy({"a": 1, "b": -1})


def test_log_partition_of_nothing_is_its_offset():
    assert samplers.log_partition(Ising([], {}, offset=2.0), 0.5) == (-1.0, 0.0)
    with pytest.raises(InputError):
        samplers.effective_beta(Ising([], {}), np.ones((3, 0)))


@pytest.mark.parametrize("name", LOCAL)
def test_energies_are_the_problems_to_full_precision(name):
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 0.3, (12, 12)), 1)
    problem, sampler = Ising(1e3 + rng.normal(0, 0.2, 12), J, offset=1e6), samplers.get(name)
    for _ in range(2):
        draws = sampler.draw(problem, 70, seed=None)
        spins = draws.states.astype(np.float64)
        exact = spins @ problem.h + np.einsum("ri,ij,rj->r", spins, J, spins) + problem.offset
        np.testing.assert_allclose(draws.energies, exact, rtol=1e-12)


@pytest.mark.parametrize(
    "seed", [0, 2**80, np.int64(3), np.uint8(4), np.random.SeedSequence(5), np.random.PCG64(6), None]
)
def test_seeds_that_are_taken(seed):
    assert len(samplers.get("gibbs").draw(TRUTH, 3, seed=seed)) == 3
    if seed is not None and not isinstance(seed, np.random.BitGenerator):
        a, b = (samplers.get("gibbs").draw(TRUTH, 30, seed=seed).states for _ in range(2))
        assert (a == b).all()


@pytest.mark.parametrize(
    "seed",
    [-1, 1.0, True, "1", [1], np.random.RandomState(0), torch.Generator(), np.array(3), torch.tensor(1), object()],
    ids=lambda seed: type(seed).__name__,
)
@pytest.mark.parametrize("call", ["draw", "log_partition", "resample"])
def test_seeds_that_are_refused_by_name(seed, call):
    with pytest.raises(InputError, match="seed must be"):
        if call == "draw":
            samplers.get("gibbs").draw(TRUTH, 3, seed=seed)
        elif call == "log_partition":
            samplers.log_partition(TRUTH, seed=seed)
        else:
            samplers.get("gibbs").draw(TRUTH, 3, seed=0).resample(2, seed=seed)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_reads": 10.0}, "num_reads"), ({"num_reads": "3"}, "num_reads"), ({"num_reads": True}, "num_reads"),
        ({"num_reads": None}, "num_reads"), ({"num_reads": np.array([3])}, "num_reads"), ({"num_reads": -1}, "num_reads"),
        ({"beta": -0.1}, "beta"), ({"beta": np.array([1.0, 2.0])}, "beta"), ({"beta": True}, "beta"),
        ({"beta": None}, "beta"), ({"beta": 1j}, "beta"), ({"beta": np.complex64(1)}, "beta"), ({"beta": "1"}, "beta"),
        ({"beta": np.inf}, "beta"), ({"beta": torch.tensor(1.0)}, "beta"),
        ({"clamped": [0, 1]}, "clamped"), ({"clamped": {0: 2}}, "value 2"), ({"clamped": {0: 0}}, "value 0"),
        ({"clamped": {0: True}}, "value True"), ({"clamped": {0.5: 1}}, "0.5"), ({"clamped": {"zz": 1}}, "zz"),
        ({"clamped": {-1: 1}}, "out of range"), ({"clamped": {0: np.nan}}, "nan"), ({"clamped": {0: "1"}}, "'1'"),
        ({"clamped": {0: [1]}}, "value"), ({"clamped": {True: 1}}, "True"),
        ({"initial_states": np.zeros((1, 4))}, "not -1 or 1"), ({"initial_states": [[0, 1, 1, 0]]}, "2 \\* x - 1"),
        ({"initial_states": np.full(4, np.nan)}, "nan"), ({"initial_states": np.ones(4, bool)}, "bool"),
        ({"initial_states": np.ones((2, 4)), "num_reads": 3}, "2 rows for 3 reads"),
        ({"initial_states": np.ones((1, 5))}, "shape"), ({"initial_states": [[1, 1, 1, 1], [1]]}, "equal length"),
        ({"initial_states": np.empty((0, 4))}, "shape"), ({"initial_states": {0: 1}}, "lack"),
        ({"initial_states": np.ones(4) * 1j}, "complex"), ({"initial_states": "abcd"}, "shape"),
    ],
    ids=str,
)  # fmt: skip
def test_arguments_that_are_refused_by_name(wrong, named):
    with pytest.raises(InputError, match=named):
        samplers.get("gibbs").draw(TRUTH, **wrong)


def test_clamped_spins_go_by_label_and_by_value():
    named = Ising(dict(zip(NAMES, H, strict=True)), edges(NAMES))
    gibbs = samplers.get("gibbs")
    draws = gibbs.draw(named, 9, clamped={("b", 1): -1, "d": 1, 0: -1}, seed=0)
    assert (draws.states[:, [0, 1, 3]] == [-1, -1, 1]).all()
    assert (gibbs.draw(named, 3, clamped=pd.Series({"a": 1}), seed=0).states[:, 0] == 1).all()
    with pytest.raises(InputError, match="twice"):
        gibbs.draw(named, 3, clamped={"a": 1, 0: 1})
    rest, free = named.condition({"a": 1})
    assert rest.n == 3 and free.tolist() == [1, 2, 3]
    binary = dimod.BinaryQuadraticModel({"x": 1.0, "y": -1.0, 0: 0.5}, {("x", "y"): 1.0}, "BINARY")
    answer = gibbs.sample(binary, num_reads=5, clamped={"x": 0, "y": np.int8(1), 0: True})
    assert all(dict(s) == {"x": 0, "y": 1, 0: 1} for s in answer)
    for wrong in ({"x": -1}, {"x": 2}, {"q": 1}):
        with pytest.raises(InputError, match=r"take 0 or 1|no spin 'q'"):
            gibbs.sample(binary, clamped=wrong)
    # whole numbers are labels to `sample`, in whatever order the model holds them
    shuffled = dimod.BinaryQuadraticModel({2: 0.0, 0: 0.0, 1: 0.0}, {}, "SPIN")
    answer = gibbs.sample(shuffled, num_reads=4, clamped={2: 1, 0: -1})
    assert all(s[2] == 1 and s[0] == -1 for s in answer)


@pytest.mark.parametrize("vartype", ["SPIN", "BINARY"])
def test_initial_states_in_every_form_start_from_the_same_state(vartype):
    # at beta 40 with strong fields towards it every chain stays where it starts
    state = np.array([1, -1, -1, 1])
    named = Ising(dict(zip("pqrs", -50.0 * state, strict=True)), {})
    values = dict(zip("pqrs", ((state + 1) // 2 if vartype == "BINARY" else state).tolist(), strict=True))
    bqm = named.to_bqm(vartype)
    turned = dict(reversed(values.items()))
    rows = np.array(list(values.values()))
    forms = [
        values, turned, [turned], [turned] * 3, rows, rows.tolist(), np.tile(rows, (3, 1)), pd.DataFrame([turned]),
        (rows[None, ::-1], ["s", "r", "q", "p"]), (rows[::-1].tolist(), ["s", "r", "q", "p"]), torch.tensor(rows),
        dimod.SampleSet.from_samples([turned], vartype, 0.0),
        dimod.SampleSet.from_samples([turned], vartype, 0.0, num_occurrences=[3]),
        dimod.SampleSet.from_samples([turned], vartype, 0.0).change_vartype("SPIN", inplace=False),
    ]  # fmt: skip

    class Echo(samplers.Sampler):
        takes_initial_states = True

        def _draw(self, request):
            return request.starts()

    for form in forms:
        answer = Echo().sample(bqm, num_reads=3, initial_states=form)
        assert [dict(s) for s in answer] == [values] * 3, form
    if vartype == "SPIN":
        for form in forms:
            assert (Echo().draw(named, 3, initial_states=form).states == state).all()
        earlier = Echo().draw(named, 3, initial_states=values)
        assert (Echo().draw(named, 3, initial_states=earlier).states == state).all()


def test_reads_that_carry_no_information_say_so():
    problem = Ising([0.3, -0.2, 0.1], np.triu(np.full((3, 3), 0.4), 1))
    state = np.array([[1, -1, 1]], dtype=np.int8)
    mixed = samplers.get("exact").draw(problem, 500, seed=0)
    for states, weights in (
        (state, None), (np.repeat(state, 1000, axis=0), None), (-np.repeat(state, 9, axis=0), None),
        (mixed.states, np.r_[1.0, np.zeros(499)]),
    ):  # fmt: skip
        beta, error = samplers.effective_beta(problem, states, weights=weights)
        assert not np.isfinite(error), (beta, error)
        from samplers.wrappers import fit_readout

        if weights is None:
            assert not np.isfinite(fit_readout(problem, states).beta_error)
    for wrong in (np.zeros((0, 3)), np.ones((4, 2)), [[0, 1, 0]]):
        with pytest.raises(InputError):
            samplers.effective_beta(problem, wrong)
    # the scale of a problem moves beta, and nothing else
    beta, error = samplers.effective_beta(problem, mixed)
    for scale in (1e-30, 1e-12, 1e12, 1e30):
        scaled = samplers.effective_beta(problem.scaled(scale), mixed.states)
        assert scaled == pytest.approx((beta / scale, error / scale), rel=1e-3)


def test_a_label_of_ones_own_survives_the_round_trip():
    problem = Ising(dict(zip(NAMES, H, strict=True)), edges(NAMES), offset=1.0)
    assert set(problem.labels) == set(NAMES)
    answer = samplers.get("exact").sample(problem.to_bqm("BINARY"), num_reads=5, seed=0)
    np.testing.assert_allclose(answer.record.energy, problem.to_bqm("BINARY").energies(answer))
    adapted = samplers.from_dimod(dimod.ExactSolver()).draw(problem, 4)
    np.testing.assert_allclose(adapted.energies, problem.energies(adapted.states))
