"""The conformance kit: what every backend must pass, ours and third parties'.

Each check takes a callable that makes a fresh sampler, and raises `AssertionError` where the contract is broken::

    import pytest
    from samplers import testing


    @pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
    def test_my_sampler(check):
        check(MySampler)

`conformance(MySampler)` runs them all. The checks of moments apply to samplers only, not to optimisers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dimod
import dimod.testing
import numpy as np

from samplers.draws import Draws
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.sampler import Sampler
from samplers.strategies.exact import exact_moments

Make = Callable[[], Sampler]

NUM_READS = 20_000
#: The largest deviation of a moment, in standard errors: about 1e-7 likely for one of the 200 moments of a right sampler.
LARGEST_Z = 6.0


def problems() -> dict[str, Ising]:
    """Return small problems of every layout, with and without structure, by name."""
    rng = np.random.default_rng(2024)
    n = 10
    J = np.triu(rng.normal(size=(n, n)), 1) / np.sqrt(n)
    h = rng.normal(scale=0.3, size=n)
    ring = {(i, (i + 1) % n): (-0.8 if i % 3 else 0.6) for i in range(n)}
    return {
        "dense": Ising(h, J, offset=0.5),
        "bipartite": Ising.bipartite(h[:6], h[6:], rng.normal(scale=0.5, size=(6, 4))),
        "sparse": Ising(h, ring),
        "free": Ising(np.zeros(n), np.zeros((n, n))),  # Metropolis alone never mixes here
        "fields": Ising(2 * h, {}),
        "single": Ising([0.4], [[0.0]]),
    }


def largest_z(draws: Draws, problem: Ising, beta: float) -> float:
    """Return the largest deviation of the draws' means and second moments from the exact ones, in standard errors.

    Parameters
    ----------
    draws
        The reads.
    problem
        The problem, of at most 24 spins.
    beta
        Inverse temperature.
    """
    mean, second = exact_moments(problem, beta)
    got_second = draws.second_moments()
    pairs = np.triu_indices(problem.n, 1)
    exact = np.concatenate([mean, second[pairs]])
    got = np.concatenate([draws.mean(), got_second[pairs]])
    # the floor keeps a moment that is all but certain from dividing by nothing
    error = np.sqrt(np.maximum(1 - exact**2, 1e-3) / draws.effective_sample_size)
    return float(np.abs((got - exact) / error).max())


def check_moments(make: Make) -> None:
    """Means and second moments match enumeration on every layout."""
    if make().kind != "sampler":
        return
    for name, problem in problems().items():
        z = largest_z(make().draw(problem, NUM_READS, 1.0, seed=11), problem, 1.0)
        assert z < LARGEST_Z, f"{name} problem, beta 1: a moment is {z:.1f} standard errors off"


def check_beta(make: Make) -> None:
    """Reads follow the beta that was asked for."""
    if make().kind != "sampler":
        return
    problem = problems()["dense"]
    for beta in (0.0, 0.4, 1.7):
        draws = make().draw(problem, NUM_READS, beta, seed=12)
        assert draws.beta == beta, f"draws.beta is {draws.beta}, {beta} was asked for"
        z = largest_z(draws, problem, beta)
        assert z < LARGEST_Z, f"beta {beta}: a moment is {z:.1f} standard errors off"


def check_draws(make: Make) -> None:
    """States, energies and weights have the right shapes and values, and belong to the caller."""
    for name, problem in problems().items():
        sampler = make()
        for num_reads in (1, 7, 130):
            draws = sampler.draw(problem, num_reads=num_reads, seed=3)
            states = draws.states
            assert states.shape == (num_reads, problem.n), f"{name}: states {states.shape} for {num_reads} reads"
            assert states.dtype == np.int8, f"{name}: states are {states.dtype}, not int8"
            assert (np.abs(states) == 1).all(), f"{name}: states hold values other than -1 and +1"
            np.testing.assert_allclose(draws.energies, problem.energies(states), rtol=1e-9, atol=1e-9)
            if draws.log_weights is not None:
                assert draws.log_weights.shape == (num_reads,), f"{name}: log_weights {draws.log_weights.shape}"
                assert np.isfinite(draws.log_weights).all(), f"{name}: log_weights are not finite"
            states[:] = 1  # a sampler that keeps chains must have handed out a copy
        assert (sampler.draw(problem, 130).states == -1).any(), f"{name}: states were shared"


def check_clamped(make: Make) -> None:
    """Clamped spins keep their value, and the others follow the conditional distribution."""
    for name in ("dense", "bipartite", "sparse"):
        problem = problems()[name]
        clamped = {0: 1, 3: -1, 8: 1}
        draws = make().draw(problem, NUM_READS // 4, 1.0, clamped=clamped, seed=4)
        for spin, value in clamped.items():
            assert (draws.states[:, spin] == value).all(), f"{name}: clamped spin {spin} moved"
        np.testing.assert_allclose(draws.energies, problem.energies(draws.states), rtol=1e-9, atol=1e-9)
        if make().kind == "sampler":
            rest, free = problem.condition(clamped)
            z = largest_z(Draws(draws.states[:, free], draws.log_weights), rest, 1.0)
            assert z < LARGEST_Z, f"{name}: a clamped moment is {z:.1f} standard errors off"
        everything = dict.fromkeys(range(problem.n), -1)
        assert (make().draw(problem, 5, clamped=everything, seed=4).states == -1).all(), f"{name}: all spins clamped"


def check_batch(make: Make) -> None:
    """Problems that share couplings follow each its own fields and clamped spins."""
    problem = problems()["dense"]
    fields = np.stack([problem.h, -2 * problem.h])
    clamped: list[dict[int, int]] = [{2: 1}, {5: -1, 2: -1}]
    batch = make().draw_batch(problem, fields, NUM_READS // 8, clamped=clamped, seed=8)
    assert batch.states.shape == (2, NUM_READS // 8, problem.n), f"a batch of states {batch.states.shape}"
    for k, (draws, held) in enumerate(zip(batch, clamped, strict=True)):
        own = problem.with_fields(fields[k])
        for spin, value in held.items():
            assert (draws.states[:, spin] == value).all(), f"problem {k} of a batch: clamped spin {spin} moved"
        np.testing.assert_allclose(draws.energies, own.energies(draws.states), rtol=1e-9, atol=1e-9)
        if make().kind == "sampler":
            rest, free = own.condition(held)
            z = largest_z(Draws(draws.states[:, free], draws.log_weights), rest, 1.0)
            assert z < LARGEST_Z, f"problem {k} of a batch: a moment is {z:.1f} standard errors off"


def check_empty(make: Make) -> None:
    """A problem without spins has one energy, its offset, and an empty sample set."""
    draws = make().draw(Ising([], {}, offset=1.5), 3)
    assert draws.states.shape == (3, 0), f"states {draws.states.shape} of a problem without spins"
    assert (draws.energies == 1.5).all(), "the energy of a problem without spins is not its offset"
    assert len(make().sample_ising({}, {})) == 0, "the sample set of a model without variables is not empty"


def check_seed(make: Make) -> None:
    """A backend that takes a seed gives the same reads for the same one, others for another, and no two reads that are copies."""
    problem = problems()["dense"]
    sampler = make()
    if "seed" in sampler._taken():
        first = make().draw(problem, 100, seed=5).states
        assert (make().draw(problem, 100, seed=5).states == first).all(), "the same seed gave other reads"
        assert (make().draw(problem, 100, seed=6).states != first).any(), "another seed gave the same reads"
        generator = make().draw(problem, 100, seed=np.random.default_rng(5)).states
        assert (make().draw(problem, 100, seed=np.random.default_rng(5)).states == generator).all(), "generators"
    if sampler.kind == "sampler":
        free = Ising(np.zeros(40), np.zeros((40, 40)))
        rows = len(np.unique(make().draw(free, 200, seed=7).states, axis=0))
        assert rows >= 199, f"200 reads of 40 free spins hold only {rows} different rows"


def check_errors(make: Make) -> None:
    """Wrong arguments and unknown options are refused, not ignored."""
    problem = problems()["dense"]
    refused: list[dict[str, Any]] = [
        {"num_reads": 0}, {"beta": -1.0}, {"beta": float("nan")}, {"clamped": {99: 1}}, {"clamped": {0: 0}}, {"num_read": 5}, {"seed": 1.5}, {"clamped": {0.5: 1}},
    ]  # fmt: skip
    for wrong in refused:
        _refused(functools.partial(make().draw, problem, **wrong), f"draw(..., {wrong})")
    _refused(lambda: make().draw(problem, initial_states=np.ones((1, 3))), "initial_states of the wrong shape")
    _refused(lambda: make().sample_ising({0: 1.0}, {}, num_read=5), "sample_ising(num_read=5)")


def _refused(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except (InputError, TypeError):
        return
    raise AssertionError(f"{what} was accepted: it must raise InputError or TypeError")


def check_dimod(make: Make) -> None:
    """The sampler passes `dimod.testing`, for both vartypes and named variables."""
    sampler = make()
    dimod.testing.assert_sampler_api(sampler)
    spin = dimod.BinaryQuadraticModel({"a": 0.5, "b": -0.25, 7: 0.0}, {("a", "b"): -1.0, ("b", 7): 0.5}, 1.5, "SPIN")
    for bqm in (spin, spin.change_vartype(dimod.BINARY, inplace=False)):
        answer = sampler.sample(bqm, num_reads=20)
        assert answer.vartype is bqm.vartype, f"the answer is {answer.vartype}, the model {bqm.vartype}"
        assert set(answer.variables) == set(bqm.variables), "the answer's variables are not the model's"
        assert sum(answer.record.num_occurrences) == 20, "the answer does not hold num_reads reads"
        dimod.testing.assert_response_energies(answer, bqm, precision=3)
    assert len(sampler.sample_ising({0: 0.1, 1: 0.0}, {(0, 1): 1.0}, num_reads=3)) == 3
    assert len(sampler.sample_qubo({(0, 0): 1.0, (0, 1): -1.0}, num_reads=3)) == 3


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_draws, check_moments, check_beta, check_clamped, check_batch, check_empty, check_seed, check_errors, check_dimod,
)  # fmt: skip


def conformance(make: Make) -> None:
    """Run every check on the sampler that `make` makes; raise `AssertionError` at the first that fails."""
    for check in CHECKS:
        check(make)
