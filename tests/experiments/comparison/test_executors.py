from __future__ import annotations

import math
import sys

import pytest

from experiments.comparison.executors import each
from samplers.errors import InputError, MissingExtraError


@pytest.mark.parametrize("workers", [1, 2])
def test_every_call_is_answered_once(workers):
    assert sorted(each(math.comb, [(5, k) for k in range(6)], workers)) == [1, 1, 5, 5, 10, 10]


def test_a_failure_in_a_process_is_raised_here():
    with pytest.raises(ValueError):
        list(each(math.comb, [(5, -1), (5, 1)], 2))


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"qbmvae\[tune\]"):
        list(each(math.comb, [(5, 1)], ray="local"))


class FakeRay:
    """What `each` uses of Ray, computed here: the last submitted call is ready first."""

    def __init__(self):
        self.options, self.running = {}, False

    def init(self, address, **options):
        if address == "auto":
            raise ConnectionError("Could not find any running Ray instance.\nStart one.")
        self.options, self.running = options, True

    def remote(self, **_):
        def decorate(function):
            class Remote:
                remote = staticmethod(lambda *call: lambda: function(*call))

            return Remote

        return decorate

    def wait(self, waiting):
        return waiting[-1:], waiting[:-1]

    def get(self, ready):
        return [call() for call in ready]

    def shutdown(self):
        self.running = False


def test_ray_answers_every_call_and_is_shut_down(monkeypatch):
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    assert list(each(math.comb, [(5, 0), (5, 1), (5, 2)], 2, ray="local")) == [10, 5, 1]
    assert not fake.running and fake.options["num_cpus"] == 2
    with pytest.raises(InputError, match="no Ray cluster at 'auto': Could not find any running Ray instance"):
        list(each(math.comb, [(5, 0)], ray="auto"))
