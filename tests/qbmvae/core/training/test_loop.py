from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae.core.training.loop import Loop
from samplers.errors import InputError


class Toy:
    """A regression whose every source of randomness is a part of the loop."""

    def __init__(self, folder=None, max_epochs=6, stage="", **options):
        self.network = torch.nn.Linear(3, 1)
        with torch.no_grad():
            self.network.weight.fill_(0.1)
            self.network.bias.fill_(0.0)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.05)
        self.rng, self.noise = np.random.default_rng(0), torch.Generator().manual_seed(1)
        parts = {"optimiser": self.optimiser, "rng": self.rng, "noise": self.noise}
        path = None if folder is None else folder / "checkpoint.pt"
        self.loop = Loop(self.network, max_epochs, parts=parts, checkpoint=path, stage=stage, notes={"n": 3}, **options)

    def run(self, epochs=None):
        while self.loop.running and (epochs is None or self.loop.epoch < epochs):
            x = torch.from_numpy(self.rng.normal(size=(8, 3))).float() + torch.randn(8, 3, generator=self.noise)
            loss = (self.network(x) - x.sum(1, keepdim=True)).square().mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.loop.record({"loss": loss.item()})
            self.loop.judge(loss.item())
            self.loop.advance()
        return self


@pytest.mark.parametrize("stopped_after", [1, 3, 5])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, stopped_after):
    whole = Toy().run()
    Toy(tmp_path).run(stopped_after)
    second = Toy(tmp_path)
    assert second.loop.resume()
    assert second.loop.epoch == stopped_after
    second.run()
    assert torch.equal(whole.network.weight, second.network.weight)
    assert whole.loop.history == second.loop.history
    assert (whole.loop.best_value, whole.loop.best_epoch) == (second.loop.best_value, second.loop.best_epoch)
    assert all(torch.equal(v, second.loop.best[k]) for k, v in whole.loop.best.items())


def test_checkpoints_of_another_stage_are_left_alone(tmp_path):
    assert not Toy(tmp_path).loop.resume(), "there is none yet"
    Toy(tmp_path, stage="validate").run(2)
    assert not Toy(tmp_path, stage="train").loop.resume()
    assert Toy(tmp_path, stage="validate").loop.resume()


def test_checkpoints_are_written_when_due_and_at_the_end(tmp_path):
    toy, written = Toy(tmp_path, max_epochs=7, checkpoint_every=3), []
    save, toy.loop.save = toy.loop.save, lambda: written.append(toy.loop.epoch)
    toy.run()
    assert written == [3, 6, 7]
    save()
    assert (tmp_path / "checkpoint.pt").is_file()


def test_the_best_weights_are_a_copy_and_come_back():
    loop = Toy().loop
    for epoch, value in enumerate([3.0, 1.0, 2.0, 1.0]):
        with torch.no_grad():
            loop.network.weight.fill_(float(epoch))
        better = loop.judge(value)
        assert better is (epoch < 2), "an equal value is no improvement"
        loop.advance()
    assert (loop.best_epoch, loop.best_value, loop.waited) == (2, 1.0, 2)
    loop.restore_best()
    assert loop.network.weight[0, 0].item() == 1.0


@pytest.mark.parametrize(("min_delta", "stops_at"), [(0.0, 4), (0.5, 3)])
def test_patience_counts_judgements_without_an_improvement(min_delta, stops_at):
    loop = Toy(max_epochs=9, patience=2, min_delta=min_delta, keep_best=False).loop
    for value in (3.0, 2.8, 2.9, 2.85, 1.0, 1.0):
        if not loop.running:
            break
        loop.judge(value)
        loop.advance()
    assert loop.epoch == stops_at
    assert loop.best is None


def test_the_start_can_be_judged():
    loop = Toy().loop
    loop.judge(1.0, epoch=0)
    assert loop.best_epoch == 0 and loop.best is not None
    assert not loop.judge(2.0)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    Toy(tmp_path, identity={"data": "a", "seed": 0}).run(2)
    assert Toy(tmp_path, identity={"data": "a", "seed": 0}).loop.resume()
    with pytest.raises(InputError, match=r"checkpoint\.pt was written with other data: give those of the first run"):
        Toy(tmp_path, identity={"data": "b", "seed": 0}).loop.resume()
    torch.save({"epoch": 3, "best": None}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint\.pt is not a checkpoint of this training"):
        Toy(tmp_path).loop.resume()
