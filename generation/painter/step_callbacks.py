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


def steps_done(pipeline: Any, index: int, steps: int) -> int:
    """Of `steps` that a call takes, those that are done after its callback of that index.

    Schedulers of second order evaluate the model twice a step, but for the last.
    """
    if index + 1 >= pipeline.num_timesteps:
        return steps
    done: int = (index + 1) // pipeline.scheduler.order
    return done


def stop_after(until: int, *, of: int) -> StepCallback:
    """Ends a call that would take `of` steps after so many; what remains is passed over."""

    def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if steps_done(pipeline, index, of) >= until:
            pipeline._interrupt = True
        return {}

    return callback
