"""Ends guidance before the last steps: they then cost half, and follow the prompt less closely.

The negative prompt and the guidance scale act mostly while a picture takes shape; in its last steps details are settled
(Kynkäänniemi et al. 2024, arXiv 2404.07724). What was guided away from late can still come back, so pictures do change.
"""

from __future__ import annotations

import math
from typing import Any

from generation.painter.step_callbacks import StepCallback, steps_done

# What diffusers must hand to the callback; the later halves are the prompt's, the earlier ones the negative prompt's.
CONDITIONING = ("prompt_embeds", "add_text_embeds", "add_time_ids")


def guided_steps(share: float, steps: int) -> int:
    """How many of `steps` are guided, the first ones: at least one."""
    return max(1, math.ceil(share * steps))


def end_guidance(after: int, *, of: int) -> StepCallback:
    """A callback that lets a call that takes `of` steps go on without guidance after so many of them."""

    def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if not pipeline.do_classifier_free_guidance or steps_done(pipeline, index, of) < after:
            return {}
        pipeline._guidance_scale = 1.0
        return {name: tensors[name].chunk(2)[1] for name in CONDITIONING}

    return callback
