"""One forward pass: pictures that share a batch key and a prompt length, from noise or canvases to finished latents.

`denoising.py` goes the way from noise to latents; what acts between its steps (keeping parts of a canvas, progress,
previews, cancelling) is a list of callbacks, each of which sees the latents as those before it left them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor

from generation.errors import PaintingFailed
from generation.painter.denoising import Denoiser, Piece, Start, Way
from generation.painter.guidance_scales import scales_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoised:
    """A picture as the VAE gets it: channels × height/8 × width/8."""

    model: LoadedModel
    piece: Piece
    latents: Tensor

    def image(self) -> Image.Image:
        """The picture itself. In any thread, also while the model denoises others."""
        recipe = self.piece.recipe
        with self.model.without_gradients(), vae_for(self.model, recipe) as vae:
            image = decode_latents(vae, self.model.image_processor, self.latents, seamless=recipe.tile)
        return self.piece.canvas.finish(image) if self.piece.canvas else image


def denoise_pass(
    model: LoadedModel, refiner: LoadedRefiner | None, pieces: Sequence[Piece], progress: BatchProgress
) -> list[Denoised]:
    """The pieces' latents. Their recipes have one batch key, their embeddings one length.

    Raises `PaintingCancelled`, and `PaintingFailed` where the numbers overflowed; torch's errors pass through.
    """
    recipe = pieces[0].recipe
    # 1. Each picture's own noise, and what it starts from
    generators = [seed_generator(piece.recipe.seed) for piece in pieces]
    start = _start(model, pieces, generators)

    # 2. Denoise, in one pass or in two
    denoiser = Denoiser(model, refiner, pieces, generators, progress)
    scales = [piece.recipe.guidance_scale for piece in pieces]
    if recipe.hires is not None:
        way = Way(steps=recipe.num_inference_steps, until=recipe.num_inference_steps)
        with _unets_ready(model, refiner, recipe, in_windows=False):
            first = denoiser.run(start, way, scales_of(scales))
        start = _enlarged(model, first, generators, recipe, recipe.hires)
    way = Way.last_of(recipe, start.strength)
    in_windows = recipe.source is not None and needs_tiles(recipe.width, recipe.height, model.spec.native_size)
    if in_windows:
        scales = [guidance_in_windows(scale) for scale in scales]
    with _unets_ready(model, refiner, recipe, in_windows=in_windows):
        latents = denoiser.run(start, way, scales_of(scales))
    if not torch.isfinite(latents).all():
        raise PaintingFailed(detail="the latents overflowed; another number format (dtype) may hold them")
    return [Denoised(model=model, piece=piece, latents=one) for piece, one in zip(pieces, latents, strict=True)]


@contextmanager
def vae_for(model: LoadedModel, recipe: Recipe) -> Iterator[Any]:
    """The VAE, for this thread alone and set up for pictures of this recipe: in tiles, or seamless."""
    with model.vae_lock:
        choose_tiling(model.vae, recipe.width, recipe.height, always=model.saves_memory)
        with seamless(*([model.vae] if recipe.tile and not model.vae.use_tiling else [])):
            yield model.vae


def _start(model: LoadedModel, pieces: Sequence[Piece], generators: list[Generator]) -> Start:
    """The pieces' noise, mixed with what their grids share, and their canvases' latents."""
    recipe = pieces[0].recipe
    size = (recipe.width, recipe.height) if recipe.hires is None else (recipe.hires.width, recipe.hires.height)
    noise = draw_noise(generators, model.vae, *size)
    noise = share_noise(noise, [piece.recipe for piece in pieces], model.vae, *size).to(model.device)
    canvases = [piece.canvas for piece in pieces if piece.canvas]
    if recipe.source is None:
        return Start(noise=noise)
    encoded = _encoded(model, [canvas.picture for canvas in canvases], recipe)
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
    with vae_for(model, recipe) as vae:
        pictures = [decode_latents(vae, model.image_processor, one, seamless=recipe.tile) for one in latents]
    size = (recipe.width, recipe.height)
    larger = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    return Start(
        noise=draw_noise(generators, model.vae, *size).to(model.device),
        latents=_encoded(model, larger, recipe),
        strength=hires.strength,
    )


def _encoded(model: LoadedModel, pictures: Sequence[Image.Image], recipe: Recipe) -> Tensor:
    with vae_for(model, recipe) as vae:
        return torch.cat(
            [
                encode_picture(vae, model.image_processor, picture, model.device, seamless=recipe.tile)
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
