from __future__ import annotations

import threading
import time

import pytest
import torch

from qbmvae.core.workers import in_order


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_order_without_gradients(n_threads):
    before, seen = torch.get_num_threads(), set()

    def work(i):
        seen.add(threading.get_ident())
        # the first parts take longest
        time.sleep(0.002 * (7 - i))
        assert n_threads == 1 or torch.get_num_threads() == 1
        return i, torch.is_grad_enabled()

    torch.set_num_threads(n_threads)
    try:
        assert list(in_order(work, iter(range(7)), n_threads)) == [(i, False) for i in range(7)]
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert threading.get_ident() in seen and len(seen) <= n_threads
