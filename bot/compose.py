"""A request → the recipes of its pictures, and what they cost. Pure: no seeds are drawn and nothing is stored here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from bot.flag_errors import (
    HiresAgainstPicture,
    NoDraft,
    NoRefiner,
    PictureTooLong,
    PromptEmpty,
    StrengthWithoutPicture,
    TooManyLoras,
    TooManySteps,
)
from bot.flag_values import RAW
from bot.flags import Request
from bot.stylize import strength_of, styled_guidance_scale, styled_loras, styled_negative_prompt, styled_prompt
from generation.aspect import WIDEST, size_for
from generation.catalogue import Catalogue, Draft, ModelSpec, Style
from generation.embeddings import check_embedding
from generation.loras import check_lora
from generation.prompt_language import embeddings_in, escape, parse, within
from generation.recipe import MAX_LORAS, MAX_SEED, MAX_STEPS, Hires, LoraUse, Recipe, Source

T = TypeVar("T")

DEFAULT_COUNT = 4
DEFAULT_STRENGTH = 0.6
SQUARE = Fraction(1)
# At `--chaos 0` pictures of a grid share this much of their starting noise's variance: most of it, but not so much that
# they are one picture four times.
MOST_SHARED_NOISE = 0.6
# The second pass of `--hires` keeps what the first drew and draws its detail anew; from half on it adds things.
HIRES_STRENGTH = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPicture:
    """A stored picture that a request starts from: the digest of its file, its size in pixels."""

    digest: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a request comes to: recipes in grid order, the style that was applied (or None), the cost in credits."""

    recipes: tuple[Recipe, ...]
    style: str | None
    cost: int


def compose(request: Request, catalogue: Catalogue, *, seed: int, picture: StartingPicture | None = None) -> Order:
    """Turn a request into recipes. Picture i has the seed `seed` + i.

    What starts from a `picture` has its shape, unless an aspect was named. Permutations are expanded already, and
    `repeat` is not looked at: this is one job.
    Raises a leaf of `RequestRejected`: a name, a flag or the prompt itself cannot be drawn with.
    """
    model = catalogue.model(None if request.model is None else find_name(catalogue.models, request.model))
    draft = _draft(request, model)
    style = None if request.stylize == 0 else _style(request.style, catalogue)
    loras = _loras(request, style, draft, catalogue)
    prompt = _with_triggers(_prompt(request, style, wordless=picture is not None), loras, catalogue)
    negative_prompt = _negative_prompt(request, style)
    recipe = Recipe(
        prompt=prompt,
        negative_prompt=negative_prompt,
        embeddings=embeddings_in(f"{prompt} {negative_prompt}", catalogue.embeddings),
        model=model.name,
        **_size(request, model, picture),
        seed=seed,
        num_inference_steps=_steps(request, model, draft),
        guidance_scale=_guidance_scale(request, model, draft),
        scheduler=request.sampler or (draft.scheduler if draft else None),
        loras=loras,
        source=_source(request, picture),
        weird=request.weird or 0,
        stop=(request.stop or 100) / 100,
        tile=request.tile,
        refine=_refine(request, model),
    )
    recipes = _sharing_noise([recipe] * (request.count or DEFAULT_COUNT), seed, request.chaos or 0)
    return order_of(seeded(recipes, seed), catalogue, style.name if style else None)


def seeded(recipes: Iterable[Recipe], seed: int) -> tuple[Recipe, ...]:
    """Picture i gets the seed `seed` + i; what the pictures share of their noise comes from the first one's."""
    return tuple(
        replace(
            recipe,
            seed=(seed + index) % (MAX_SEED + 1),
            shared_seed=None if recipe.shared_seed is None else seed,
        )
        for index, recipe in enumerate(recipes)
    )


def order_of(recipes: tuple[Recipe, ...], catalogue: Catalogue, style: str | None) -> Order:
    """Check that the recipes can be drawn here, and price them.

    Raises `UnknownName`, `LoraRefused`, `EmbeddingRefused`, or why a prompt cannot be read.

    Credits are whole: the work of all the pictures together is rounded to the nearest, and is at least 1.
    """
    work = 0.0
    for recipe in recipes:
        model = catalogue.model(recipe.model)
        for lora in recipe.loras:
            check_lora(catalogue.lora(lora.name), model)
        for name in recipe.embeddings:
            check_embedding(catalogue.embedding(name), model)
        for prompt in (recipe.prompt, recipe.negative_prompt):
            parse(prompt)
        work += recipe.work(native_size=model.native_size, default_steps=model.num_inference_steps)
    return Order(recipes=recipes, style=style, cost=max(1, math.floor(work + 0.5)))


def find_name(things: Mapping[str, T], name: str) -> str:
    """The name as the catalogue writes it, if only case differs; otherwise the name itself."""
    if name in things:
        return name
    return next((known for known in things if known.lower() == name.lower()), name)


def _style(name: str | None, catalogue: Catalogue) -> Style | None:
    if name is None or name == RAW:
        return None
    return catalogue.style(find_name(catalogue.styles, name))


def _draft(request: Request, model: ModelSpec) -> Draft | None:
    if request.draft and model.draft is None:
        raise NoDraft(model=model.name)
    return model.draft if request.draft else None


def _loras(request: Request, style: Style | None, draft: Draft | None, catalogue: Catalogue) -> tuple[LoraUse, ...]:
    """The person's LoRAs, then the style's, then that of the draft; where two name one, the first weight counts."""
    wanted = [replace(lora, name=find_name(catalogue.loras, lora.name)) for lora in request.loras]
    of_style = styled_loras(style, strength_of(request.stylize)) if style else ()
    of_draft = (LoraUse(name=draft.lora),) if draft else ()
    for lora in (*of_style, *of_draft):
        if all(lora.name != other.name for other in wanted):
            wanted.append(lora)
    if len(wanted) > MAX_LORAS:
        raise TooManyLoras(limit=MAX_LORAS)
    return tuple(wanted)


def _size(request: Request, model: ModelSpec, picture: StartingPicture | None) -> dict[str, Any]:
    """Width, height and, with `--hires`, the first pass."""
    aspect = request.aspect or _aspect_of(picture)
    first = size_for(aspect, model.native_size)
    width, height = (math.floor(side * (request.hires or 1) / 8 + 0.5) * 8 for side in first)
    if (width, height) == first:
        return {"width": width, "height": height}
    if picture is not None:
        raise HiresAgainstPicture
    hires = Hires(width=first[0], height=first[1], strength=HIRES_STRENGTH)
    return {"width": width, "height": height, "hires": hires}


def _aspect_of(picture: StartingPicture | None) -> Fraction:
    if picture is None:
        return SQUARE
    aspect = Fraction(picture.width, picture.height)
    if not 1 / WIDEST <= aspect <= WIDEST:
        raise PictureTooLong(widest=int(WIDEST))
    return aspect


def _steps(request: Request, model: ModelSpec, draft: Draft | None) -> int:
    usual = draft.num_inference_steps if draft else model.num_inference_steps
    steps = max(1, math.floor((request.steps or usual) * (request.quality or 1) + 0.5))
    if steps > MAX_STEPS:
        raise TooManySteps(steps=steps, limit=MAX_STEPS)
    return steps


def _guidance_scale(request: Request, model: ModelSpec, draft: Draft | None) -> float:
    """A few-step path is made for its own guidance, and what a person names is meant."""
    if request.guidance_scale is not None:
        return request.guidance_scale
    return draft.guidance_scale if draft else styled_guidance_scale(model.guidance_scale, strength_of(request.stylize))


def _source(request: Request, picture: StartingPicture | None) -> Source | None:
    if picture is not None:
        strength = DEFAULT_STRENGTH if request.strength is None else request.strength
        return Source(digest=picture.digest, strength=strength)
    if request.strength is not None:
        raise StrengthWithoutPicture
    return None


def _refine(request: Request, model: ModelSpec) -> float:
    if request.refine and not model.refiner:
        raise NoRefiner(model=model.name)
    return request.refine or 0.0


def _sharing_noise(recipes: Sequence[Recipe], seed: int, chaos: int) -> Sequence[Recipe]:
    """All but the first share noise with it, the less the greater the chaos; what starts from a picture shares that."""
    shared = MOST_SHARED_NOISE * (100 - chaos) / 100
    first, *others = recipes
    if not shared or first.source is not None:
        return recipes
    return [first, *(replace(recipe, shared_seed=seed, shared_noise=shared) for recipe in others)]


def _prompt(request: Request, style: Style | None, *, wordless: bool) -> str:
    prompt = parse(request.prompt)
    if not prompt.parts and not wordless:  # brackets around nothing
        raise PromptEmpty
    return styled_prompt(request.prompt, style, strength_of(request.stylize)) if style else prompt.to_text()


def _negative_prompt(request: Request, style: Style | None) -> str:
    negative_prompt = parse(request.negative_prompt or "").to_text()
    return styled_negative_prompt(negative_prompt, style, strength_of(request.stylize)) if style else negative_prompt


def _with_triggers(prompt: str, loras: Iterable[LoraUse], catalogue: Catalogue) -> str:
    """Put the trigger words that the prompt lacks in front of each of its parts.

    A LoRA of weight 0 changes nothing, so its words are not added either.
    """
    words = parse(prompt).text.lower()
    triggers = [catalogue.lora(lora.name).trigger for lora in loras if lora.weight != 0]
    missing = [escape(trigger) for trigger in dict.fromkeys(triggers) if trigger and trigger.lower() not in words]
    return within(", ".join([*missing, "{prompt}"]), prompt) if missing else prompt
