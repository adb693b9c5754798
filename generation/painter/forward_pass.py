"""One forward pass: pictures that share a batch key and a prompt length, from noise or canvases to finished pictures.

`denoising.py` goes the way from noise to latents; what acts between its steps (keeping parts of a canvas, progress,
previews, cancelling) is a list of callbacks, each of which sees the latents as those before it left them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from PIL import Image
from torch import Generator, Tensor

from generation.errors import PaintingFailed
from generation.painter.canvas import Canvas
from generation.painter.denoising import Denoiser, Piece, Start, Way
from generation.painter.keeping import latent_freedom
from generation.painter.latents import (
    choose_tiling,
    decode_latents,
    draw_noise,
    encode_picture,
    enlarge_latents,
    seed_generator,
    share_noise,
)
from generation.painter.models import LoadedModel
from generation.painter.progress import BatchProgress
from generation.painter.refiner import LoadedRefiner
from generation.painter.seamless import seamless, seamless_in_windows
from generation.painter.tiled_unet import VAE_SCALE, guidance_in_windows, unet_in_tiles
from generation.recipe import Recipe
from generation.tiles import needs_tiles, tile_side


def paint_pass(
    model: LoadedModel, refiner: LoadedRefiner | None, pieces: Sequence[Piece], progress: BatchProgress
) -> list[Image.Image]:
    """The pieces' pictures. Their recipes have one batch key, their embeddings one length.

    Raises `PaintingCancelled`, and `PaintingFailed` where the numbers overflowed; torch's errors pass through.
    """
    recipe = pieces[0].recipe
    choose_tiling(model.vae, recipe.width, recipe.height, always=model.saves_memory)
    with ExitStack() as conditions:
        in_windows = _enter_windows(conditions, model, recipe)
        if recipe.tile:
            _enter_seamless(conditions, model, refiner, in_windows=in_windows)

        # 1. Each picture's own noise, and what it starts from
        generators = [seed_generator(piece.recipe.seed) for piece in pieces]
        start = _start(model, pieces, generators)

        # 2. Denoise, in one pass or in two
        guidance_scale = guidance_in_windows(recipe.guidance_scale) if in_windows else recipe.guidance_scale
        denoiser = Denoiser(model, refiner, pieces, generators, progress, guidance_scale=guidance_scale)
        if recipe.hires is None:
            latents = denoiser.run(start, Way.last_of(recipe, start.strength))
        else:
            first = denoiser.run(start, Way(steps=recipe.num_inference_steps, until=recipe.num_inference_steps))
            noise = draw_noise(generators, model.vae, recipe.width, recipe.height).to(model.device)
            larger = Start(noise=noise, latents=enlarge_latents(first, noise), strength=recipe.hires.strength)
            way = Way.last_of(recipe, larger.strength, before=recipe.num_inference_steps)
            latents = denoiser.run(larger, way)

        # 3. Decode one by one
        if not torch.isfinite(latents).all():
            raise PaintingFailed(detail="the latents overflowed; another number format (dtype) may hold them")
        images = []
        for piece, one in zip(pieces, latents, strict=True):
            progress.check_cancelled()
            image = decode_latents(model.vae, model.image_processor, one, seamless=recipe.tile)
            images.append(piece.canvas.finish(image) if piece.canvas else image)
        return images


def _start(model: LoadedModel, pieces: Sequence[Piece], generators: list[Generator]) -> Start:
    """The pieces' noise, mixed with what their grids share, and their canvases' latents."""
    recipe = pieces[0].recipe
    size = (recipe.width, recipe.height) if recipe.hires is None else (recipe.hires.width, recipe.hires.height)
    noise = draw_noise(generators, model.vae, *size)
    noise = share_noise(noise, [piece.recipe for piece in pieces], model.vae, *size).to(model.device)
    canvases = [piece.canvas for piece in pieces if piece.canvas]
    if recipe.source is None:
        return Start(noise=noise)
    encoded = torch.cat([_encoded(model, canvas, recipe) for canvas in canvases])
    repaint = [canvas.repaint for canvas in canvases if canvas.repaint]
    return Start(
        noise=noise,
        latents=encoded,
        strength=recipe.source.strength,
        freedom=latent_freedom(repaint, encoded) if repaint else None,
    )


def _encoded(model: LoadedModel, canvas: Canvas, recipe: Recipe) -> Tensor:
    return encode_picture(model.vae, model.image_processor, canvas.picture, model.device, seamless=recipe.tile)


def _enter_windows(conditions: ExitStack, model: LoadedModel, recipe: Recipe) -> bool:
    """Paint a picture above the native size that starts from another in windows."""
    native_size = model.spec.native_size
    if recipe.source is None or not needs_tiles(recipe.width, recipe.height, native_size):
        return False
    conditions.enter_context(unet_in_tiles(model.text_to_image.unet, tile_side(native_size) // VAE_SCALE))
    return True


def _enter_seamless(
    conditions: ExitStack, model: LoadedModel, refiner: LoadedRefiner | None, *, in_windows: bool
) -> None:
    """Let each network see the opposite edge beyond each edge: in its convolutions, or, where it works in windows, by
    latents that were wrapped around before."""
    networks = [] if refiner is None else [refiner.pipeline.unet]
    if in_windows:
        conditions.enter_context(seamless_in_windows(model.text_to_image.unet))
    else:
        networks.append(model.text_to_image.unet)
    if not model.vae.use_tiling:
        networks.append(model.vae)
    conditions.enter_context(seamless(*networks))
