"""A request → the recipes of its pictures, and what they cost. Pure: no seeds are drawn and nothing is stored here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from bot.flag_errors import TooManyLoras
from bot.flag_values import RAW
from bot.flags import Request
from generation.aspect import size_for
from generation.catalogue import Catalogue, Style
from generation.loras import check_lora
from generation.recipe import MAX_LORAS, MAX_SEED, LoraUse, Recipe

T = TypeVar("T")

DEFAULT_COUNT = 4
SQUARE = Fraction(1)


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
    return order_of(seeded([recipe] * (request.count or DEFAULT_COUNT), seed), catalogue, style.name if style else None)


def seeded(recipes: Iterable[Recipe], seed: int) -> tuple[Recipe, ...]:
    """Picture i gets the seed `seed` + i."""
    return tuple(replace(recipe, seed=(seed + index) % (MAX_SEED + 1)) for index, recipe in enumerate(recipes))


def order_of(recipes: tuple[Recipe, ...], catalogue: Catalogue, style: str | None) -> Order:
    """Check that the recipes can be drawn here, and price them. Raises `UnknownName` or `LoraRefused`."""
    cost = 0
    for recipe in recipes:
        model = catalogue.model(recipe.model)
        for lora in recipe.loras:
            check_lora(catalogue.lora(lora.name), model)
        cost += recipe.cost(native_size=model.native_size, default_steps=model.num_inference_steps)
    return Order(recipes=recipes, style=style, cost=cost)


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
