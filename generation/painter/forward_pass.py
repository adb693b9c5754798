"""One forward pass: pictures that share a batch key and a prompt length, from noise or canvases to finished pictures.

`denoising.py` goes the way from noise to latents; what acts between its steps (keeping parts of a canvas, progress,
previews, cancelling) is a list of callbacks, each of which sees the latents as those before it left them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from PIL import Image
from torch import Generator, Tensor

from generation.errors import PaintingFailed
from generation.painter.denoising import Denoiser, Piece, Start, Way
from generation.painter.keeping import latent_freedom
from generation.painter.latents import (
    choose_tiling,
    decode_latents,
    draw_noise,
    encode_picture,
    seed_generator,
    share_noise,
)
from generation.painter.models import LoadedModel
from generation.painter.progress import BatchProgress
from generation.painter.refiner import LoadedRefiner
from generation.painter.seamless import seamless, seamless_in_windows
from generation.painter.tiled_unet import VAE_SCALE, guidance_in_windows, unet_in_tiles
from generation.recipe import Hires, Recipe
from generation.tiles import needs_tiles, tile_side


def paint_pass(
    model: LoadedModel, refiner: LoadedRefiner | None, pieces: Sequence[Piece], progress: BatchProgress
) -> list[Image.Image]:
    """The pieces' pictures. Their recipes have one batch key, their embeddings one length.

    Raises `PaintingCancelled`, and `PaintingFailed` where the numbers overflowed; torch's errors pass through.
    """
    recipe = pieces[0].recipe
    choose_tiling(model.vae, recipe.width, recipe.height, always=model.saves_memory)
    seamless_vae = [model.vae] if recipe.tile and not model.vae.use_tiling else []
    with seamless(*seamless_vae):
        # 1. Each picture's own noise, and what it starts from
        generators = [seed_generator(piece.recipe.seed) for piece in pieces]
        start = _start(model, pieces, generators)

        # 2. Denoise, in one pass or in two
        denoiser = Denoiser(model, refiner, pieces, generators, progress)
        if recipe.hires is not None:
            way = Way(steps=recipe.num_inference_steps, until=recipe.num_inference_steps)
            with _unets_ready(model, refiner, recipe, in_windows=False):
                first = denoiser.run(start, way, recipe.guidance_scale)
            start = _enlarged(model, first, generators, recipe, recipe.hires)
        way = Way.last_of(recipe, start.strength)
        in_windows = recipe.source is not None and needs_tiles(recipe.width, recipe.height, model.spec.native_size)
        guidance_scale = guidance_in_windows(recipe.guidance_scale) if in_windows else recipe.guidance_scale
        with _unets_ready(model, refiner, recipe, in_windows=in_windows):
            latents = denoiser.run(start, way, guidance_scale)

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
    encoded = _encoded(model, [canvas.picture for canvas in canvases], seamless=recipe.tile)
    repaint = [canvas.repaint for canvas in canvases if canvas.repaint]
    return Start(
        noise=noise,
        latents=encoded,
        strength=recipe.source.strength,
        freedom=latent_freedom(repaint, encoded) if repaint else None,
    )


def _enlarged(model: LoadedModel, latents: Tensor, generators: list[Generator], recipe: Recipe, hires: Hires) -> Start:
    """What the second of two passes starts from: the first one's pictures at their final size, with fresh noise.

    They are scaled as pictures: scaled latents come out blurred, and only a strength that forgets the first pass would
    mend it.
    """
    pictures = [decode_latents(model.vae, model.image_processor, one, seamless=recipe.tile) for one in latents]
    size = (recipe.width, recipe.height)
    larger = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    return Start(
        noise=draw_noise(generators, model.vae, *size).to(model.device),
        latents=_encoded(model, larger, seamless=recipe.tile),
        strength=hires.strength,
    )


def _encoded(model: LoadedModel, pictures: Sequence[Image.Image], *, seamless: bool) -> Tensor:
    return torch.cat(
        [
            encode_picture(model.vae, model.image_processor, picture, model.device, seamless=seamless)
            for picture in pictures
        ]
    )


@contextmanager
def _unets_ready(
    model: LoadedModel, refiner: LoadedRefiner | None, recipe: Recipe, *, in_windows: bool
) -> Iterator[None]:
    """While this holds, the model and the refiner predict in windows where that is wanted, and without edges for a
    seamless recipe."""
    unets = [model.text_to_image.unet, *([] if refiner is None else [refiner.pipeline.unet])]
    with ExitStack() as settings:
        for unet in unets:
            if in_windows:
                settings.enter_context(unet_in_tiles(unet, tile_side(model.spec.native_size) // VAE_SCALE))
            if recipe.tile:
                settings.enter_context(seamless_in_windows(unet) if in_windows else seamless(unet))
        yield
