"""What may act after each denoising step, in diffusers' form (`callback_on_step_end`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

# (pipeline, index of the step, timestep, {"latents": …}) → the tensors that it changed. Raising ends the call at once.
StepCallback: TypeAlias = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


def in_turn(callbacks: Sequence[StepCallback]) -> StepCallback:
    """All of them as one; each sees the tensors as those before it left them."""

    def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for each in callbacks:
            changed |= each(pipeline, index, timestep, tensors | changed)
        return changed

    return callback
