"""A request → the recipes of its pictures, and what they cost. Pure: no seeds are drawn and nothing is stored here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from bot.flag_errors import TooManyLoras
from bot.flags import RAW, Request
from generation.aspect import size_for
from generation.catalogue import Catalogue, Style
from generation.errors import RequestRejected
from generation.job import JobKind
from generation.loras import check_lora
from generation.recipe import MAX_LORAS, MAX_SEED, LoraUse, Recipe, Source

T = TypeVar("T")

DEFAULT_COUNT = 4
SQUARE = Fraction(1)
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
# A picture of more than this many times the native area was upscaled. Buckets differ from the square by a few percent.
NATIVE_AREA_TOLERANCE = 1.1


class UpscaleTooLarge(RequestRejected):
    """The picture is as large as it can become. Fields: `width`, `height` (pixels, as it is)."""

    key = "upscale_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a request comes to: recipes in grid order, the style that was applied (or None), the cost in credits."""

    recipes: tuple[Recipe, ...]
    style: str | None
    cost: int


def compose(request: Request, catalogue: Catalogue, *, seed: int) -> Order:
    """Turn a request into recipes. Picture i has the seed `seed` + i.

    Raises `UnknownName`, `LoraRefused` or `TooManyLoras`.
    """
    model = catalogue.model()
    style = _style(request.style, catalogue)
    loras = _loras(request, style, catalogue)
    width, height = size_for(request.aspect or SQUARE, model.native_size)
    recipe = Recipe(
        prompt=_with_triggers(
            style.template.replace("{prompt}", request.prompt) if style else request.prompt, loras, catalogue
        ),
        negative_prompt=", ".join(filter(None, (request.negative_prompt, style.negative_prompt if style else ""))),
        model=model.name,
        width=width,
        height=height,
        seed=seed,
        num_inference_steps=request.steps or model.num_inference_steps,
        guidance_scale=request.guidance_scale or model.guidance_scale,
        loras=loras,
    )
    return _order(_seeded([recipe] * (request.count or DEFAULT_COUNT), seed), catalogue, style.name if style else None)


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
    varied = replace(recipe, width=width, height=height, source=source)
    return _order(_seeded([varied] * VARIATIONS, seed), catalogue, style)


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
    source = Source(digest=digest, strength=UPSCALE_STRENGTHS[kind])
    return _order((replace(recipe, width=width, height=height, source=source, seed=seed),), catalogue, style)


def again(recipes: Sequence[Recipe], catalogue: Catalogue, *, seed: int, style: str | None = None) -> Order:
    """The same recipes with new seeds. Raises what `variations_of` raises."""
    return _order(_seeded(recipes, seed), catalogue, style)


def find_name(things: Mapping[str, T], name: str) -> str:
    """The name as the catalogue writes it, if only case differs; otherwise the name itself."""
    if name in things:
        return name
    return next((known for known in things if known.lower() == name.lower()), name)


def _style(name: str | None, catalogue: Catalogue) -> Style | None:
    if name is None or name == RAW:
        return None
    return catalogue.style(find_name(catalogue.styles, name))


def _loras(request: Request, style: Style | None, catalogue: Catalogue) -> tuple[LoraUse, ...]:
    """The person's LoRAs, then the style's; where both name one, the person's weight counts."""
    wanted = [replace(lora, name=find_name(catalogue.loras, lora.name)) for lora in request.loras]
    named = {lora.name for lora in wanted}
    wanted += [lora for lora in (style.loras if style else ()) if lora.name not in named]
    if len(wanted) > MAX_LORAS:
        raise TooManyLoras(limit=MAX_LORAS)
    return tuple(wanted)


def _with_triggers(prompt: str, loras: Iterable[LoraUse], catalogue: Catalogue) -> str:
    """Put the trigger words that the prompt lacks in front of it, where no text encoder's limit cuts them off.

    A LoRA of weight 0 changes nothing, so its words are not added either.
    """
    triggers = [catalogue.lora(lora.name).trigger for lora in loras if lora.weight != 0]
    missing = [trigger for trigger in dict.fromkeys(triggers) if trigger and trigger.lower() not in prompt.lower()]
    return ", ".join([*missing, prompt])


def _seeded(recipes: Iterable[Recipe], seed: int) -> tuple[Recipe, ...]:
    return tuple(replace(recipe, seed=(seed + index) % (MAX_SEED + 1)) for index, recipe in enumerate(recipes))


def _order(recipes: tuple[Recipe, ...], catalogue: Catalogue, style: str | None) -> Order:
    """Check that the recipes can be drawn here, and price them."""
    cost = 0
    for recipe in recipes:
        model = catalogue.model(recipe.model)
        for lora in recipe.loras:
            check_lora(catalogue.lora(lora.name), model)
        cost += recipe.cost(native_size=model.native_size, default_steps=model.num_inference_steps)
    return Order(recipes=recipes, style=style, cost=cost)
