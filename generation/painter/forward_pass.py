"""One forward pass: pictures that share a batch key and a prompt length, from noise or canvases to finished pictures.

What acts between the steps (progress, previews, cancelling) is a list of callbacks, each of which sees the latents as
those before it left them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from generation.errors import PaintingFailed
from generation.painter.canvas import Canvas
from generation.painter.latents import choose_tiling, decode_latents, draw_noise, encode_picture, seed_generator
from generation.painter.models import LoadedModel
from generation.painter.progress import BatchProgress
from generation.painter.prompts import PromptEmbeddings, pipeline_arguments
from generation.painter.schedulers import Estimate, make_scheduler
from generation.painter.step_callbacks import StepCallback, in_turn
from generation.painter.tiled_unet import VAE_SCALE, unet_in_tiles
from generation.recipe import Recipe
from generation.tiles import needs_tiles, tile_side


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One picture of a pass: its recipe, its conditioning, and what it starts from (None: from noise alone)."""

    recipe: Recipe
    embeddings: PromptEmbeddings
    canvas: Canvas | None


def paint_pass(model: LoadedModel, pieces: Sequence[Piece], progress: BatchProgress) -> list[Image.Image]:
    """The pieces' pictures. Their recipes have one batch key, their embeddings one length.

    Raises `PaintingCancelled`, and `PaintingFailed` where the numbers overflowed; torch's errors pass through.
    """
    recipe = pieces[0].recipe
    vae, processor, device = model.vae, model.text_to_image.image_processor, model.device
    dtype = pieces[0].embeddings.prompt.dtype

    # 1. A fresh scheduler, and what acts after each of its steps
    pipeline = model.text_to_image if recipe.source is None else model.image_to_image
    pipeline.scheduler = make_scheduler(model.scheduler, recipe.scheduler)
    callbacks: list[StepCallback] = [progress.after_step(Estimate(pipeline.scheduler))]
    choose_tiling(vae, recipe.width, recipe.height, always=model.saves_memory)

    # 2. Each picture's own noise
    generators = [seed_generator(piece.recipe.seed) for piece in pieces]
    noise = draw_noise(generators, vae, recipe.width, recipe.height).to(device)
    arguments: dict[str, Any] = {
        **pipeline_arguments([piece.embeddings for piece in pieces]),
        "num_inference_steps": recipe.num_inference_steps,
        "guidance_scale": recipe.guidance_scale,
        "generator": generators,  # for schedulers that draw more noise on the way
        "output_type": "latent",
        "callback_on_step_end": in_turn(callbacks),
    }

    # 3. Denoise, from noise or from the canvases
    if recipe.source is None:
        arguments |= {"width": recipe.width, "height": recipe.height, "latents": noise.to(dtype)}
    else:
        canvases = [piece.canvas.picture for piece in pieces if piece.canvas]
        encoded = torch.cat([encode_picture(vae, processor, picture, device) for picture in canvases])
        noised = _noised(pipeline, encoded, noise, recipe.num_inference_steps, recipe.source.strength)
        arguments |= {"image": encoded, "latents": noised.to(dtype), "strength": recipe.source.strength}
    with _in_windows(model, recipe):
        latents = pipeline(**arguments).images

    # 4. Decode one by one
    if not torch.isfinite(latents).all():
        raise PaintingFailed(detail="the latents overflowed; another number format (dtype) may hold them")
    images = []
    for piece, one in zip(pieces, latents, strict=True):
        progress.check_cancelled()
        image = decode_latents(vae, processor, one)
        images.append(piece.canvas.finish(image) if piece.canvas else image)
    return images


def _in_windows(model: LoadedModel, recipe: Recipe) -> AbstractContextManager[None]:
    """What a picture above the native size that starts from another is painted in; nothing for any other."""
    native_size = model.spec.native_size
    if recipe.source is None or not needs_tiles(recipe.width, recipe.height, native_size):
        return nullcontext()
    return unet_in_tiles(model.text_to_image.unet, tile_side(native_size) // VAE_SCALE)


def _noised(pipeline: Any, latents: Tensor, noise: Tensor, num_inference_steps: int, strength: float) -> Tensor:
    """The canvases' latents with as much noise as there is at the step where image to image begins."""
    pipeline.scheduler.set_timesteps(num_inference_steps, device=latents.device)
    timesteps, _ = pipeline.get_timesteps(num_inference_steps, strength, latents.device)
    noised: Tensor = pipeline.scheduler.add_noise(latents, noise, timesteps[:1].repeat(len(latents)))
    return noised
