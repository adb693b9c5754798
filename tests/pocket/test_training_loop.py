"""The loop that all trainings share: it learns, its average lags behind, and it goes on where it was stopped."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from generation.pocket.training_loop import Checkpoint, Parameters, WeightAverage, train
from generation.pocket.training_run import TrainingRun


class Doubling:
    """A layer that learns to double numbers, a second a step by its clock."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        torch.manual_seed(1)
        self.layer = nn.Linear(1, 1)
        self.parameters = list(self.layer.parameters())
        self.average = WeightAverage(self.parameters, decay=0.9)
        self.losses: list[float] = []
        ticks = itertools.count()
        optimizer = torch.optim.SGD(self.parameters, lr=1.0, momentum=0.5)
        run = TrainingRun(
            name="doubling",
            budget_seconds=seconds,
            peak_learning_rate=0.2,
            final_learning_rate_share=1.0,  # so that it is the same however long the training goes on
            quiet=True,
            clock=lambda: float(next(ticks)),
        )
        checkpoint = Checkpoint(
            path, layer=Parameters(self.parameters), average=self.average, optimizer=optimizer, run=run
        )
        checkpoint.load()
        train(run, optimizer, self._loss, save=checkpoint.save, follow=self.average.follow)

    def _loss(self) -> Tensor:
        numbers = torch.linspace(-1, 1, 8).unsqueeze(1)
        error: Tensor = ((self.layer(numbers) - 2 * numbers) ** 2).mean()
        self.losses.append(error.item())
        return error

    @property
    def weights(self) -> list[float]:
        return [parameter.item() for parameter in (*self.parameters, *self.average.parameters)]


def test_it_learns_and_its_average_lags_behind(tmp_path: Path) -> None:
    done = Doubling(tmp_path / "long.pt", seconds=200)
    assert len(done.losses) == 200
    assert done.losses[-1] < 0.01 * done.losses[0]
    weight, _, mean, _ = done.weights
    assert mean < weight < 2  # it came from below
    done.average.give()
    assert done.layer.weight.item() == mean


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = Doubling(tmp_path / "whole.pt", seconds=9)
    first = Doubling(tmp_path / "parts.pt", seconds=4)
    second = Doubling(tmp_path / "parts.pt", seconds=9)
    assert [len(each.losses) for each in (first, second)] == [4, 5]
    assert first.losses + second.losses == whole.losses
    assert second.weights == whole.weights


def test_an_average_follows_fast_at_first_or_always_alike() -> None:
    followed = [torch.ones(1)]
    fast, steady = WeightAverage(followed, 0.9), WeightAverage(followed, 0.9, constant=True, into=[torch.zeros(1)])
    fast.load_state_dict([torch.zeros(1)])
    for average in (fast, steady):
        average.follow(0)
    assert fast.parameters[0].item() == pytest.approx(0.9)
    assert steady.parameters[0].item() == pytest.approx(0.1)


def test_large_gradients_are_scaled_down() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    moved = []
    for largest in (1.0, None):
        with torch.no_grad():
            weight.zero_()
        run = TrainingRun(name="one step", budget_seconds=1, peak_learning_rate=1.0, warmup_steps=1, quiet=True)
        run.clock = itertools.count().__next__
        train(run, optimizer, lambda: 50 * weight.sum(), save=lambda: None, largest_gradient=largest)
        moved.append(weight.item())
    assert moved == pytest.approx([-1.0, -50.0], rel=1e-3)
