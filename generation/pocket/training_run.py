"""What the trainings share: a budget in time, a learning rate that falls over it, checkpoints, a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that a stop in the middle leaves the one before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read one of our own checkpoints, which hold tensors, numbers and random states only."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """Counts a training's steps and the seconds spent in them, over any number of resumed starts.

    The schedule follows the seconds, not the steps, so that a training ends when it was meant to on a machine of any
    speed. `seconds_spent` excludes checkpoints and sample pictures. A training of one process on one thread counts its
    processor time (`clock=time.process_time`), so that it comes out the same however busy the machine is.
    """

    name: str
    budget_seconds: float
    peak_learning_rate: float
    checkpoint_every_seconds: float = 150.0
    warmup_steps: int = 100
    final_learning_rate_share: float = 0.01
    step: int = 0
    seconds_spent: float = 0.0
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    _loss: float = field(default=0.0, init=False)

    def learning_rate(self) -> float:
        """A warm-up over the first steps, then a straight line over the budget down to a small share of the peak."""
        warmup = min(1.0, (self.step + 1) / self.warmup_steps)
        left = 1 - min(1.0, self.seconds_spent / self.budget_seconds)
        floor = self.final_learning_rate_share
        return self.peak_learning_rate * warmup * (floor + (1 - floor) * left)

    def steps(
        self,
        optimizer: torch.optim.Optimizer,
        save: Callable[[], None],
        synchronise: Callable[[float], float] = lambda seconds: seconds,
    ) -> Iterator[int]:
        """Yield step numbers until the budget is spent, with the learning rate set; `save` runs now and then.

        `synchronise` makes the seconds of several processes one after each step.
        """
        saved_at, total, spent = self.seconds_spent, round(self.budget_seconds), round(self.seconds_spent)
        with tqdm(total=total, initial=spent, desc=self.name, unit="s", disable=self.quiet) as bar:
            while self.seconds_spent < self.budget_seconds:
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate()
                started = self.clock()
                yield self.step
                self.step += 1
                self.seconds_spent = synchronise(self.seconds_spent + self.clock() - started)
                bar.update(round(self.seconds_spent) - bar.n)
                if self.seconds_spent - saved_at >= self.checkpoint_every_seconds:
                    save()
                    saved_at = self.seconds_spent
        save()

    def report(self, loss: float, every: int = 100) -> None:
        """Take in a step's loss; print its running mean now and then."""
        weight = 1 / min(self.step + 1, every)
        self._loss += (loss - self._loss) * weight
        if (self.step + 1) % every == 0 and not self.quiet:
            speed = self.seconds_spent / max(1, self.step)
            tqdm.write(f"{self.name}: step {self.step + 1}, loss {self._loss:.4f}, {speed:.3f} s a step")

    def state_dict(self) -> dict[str, float]:
        return {"step": self.step, "seconds_spent": self.seconds_spent}

    def load_state_dict(self, state: dict[str, float], /) -> None:
        self.step, self.seconds_spent = int(state["step"]), float(state["seconds_spent"])
