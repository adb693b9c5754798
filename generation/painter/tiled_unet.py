"""A UNet that predicts in overlapping tiles, so that pictures above its native size neither repeat nor fill the memory.

MultiDiffusion (Bar-Tal et al. 2023, arXiv 2302.08113): at every step the network sees one window of the latents after
the other, and where windows overlap their predictions are averaged. The latents themselves stay whole, so there is
nothing to stitch. Here the average is weighted: a window counts for less towards its own borders, which leaves no step
where it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from generation.tiles import tile_starts

VAE_SCALE = 8  # pixels a latent
# How much of the guidance above 1 is left in windows: each of them would else be pushed towards the whole prompt, and
# grow a small boat of its own.
WINDOW_GUIDANCE = 0.2


def guidance_in_windows(guidance_scale: float) -> float:
    """What a recipe's guidance comes to where a picture is painted in windows."""
    return 1 + (guidance_scale - 1) * WINDOW_GUIDANCE


@contextmanager
def unet_in_tiles(unet: Any, tile: int) -> Iterator[None]:
    """While this holds, `unet` predicts latents larger than `tile` (its side, in latents) piece by piece.

    The window's place is passed on as SDXL's crop coordinates (`time_ids`), as the network knows it from training. One
    window at a time is predicted, for all pictures of the batch. Hooks that move weights to the device run for each.
    """
    whole, had_own = unet.forward, "forward" in vars(unet)

    def forward(
        sample: Tensor,
        timestep: Any,
        *args: Any,
        added_cond_kwargs: dict[str, Tensor],
        return_dict: bool,
        **kwargs: Any,
    ) -> Any:
        height, width = sample.shape[-2:]
        tall, wide = min(tile, height), min(tile, width)
        if (tall, wide) == (height, width):
            return whole(
                sample, timestep, *args, added_cond_kwargs=added_cond_kwargs, return_dict=return_dict, **kwargs
            )
        total = torch.zeros_like(sample, dtype=torch.float32)
        weights = torch.zeros((1, 1, height, width), device=sample.device)
        window = tile_weights(tall, wide).to(sample.device)
        for top in tile_starts(height, tall):
            for left in tile_starts(width, wide):
                rows, columns = slice(top, top + tall), slice(left, left + wide)
                time_ids = added_cond_kwargs["time_ids"].clone()
                # A refiner knows the corner, but an aesthetic score in the place of the size.
                places = (top, left, tall, wide) if time_ids.shape[1] == 6 else (top, left)
                time_ids[:, 2 : 2 + len(places)] = torch.tensor(
                    [VAE_SCALE * place for place in places], dtype=time_ids.dtype
                )
                (prediction,) = whole(
                    sample[..., rows, columns],
                    timestep,
                    *args,
                    added_cond_kwargs=added_cond_kwargs | {"time_ids": time_ids},
                    return_dict=False,
                    **kwargs,
                )
                total[..., rows, columns] += prediction * window
                weights[..., rows, columns] += window
        return ((total / weights).to(sample.dtype),)

    unet.forward = forward
    try:
        yield
    finally:
        if had_own:  # an offloading hook's
            unet.forward = whole
        else:
            del unet.forward


def tile_weights(height: int, width: int) -> Tensor:
    """How much each latent of a tile counts (1 × 1 × height × width): 1 in the middle, falling to its borders."""

    def ramp(length: int) -> Tensor:
        middle = (length - 1) / 2
        return 1 - ((torch.arange(length) - middle).abs() / (middle + 1))

    return (ramp(height)[:, None] * ramp(width)[None, :])[None, None]
