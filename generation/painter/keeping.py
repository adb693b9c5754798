"""Keeps parts of a picture as they are while the rest is painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from generation.painter.schedulers import Estimate
from generation.painter.step_callbacks import StepCallback


def latent_freedom(repaint: Sequence[Image.Image], latents: Tensor) -> Tensor:
    """`Canvas.repaint` of each picture as the latents see it: pictures × 1 × height/8 × width/8, 0 to 1.

    A latent that stands for several pixels is as free as the freest of them.
    """
    pixels = torch.stack([torch.from_numpy(np.array(one, dtype=np.float32) / 255) for one in repaint])[:, None]
    scale = pixels.shape[-1] // latents.shape[-1]
    return torch.nn.functional.max_pool2d(pixels, scale).to(latents.device)


def keep(latents: Tensor, noise: Tensor, freedom: Tensor, estimate: Estimate) -> StepCallback:
    """A callback that brings latents that are not (or not yet) painted back to the canvas's, after each step.

    `latents` are the canvases' without noise, `noise` is what their pass begins with, `freedom` is 1 for what is
    painted in all steps, 0 for none, and between the two for that share of the steps, the last ones. Kept latents have
    as much noise as the others at each step, and none after the last. The `estimate` that previews show has them too.
    """

    def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        left = 1 - (index + 1) / pipeline.num_timesteps
        free = (freedom > 0) & (freedom >= left)
        painted: Tensor = tensors["latents"]
        kept = _noised_as_now(pipeline.scheduler, latents, noise, timestep)
        if estimate.latents is not None:
            estimate.latents = torch.where(free, estimate.latents, latents.to(estimate.latents.dtype))
        return {"latents": torch.where(free, painted, kept.to(painted.dtype))}

    return callback


def _noised_as_now(scheduler: Any, latents: Tensor, noise: Tensor, timestep: Any) -> Tensor:
    """The latents with as much noise as there is after the step from `timestep`.

    Schedulers that count in sigmas know where they are, and take their timestep for the shape alone. DDIM and LCM do
    not, so they are told the timestep that comes next.
    """
    if not hasattr(scheduler, "sigmas"):
        later = scheduler.timesteps[scheduler.timesteps < timestep]
        if not len(later):
            return latents
        timestep = later.max()
    noised: Tensor = scheduler.add_noise(latents, noise, timestep.repeat(len(latents)))
    return noised
