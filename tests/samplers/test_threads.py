from __future__ import annotations

import multiprocessing
import threading

import pytest

from samplers.threads import AHEAD, in_order


def squares(n_threads):
    return list(in_order(lambda i: i * i, range(6), n_threads))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_parts_are_taken_as_they_are_needed_and_errors_come_through(n_threads):
    taken = []

    def parts():
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(lambda i: i, parts(), n_threads)
    assert next(results) == 0
    assert len(taken) <= AHEAD * n_threads + 1
    results.close()

    def fail(i):
        if i == 3:
            raise ValueError("third")
        return i

    results = in_order(fail, iter(range(10)), n_threads)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="third"):
        next(results)


def test_threads_are_kept_and_work_within_work_needs_no_other_thread():
    def names(i):
        own = threading.current_thread().name
        # two threads that wait for two more would wait for ever
        return own, list(in_order(lambda _: threading.current_thread().name, range(4), 2))

    found = list(in_order(names, range(8), 2))
    assert all(set(inner) == {own} for own, inner in found)
    assert len({own for own, _ in [*found, *in_order(names, range(8), 2)]}) <= 2


@pytest.mark.parametrize("n_threads", [2, 3])
def test_the_calling_thread_works_too(n_threads):
    together = threading.Barrier(n_threads, timeout=30)

    def meet(i):
        together.wait()
        return i, threading.get_ident()

    found = list(in_order(meet, range(n_threads), n_threads))
    assert [i for i, _ in found] == list(range(n_threads))
    used = {thread for _, thread in found}
    assert len(used) == n_threads and threading.get_ident() in used


def test_an_error_in_the_calling_thread_comes_through_in_order():
    own, begun = threading.get_ident(), threading.Event()

    def fail_here(i):
        if threading.get_ident() == own:
            begun.set()
            raise ValueError(f"part {i}")
        assert begun.wait(30)
        return i

    results = in_order(fail_here, iter(range(6)), 2)
    with pytest.raises(ValueError, match="part"):
        list(results)
    test_the_calling_thread_works_too(2)


def test_a_forked_process_has_threads_of_its_own():
    assert squares(2) == [i * i for i in range(6)]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(squares, (2,)).get(timeout=60) == [i * i for i in range(6)]
