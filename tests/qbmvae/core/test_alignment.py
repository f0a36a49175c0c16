"""The closed-form alignment: against the formulas written plainly, and what it must and must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.core import alignment


def planted(n=600, composition=(0.4, 0.3), shift=(1.0, -0.5), seed=0):
    """Return three types of cells in two batches: the second is shifted, in each type by a vector of its own."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0, 0], [8, 0, 0, 0], [0, 8, 0, 0]], dtype=float)
    batch = (rng.random(n) < 0.5).astype(int)
    shares = np.array([[1 / 3, 1 / 3, 1 / 3], [composition[0], composition[1], 1 - sum(composition)]])
    kind = np.array([rng.choice(3, p=shares[b]) for b in batch])
    moves = np.array([[shift[0], 0, 0, shift[1]], [0, shift[0], shift[1], 0], [0, 0, shift[0], shift[0]]])
    x = centres[kind] + rng.normal(0, 0.3, (n, 4)) + batch[:, None] * moves[kind]
    return torch.tensor(x, dtype=torch.float32), torch.tensor(batch), kind, moves


def test_one_round_is_the_formula(monkeypatch):
    monkeypatch.setattr(alignment, "ROUNDS", 1)
    x, batch, *_ = planted(200)
    found = alignment.fit(x, batch, 2, n_clusters=4)
    centres, y = found.centres[0].numpy(), x.numpy().astype(float)
    squared = ((y[:, None] - centres[None]) ** 2).sum(2)
    width = 0.8 * squared.min(1).mean()
    r = np.exp(-(squared - squared.min(1, keepdims=True)) / width)
    r /= r.sum(1, keepdims=True)
    expected = y.copy()
    for k in range(4):
        mean, trust = np.zeros((2, 4)), np.zeros(2)
        for b in range(2):
            own = batch.numpy() == b
            weight = r[own, k].sum()
            mean[b] = r[own, k] @ y[own] / weight
            trust[b] = weight / (weight + alignment.PRIOR_CELLS)
        common = trust @ mean / trust.sum()
        for b in range(2):
            own = batch.numpy() == b
            expected[own] -= r[own, k : k + 1] * trust[b] * (mean[b] - common)
    np.testing.assert_allclose(found.apply(x, batch), expected, atol=1e-4)


def test_planted_offsets_go_and_types_stay():
    x, batch, kind, moves = planted()
    y = alignment.fit(x, batch, 2, n_clusters=3).apply(x, batch).numpy()
    for k in range(3):
        gap = [y[(kind == k) & (batch.numpy() == b)].mean(0) for b in range(2)]
        before = [x.numpy()[(kind == k) & (batch.numpy() == b)].mean(0) for b in range(2)]
        assert np.linalg.norm(gap[1] - gap[0]) < 0.1 * np.linalg.norm(moves[k])
        assert np.linalg.norm(before[1] - before[0]) > 0.9 * np.linalg.norm(moves[k])
    centres = np.array([y[kind == k].mean(0) for k in range(3)])
    assert min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 6


def test_differences_of_composition_are_not_removed():
    # no shift: the batches differ in their types alone, and one type is absent from the second
    x, batch, kind, _ = planted(composition=(0.95, 0.05), shift=(0.0, 0.0))
    y = alignment.fit(x, batch, 2, n_clusters=6).apply(x, batch)
    assert (y - x).norm(dim=1).max() < 0.35
    assert len(np.unique(kind[batch.numpy() == 1])) == 2


def test_one_batch_is_left_alone():
    x, *_ = planted(100)
    nothing = torch.zeros(100, dtype=torch.long)
    for n_batches in (1, 3):
        assert torch.equal(alignment.fit(x, nothing, n_batches).apply(x, nothing), x)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 60))
def test_a_cell_is_aligned_alike_in_any_company(seed, n):
    rng = torch.Generator().manual_seed(seed)
    x, batch = torch.randn(n, 3, generator=rng), torch.randint(0, 3, (n,), generator=rng)
    found = alignment.fit(x, batch, 3, seed=seed)
    y = found.apply(x, batch)
    order = torch.randperm(n, generator=rng)
    torch.testing.assert_close(found.apply(x[order], batch[order]), y[order], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.apply(x[:1], batch[:1]), y[:1], atol=1e-4, rtol=0)
    assert y.isfinite().all()
    again = alignment.fit(x, batch, 3, seed=seed)
    assert torch.equal(again.offsets, found.offsets)


def test_unknown_batches_and_no_cells():
    x, batch, *_ = planted(100)
    found = alignment.fit(x, batch, 2)
    assert torch.equal(found.apply(x, torch.full((100,), 7)), x)
    assert torch.equal(found.apply(x, torch.full((100,), -1)), x)
    assert found.apply(x[:0], batch[:0]).shape == (0, 4)


def test_held_out_cells_are_aligned_by_what_training_cells_fixed():
    x, batch, kind, moves = planted(900)
    train, test = torch.arange(600), torch.arange(600, 900)
    found = alignment.fit(x[train], batch[train], 2, n_clusters=3)
    y, b, k = found.apply(x[test], batch[test]).numpy(), batch[test].numpy(), kind[600:]
    for t in range(3):
        gap = y[(k == t) & (b == 1)].mean(0) - y[(k == t) & (b == 0)].mean(0)
        assert np.linalg.norm(gap) < 0.2 * np.linalg.norm(moves[t])


def test_a_new_batch_is_fitted_on_request():
    x, batch, kind, _ = planted(900)
    query = x[600:] + torch.tensor([0.0, 0.0, -1.0, 0.8])
    found = alignment.fit(x[:600], batch[:600], 2, n_clusters=6)
    new = torch.full((300,), 2)
    more = alignment.extend(found, query, new, 3)
    assert torch.equal(more.apply(x[:600], batch[:600]), found.apply(x[:600], batch[:600]))
    reference, moved = found.apply(x[:600], batch[:600]).numpy(), more.apply(query, new).numpy()
    for t in range(3):
        target = reference[kind[:600] == t].mean(0)
        before = np.linalg.norm(query.numpy()[kind[600:] == t].mean(0) - target)
        assert np.linalg.norm(moved[kind[600:] == t].mean(0) - target) < 0.35 * before
    assert torch.equal(found.apply(query, new), query)


def test_kmeans_finds_separate_clusters():
    from sklearn.cluster import KMeans

    x, *_ = planted(300, shift=(0.0, 0.0))
    centres = alignment.kmeans(x, 3, torch.Generator().manual_seed(0))
    known = KMeans(3, n_init=10, random_state=0).fit(x.numpy()).cluster_centers_
    distances = torch.cdist(centres, torch.tensor(known))
    assert distances.min(1).values.max() < 1e-3
    # cells that coincide
    assert alignment.kmeans(torch.zeros(5, 2), 3, torch.Generator().manual_seed(0)).shape == (3, 2)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_cells(n):
    x, batch = torch.randn(n, 3), torch.arange(n) % 2
    assert alignment.fit(x, batch, 2).apply(x, batch).isfinite().all()
