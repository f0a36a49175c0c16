from __future__ import annotations

import numba
import pytest

from qbmvae.core.fused import compiling


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(compiling.Compilation, "said", False)


def kernel():
    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x) * 2

    return outer


def test_a_compilation_is_counted_and_said_once(fresh, capsys):
    with compiling.compilation() as one:
        assert kernel()(3) == 8
    assert one.kernels == 1 and one.seconds > 0
    with compiling.compilation() as two:
        kernel()(3)
    assert two.kernels == 1
    assert capsys.readouterr().err == compiling.MESSAGE + "\n"


def test_compiled_kernels_are_silent(fresh, capsys):
    ready = kernel()
    ready(3)
    with compiling.compilation() as none:
        ready(4)
    assert (none.kernels, none.seconds, capsys.readouterr().err) == (0, 0.0, "")


def test_nothing_is_said_where_silence_is_asked_for(fresh, capsys):
    with compiling.compilation(say=False) as quiet:
        kernel()(3)
    assert quiet.kernels == 1 and capsys.readouterr().err == ""
