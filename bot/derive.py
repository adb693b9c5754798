"""A stored picture → the recipes of what is made from it, and what they cost. Pure, as `bot/compose.py` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from bot.compose import Order, order_of, seeded
from generation.aspect import size_for
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.job import JobKind
from generation.recipe import Recipe, Source
from generation.tiles import NATIVE_AREA_TOLERANCE

VARIATIONS = 4
# How far variations move from their picture (image to image's strength): Subtle keeps the composition, Strong may
# change it, and V under a grid lies between the two. Seen on the embedded model's pictures: up to 0.35 only edges move,
# shapes do from 0.55 on, and 0.8 still leaves every subject where it stood; 0.9 moves some of them a little.
VARIATION_STRENGTHS: Mapping[JobKind, float] = {
    JobKind.VARY_SUBTLE: 0.35,
    JobKind.VARIATIONS: 0.55,
    JobKind.VARY_STRONG: 0.9,
}
# Subtle keeps the picture and redraws its edges, Creative invents detail. Seen there: 0.25 puts new colours into a sea,
# and 0.45 breaks a hull and loses a house's windows, which 0.35 keeps.
UPSCALE_STRENGTHS: Mapping[JobKind, float] = {JobKind.UPSCALE_SUBTLE: 0.15, JobKind.UPSCALE_CREATIVE: 0.35}
UPSCALE_FACTOR = 2
# Two upscalings of a picture of native size: the work grows with the area, and so does the memory.
LARGEST_UPSCALE = 4


class UpscaleTooLarge(RequestRejected):
    """The picture is as large as it can become. Fields: `width`, `height` (pixels, as it is)."""

    key = "upscale_too_large"


def plain(recipe: Recipe) -> Recipe:
    """The words of a recipe and how they are painted, without where its own painting began.

    That is its source and mask, its first pass, and the noise that it shared with its grid.
    """
    return replace(recipe, source=None, mask=None, hires=None, shared_seed=None, shared_noise=0.0)


def variations_of(
    recipe: Recipe, catalogue: Catalogue, *, kind: JobKind, digest: str, seed: int, style: str | None = None
) -> Order:
    """Four variations of a stored picture, which `digest` names, with new noise.

    Of an upscaled picture they have the native size again: above it a model repeats the scene.
    Raises `UnknownName` or `LoraRefused` when the model or a LoRA of the recipe is not there any more.
    """
    model = catalogue.model(recipe.model)
    width, height = recipe.width, recipe.height
    if width * height > model.native_size**2 * NATIVE_AREA_TOLERANCE:
        width, height = size_for(Fraction(width, height), model.native_size)
    source = Source(digest=digest, strength=VARIATION_STRENGTHS[kind])
    varied = replace(plain(recipe), width=width, height=height, source=source)
    return order_of(seeded([varied] * VARIATIONS, seed), catalogue, style)


def upscale_of(
    recipe: Recipe, catalogue: Catalogue, *, kind: JobKind, digest: str, seed: int, style: str | None = None
) -> Order:
    """A stored picture, which `digest` names, at twice its size.

    Raises `UpscaleTooLarge` beyond four times the model's native size (as an area), and what `variations_of` raises.
    """
    native = catalogue.model(recipe.model).native_size
    width, height = recipe.width * UPSCALE_FACTOR, recipe.height * UPSCALE_FACTOR
    if width * height > (native * LARGEST_UPSCALE) ** 2 * NATIVE_AREA_TOLERANCE:
        raise UpscaleTooLarge(width=recipe.width, height=recipe.height)
    source = Source(digest=digest, strength=UPSCALE_STRENGTHS[kind], super_resolution=catalogue.super_resolution)
    larger = replace(plain(recipe), width=width, height=height, source=source, seed=seed)
    return order_of((larger,), catalogue, style)


def again(recipes: Sequence[Recipe], catalogue: Catalogue, *, seed: int, style: str | None = None) -> Order:
    """The same recipes with new seeds. Raises what `variations_of` raises."""
    return order_of(seeded(recipes, seed), catalogue, style)
