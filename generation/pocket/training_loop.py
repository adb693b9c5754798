"""What all trainings do with the loss of a batch, what they keep of their weights, and what they go on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from generation.pocket.training_run import TrainingRun, load_checkpoint, save_atomically

LARGEST_GRADIENT = 1.0  # the norm over all parameters; larger ones are scaled down to it


def train(
    run: TrainingRun,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    *,
    save: Callable[[], None],
    follow: Callable[[int], None] = lambda step: None,
    largest_gradient: float | None = LARGEST_GRADIENT,
    share_gradients: Callable[[], None] = lambda: None,
    synchronise: Callable[[float], float] = lambda seconds: seconds,
) -> None:
    """Step by step until the budget is spent; `loss` draws the next batch and says how wrong the weights are there.

    `follow` is told of each step, for a running average. Of several processes, `share_gradients` gives each those of
    all, and `synchronise` the same seconds.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for step in run.steps(optimizer, save, synchronise):
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        share_gradients()
        if largest_gradient is not None:
            torch.nn.utils.clip_grad_norm_(parameters, largest_gradient, foreach=True)
        optimizer.step()
        follow(step)
        run.report(value.item())


class Stateful(Protocol):
    """What a checkpoint holds: modules, optimizers, and what is written like them here."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


class Checkpoint:
    """The file that a training goes on from, after a stop or for a better result."""

    def __init__(self, path: Path, **parts: Stateful) -> None:
        self._path = path
        self._parts = parts

    def load(self) -> None:
        """Bring all parts to where they were, if the file is there."""
        if self._path.exists():
            state = load_checkpoint(self._path)
            for name, part in self._parts.items():
                part.load_state_dict(state[name])

    def save(self) -> None:
        """Write down where they are."""
        save_atomically({name: part.state_dict() for name, part in self._parts.items()}, self._path)


class Parameters:
    """Those of a network that are trained, where the rest of it need not be kept."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)

    def state_dict(self) -> list[Tensor]:
        return self.parameters

    @torch.no_grad()
    def load_state_dict(self, state: Sequence[Tensor], /) -> None:
        for parameter, stored in zip(self.parameters, state, strict=True):
            parameter.copy_(stored)


class WeightAverage(Parameters):
    """A running average of weights, which draws better than the last ones.

    It follows them faster in the first steps, as what training begins with shall soon be forgotten; or with the same
    `decay` from the first one on. `into` are the tensors that hold it, where they are there already.
    """

    def __init__(
        self,
        followed: Sequence[Tensor],
        decay: float,
        *,
        constant: bool = False,
        into: Sequence[Tensor] | None = None,
    ) -> None:
        super().__init__([parameter.detach().clone() for parameter in followed] if into is None else into)
        self._followed = list(followed)
        self._decay = decay
        self._constant = constant

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move towards the weights as they are after that step, counted from 0."""
        decay = self._decay if self._constant else min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.parameters, self._followed, 1 - decay)

    @torch.no_grad()
    def give(self) -> None:
        """Let the weights be what their average is."""
        for parameter, mean in zip(self._followed, self.parameters, strict=True):
            parameter.copy_(mean)
