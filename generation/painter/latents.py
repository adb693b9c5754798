"""Between pictures and latents: the seed's noise, a source picture into latents, finished latents into a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor

from generation.painter.seamless import margin_of, trimmed, wrapped
from generation.recipe import Recipe

# From here on the VAE works in overlapping tiles: one of SDXL's needs some 10 GB for 1536² pixels in one piece.
TILED_FROM_PIXELS = 1536 * 1536


def seed_generator(seed: int) -> Generator:
    """The source of one picture's randomness. On the CPU, because every device's own gives other numbers."""
    return Generator("cpu").manual_seed(seed)


def draw_noise(generators: list[Generator], vae: Any, width: int, height: int) -> Tensor:
    """One picture's noise from each generator: pictures × channels × height/8 × width/8, in float32.

    Always drawn in float32, since other formats take other numbers from the generator.
    """
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (1, vae.config.latent_channels, height // scale, width // scale)
    return torch.cat([torch.randn(shape, generator=generator) for generator in generators])


def choose_tiling(vae: Any, width: int, height: int, *, always: bool) -> None:
    """Let the VAE work in tiles on pictures of this size, or in one piece.

    Set before each pass, and by nothing but the size: tiles change pixels a little, and a picture must not depend on
    what was painted before it.
    """
    if always or width * height >= TILED_FROM_PIXELS:
        vae.enable_tiling()
    else:
        vae.disable_tiling()


def share_noise(noise: Tensor, recipes: Sequence[Recipe], vae: Any, width: int, height: int) -> Tensor:
    """Each picture's own noise mixed with that of the seed that it shares.

    `shared_noise` is the share of the variance, so the mixture is as strong as either. A picture's own seed is the one
    that it shares in the first of a grid, which then is what it would be alone.
    """
    mixed = []
    for own, recipe in zip(torch.split(noise, 1), recipes, strict=True):
        if recipe.shared_seed is None or recipe.shared_seed == recipe.seed:
            mixed.append(own)
            continue
        shared = draw_noise([seed_generator(recipe.shared_seed)], vae, width, height)
        mixed.append(recipe.shared_noise**0.5 * shared + (1 - recipe.shared_noise) ** 0.5 * own)
    return torch.cat(mixed)


def encode_picture(
    vae: Any, image_processor: Any, image: Image.Image, device: torch.device, *, seamless: bool = False
) -> Tensor:
    """An RGB picture → its latents as the UNet sees them (1 × channels × height/8 × width/8, float32).

    The mean of the VAE's distribution, not a draw from it: the picture itself, and no noise beside the seed's. A
    `seamless` one is seen with its opposite edges around it.
    """
    pixels = image_processor.preprocess(image).to(device, vae.dtype)
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    margin = margin_of(pixels[..., ::scale, ::scale]) if seamless else 0
    if margin:
        pixels = wrapped(pixels, scale * margin)
    latents: Tensor = vae.encode(pixels).latent_dist.mode().float()
    if margin:
        latents = trimmed(latents, margin)
    mean, std = _statistics(vae, latents)
    scaled: Tensor = (latents - mean) * vae.config.scaling_factor / std
    return scaled


def decode_latents(vae: Any, image_processor: Any, latents: Tensor, *, seamless: bool = False) -> Image.Image:
    """One picture's finished latents (channels × height/8 × width/8) → an RGB picture.

    One at a time: the VAE needs more memory than all that came before, and a picture must not depend on its neighbours.
    A VAE in tiles sees a `seamless` one with its opposite edges around it; one that works in one piece sees them anyway
    where it was made to.
    """
    latents = latents[None].float()
    mean, std = _statistics(vae, latents)
    latents = latents * std / vae.config.scaling_factor + mean
    margin = margin_of(latents) if seamless and vae.use_tiling else 0
    if margin:
        latents = wrapped(latents, margin)
    pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
    if margin:
        pixels = trimmed(pixels, 2 ** (len(vae.config.block_out_channels) - 1) * margin)
    picture: Image.Image = image_processor.postprocess(pixels.float(), output_type="pil")[0]
    return picture


def _statistics(vae: Any, latents: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """Mean and deviation by which some SDXL models' latents are normalised (Playground v2.5), else 0 and 1."""
    if getattr(vae.config, "latents_mean", None) is None or getattr(vae.config, "latents_std", None) is None:
        return 0.0, 1.0
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1).to(latents)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, std
