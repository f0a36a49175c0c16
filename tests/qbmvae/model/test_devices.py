"""Two CPU processes against one."""

from __future__ import annotations

import numpy as np
import torch

import samplers
from qbmvae import QBMVAE
from qbmvae.core.training.distributed import Ranks, launch


def test_two_processes_train_one_model(adata, capfd):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    results = {}
    for devices in (1, 2):
        # 240 cells: 216 for training do not divide into batches of 50 on two ranks
        model = QBMVAE(adata, n_latent=8, n_hidden=16)
        model.train(
            max_epochs=6, batch_size=50, seed=0, devices=devices, accelerator="cpu", progress_bar=False,
            early_stopping=True, early_stopping_patience=3, num_chains=256,
        )  # fmt: skip
        results[devices] = model
    one, two = results[1], results[2]
    assert two.is_trained
    assert set(one.history) == set(two.history)
    np.testing.assert_array_equal(one.train_indices, two.train_indices)
    # half the steps of twice the cells: the bound agrees to a few per cent
    gap = abs(one.get_elbo() - two.get_elbo()) / abs(one.get_elbo())
    assert gap < 0.1
    assert np.isfinite(two.get_latent_representation()).all()


def _negative_phase(ranks: Ranks, device: torch.device):
    from qbmvae.core.priors import BoltzmannPrior
    from qbmvae.core.training.negative_phase import NegativePhase

    torch.manual_seed(0)
    prior = BoltzmannPrior(8)
    noise = 0.4 * torch.randn(8, 8)
    prior.W.data = (noise + noise.T) * prior.mask
    phase = NegativePhase(samplers.get("persistent", num_sweeps=10), 4000, 1 + 7919 * ranks.rank)
    phase.log_partition_surrogate(prior).backward()
    states = torch.from_numpy(phase.draw(prior).states[:50].astype(np.float32))
    gathered = [torch.zeros_like(states) for _ in range(ranks.world)]
    torch.distributed.all_gather(gathered, states)
    ranks.average_gradients(prior.parameters(), torch.zeros(()))
    return {"differ": not torch.equal(*gathered), "gradient": prior.bias.grad.numpy(), "exact": _exact_mean(prior)}


def _exact_mean(prior) -> np.ndarray:
    import itertools

    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8)))
    return (torch.softmax(-prior.energy(z), 0) @ z).detach().numpy()


def test_chains_differ_by_rank_and_their_moments_are_averaged():
    answer = launch(_negative_phase, 2, "cpu")
    assert answer["differ"]
    # 8,000 reads: a standard error below .006
    assert np.abs(answer["gradient"] - answer["exact"]).max() < 0.03
