"""The diffusers schedulers that recipes may name, and what each believes the finished picture to be."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import diffusers
from torch import Tensor

from generation.errors import PaintingFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerKind:
    """A diffusers class and the options that make it the sampler of that name."""

    class_name: str
    options: dict[str, Any] = field(default_factory=dict)


SCHEDULERS = {
    "euler": SchedulerKind(class_name="EulerDiscreteScheduler"),
    "euler_a": SchedulerKind(class_name="EulerAncestralDiscreteScheduler"),
    "dpmpp_2m": SchedulerKind(class_name="DPMSolverMultistepScheduler", options={"algorithm_type": "dpmsolver++"}),
    # Its default clips the estimate to -1..1, which is meant for pixels and not for latents.
    "ddim": SchedulerKind(
        class_name="DDIMScheduler", options={"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    ),
    "unipc": SchedulerKind(class_name="UniPCMultistepScheduler"),
}


def make_scheduler(own: Any, name: str | None) -> Any:
    """A fresh scheduler (they keep state from step to step) by name, or of the model's `own` kind for None.

    It is made from the model's own configuration, which holds what the model was trained to predict (noise or v) and on
    which noise schedule. Raises `PaintingFailed` for a name that is not in `SCHEDULERS`.
    """
    if name is None:
        return type(own).from_config(own.config)
    kind = SCHEDULERS.get(name)
    if kind is None:
        raise PaintingFailed(detail=f"there is no scheduler {name!r}; known are {', '.join(SCHEDULERS)}")
    return getattr(diffusers, kind.class_name).from_config(own.config, **kind.options)


def own_name(own: Any) -> str | None:
    """The name in `SCHEDULERS` of a model's own scheduler, where it is one of them."""
    return next((name for name, kind in SCHEDULERS.items() if kind.class_name == type(own).__name__), None)


class Estimate:
    """What a scheduler took the finished latents to be at its last step: far clearer than the noisy latents themselves.

    Euler and DDIM return it from `step` beside the next latents; the multistep solvers keep it in `model_outputs`. The
    pipelines pass on neither, so this wraps the `step` of one scheduler.
    """

    def __init__(self, scheduler: Any) -> None:
        self.latents: Tensor | None = None
        step = scheduler.step

        @functools.wraps(step)  # the pipelines ask for the signature
        def step_and_remember(*args: Any, return_dict: bool = True, **kwargs: Any) -> Any:
            output = step(*args, return_dict=True, **kwargs)
            self.latents = getattr(output, "pred_original_sample", None)
            if self.latents is None:
                remembered = getattr(scheduler, "model_outputs", None) or [output.prev_sample]
                self.latents = remembered[-1]
            return output if return_dict else (output.prev_sample,)

        scheduler.step = step_and_remember
