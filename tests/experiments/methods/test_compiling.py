from __future__ import annotations


def test_compilation_is_counted_once_and_apart_from_what_runs():
    import numba
    import numpy as np

    from experiments.methods.compiling import Compiling, compiling

    @numba.njit
    def inner(x):
        return x * x

    @numba.njit
    def outer(x):
        return inner(x).sum()

    with compiling() as first:
        outer(np.ones(3))
    with compiling() as second:
        outer(np.ones(3))
    assert first.seconds > 0 and second.seconds == 0
    nested = Compiling()
    nested.begin()
    nested.begin()
    nested.end()
    before = nested.seconds
    nested.end()
    assert before == 0 and nested.seconds >= 0


def test_a_fit_tells_its_compilation_apart():
    from experiments.data.synthetic import synthetic
    from experiments.methods.base import Task
    from experiments.methods.registry import fit

    found = fit("pca", Task(synthetic(60, 30, seed=0), "batch", "cell_type"))
    assert found.compile_seconds >= 0 and found.cpu_seconds > 0
