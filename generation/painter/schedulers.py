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


_EVEN = {"use_karras_sigmas": False}
_KARRAS = {"use_karras_sigmas": True}
_MULTISTEP = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_MULTISTEP_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
# One step of two halves, over two of the steps that are counted; so the last of an odd number is a simple one.
_SINGLESTEP_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "lower_order_final": True}

# By the names of `generation/samplers.py`.
SCHEDULERS = {
    "euler": SchedulerKind(class_name="EulerDiscreteScheduler", options=_EVEN),
    "euler_a": SchedulerKind(class_name="EulerAncestralDiscreteScheduler"),
    "heun": SchedulerKind(class_name="HeunDiscreteScheduler", options=_EVEN),
    "dpm2": SchedulerKind(class_name="KDPM2DiscreteScheduler", options=_EVEN),
    "dpm2_a": SchedulerKind(class_name="KDPM2AncestralDiscreteScheduler", options=_EVEN),
    "dpmpp_2m": SchedulerKind(class_name="DPMSolverMultistepScheduler", options=_MULTISTEP | _EVEN),
    "dpmpp_2m_karras": SchedulerKind(class_name="DPMSolverMultistepScheduler", options=_MULTISTEP | _KARRAS),
    # Not DPMSolverSDEScheduler, whose noise comes from a tree of its own and not from each picture's generator.
    "dpmpp_sde": SchedulerKind(class_name="DPMSolverSinglestepScheduler", options=_SINGLESTEP_SDE | _EVEN),
    "dpmpp_sde_karras": SchedulerKind(class_name="DPMSolverSinglestepScheduler", options=_SINGLESTEP_SDE | _KARRAS),
    "dpmpp_2m_sde": SchedulerKind(class_name="DPMSolverMultistepScheduler", options=_MULTISTEP_SDE | _EVEN),
    "dpmpp_2m_sde_karras": SchedulerKind(class_name="DPMSolverMultistepScheduler", options=_MULTISTEP_SDE | _KARRAS),
    # Its default clips the estimate to -1..1, which is meant for pixels and not for latents.
    "ddim": SchedulerKind(
        class_name="DDIMScheduler", options={"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    ),
    "unipc": SchedulerKind(class_name="UniPCMultistepScheduler", options=_EVEN),
    "lcm": SchedulerKind(class_name="LCMScheduler"),
}
# LCM takes its steps from a grid of so many, 50 in training; for more steps the next grid that divides 1000 timesteps.
_LCM_GRIDS = (50, 100, 200, 250)


def make_scheduler(own: Any, name: str | None, num_inference_steps: int, *, predicts: str | None = None) -> Any:
    """A fresh scheduler (they keep state from step to step) by name, or of the model's `own` kind for None.

    It is made from the model's own configuration, which holds what the model was trained to predict (noise or v; or
    what `predicts` says) and on which noise schedule. Raises `PaintingFailed` for a name that is not in `SCHEDULERS`.
    """
    options: dict[str, Any] = {} if predicts is None else {"prediction_type": predicts}
    if name is None:
        return type(own).from_config(own.config, **options)
    kind = SCHEDULERS.get(name)
    if kind is None:
        raise PaintingFailed(detail=f"there is no scheduler {name!r}; known are {', '.join(SCHEDULERS)}")
    if name == "lcm":
        options["original_inference_steps"] = next(grid for grid in _LCM_GRIDS if grid >= num_inference_steps)
    return getattr(diffusers, kind.class_name).from_config(own.config, **kind.options | options)


def own_name(own: Any) -> str | None:
    """The name in `SCHEDULERS` of a model's own scheduler, where it is one of them."""
    return next(
        (
            name
            for name, kind in SCHEDULERS.items()
            if kind.class_name == type(own).__name__
            and all(own.config.get(key) == value for key, value in kind.options.items())
        ),
        None,
    )


class Estimate:
    """What a scheduler took the finished latents to be at its last step: far clearer than the noisy latents themselves.

    Most return it from `step` beside the next latents; the solvers of the DPM family and UniPC keep it in
    `model_outputs`. The pipelines pass on neither, so this wraps the `step` of one scheduler.
    """

    def __init__(self, scheduler: Any) -> None:
        self.latents: Tensor | None = None
        step = scheduler.step

        @functools.wraps(step)  # the pipelines ask for the signature
        def step_and_remember(*args: Any, return_dict: bool = True, **kwargs: Any) -> Any:
            output = step(*args, return_dict=True, **kwargs)
            self.latents = output.get("pred_original_sample", output.get("denoised"))
            if self.latents is None:
                remembered = getattr(scheduler, "model_outputs", None) or [output.prev_sample]
                self.latents = remembered[-1]
            return output if return_dict else (output.prev_sample,)

        scheduler.step = step_and_remember
