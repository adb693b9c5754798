"""A stored picture → the recipes of its edits: more around it, or a part of it painted anew. Pure, as `bot/compose.py`.

All of an edit is painted from pure noise (strength 1) unless a strength is named, to its last step, and without a
refiner, whose own noise would cross the border between what is kept and what is new.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from bot.compose import DEFAULT_COUNT, Order, StartingPicture, order_of, seeded
from bot.derive import plain
from bot.flag_errors import FlagRepeated, FlagValueInvalid, FlagValueMissing
from generation.aspect import WIDEST
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.framing import Canvas, Framing, framed, zoomed
from generation.recipe import Frame, Mask, Recipe, Source

# `--zoom` in the prompt of a custom zoom, as in Midjourney: 1 changes the shape alone.
LEAST_ZOOM, LARGEST_ZOOM = Fraction(1), Fraction(2)
_ZOOM = re.compile(r"(?:^|(?<=\s))(?:-[-—–]+|[—–][-—–]*)zoom(?:=|\s+|$)(\S*)", re.IGNORECASE)
_ZOOM_VALUE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,6})?", re.ASCII)


class NothingAdded(RequestRejected):
    """The canvas would be the picture itself: nothing is left to be painted."""

    key = "nothing_added"


class CanvasTooLong(RequestRejected):
    """The canvas would be longer than models draw. Fields: `widest` (how many times as wide as high it may be)."""

    key = "canvas_too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """In what words an edit is painted: those of `recipe`, with its model and sampling; `count` times from `seed` on.

    `strength` is how far what is painted anew may be from what stood there.
    """

    recipe: Recipe
    style: str | None
    seed: int
    count: int = DEFAULT_COUNT
    strength: float = 1.0


def reframed(words: Words, picture: StartingPicture, canvas: Canvas, catalogue: Catalogue) -> Order:
    """The picture with `canvas` around it.

    Raises `NothingAdded`, `CanvasTooLong`, and `UnknownName` or `LoraRefused` when the model or a LoRA of the recipe is
    not there any more.
    """
    if not canvas.grows:
        raise NothingAdded
    framing = _framed(words, canvas, catalogue)
    return _order(words, picture, framing, catalogue, frame=framing.frame)


def repainted(words: Words, picture: StartingPicture, mask: Mask, catalogue: Catalogue) -> Order:
    """The picture with what `mask` covers painted anew.

    It keeps its size where a model draws that well, and is scaled to such a size otherwise. Raises what `reframed`
    raises.
    """
    framing = _framed(words, zoomed(picture.width, picture.height, Fraction(1)), catalogue)
    return _order(words, picture, framing, catalogue, mask=mask)


def reworded(words: Words, recipes: Sequence[Recipe], catalogue: Catalogue) -> Order:
    """The same pictures in other words: what they start from, their sizes and how they are edited stay.

    Raises `UnknownName` or `LoraRefused`.
    """
    own = plain(words.recipe)
    anew = [
        replace(own, width=recipe.width, height=recipe.height, source=recipe.source, mask=recipe.mask)
        for recipe in recipes
    ]
    return order_of(seeded(anew, words.seed), catalogue, words.style)


def take_zoom(text: str) -> tuple[str, Fraction]:
    """A prompt with `--zoom` in it → the prompt without, and the zoom (the largest if none is named).

    Raises `FlagValueMissing`, `FlagValueInvalid` or `FlagRepeated`.
    """
    found = list(_ZOOM.finditer(text))
    if not found:
        return text, LARGEST_ZOOM
    if len(found) > 1:
        raise FlagRepeated(flag="--zoom", first="--zoom")
    value = found[0][1]
    if not value:
        raise FlagValueMissing(flag="--zoom", example="--zoom 1.5")
    if not _ZOOM_VALUE.fullmatch(value) or not LEAST_ZOOM <= Fraction(value) <= LARGEST_ZOOM:
        raise FlagValueInvalid(flag="--zoom", value=value[:20], allowed=f"{LEAST_ZOOM} … {LARGEST_ZOOM}")
    return text[: found[0].start()] + text[found[0].end() :], Fraction(value)


def _framed(words: Words, canvas: Canvas, catalogue: Catalogue) -> Framing:
    if not 1 / WIDEST <= canvas.aspect <= WIDEST:
        raise CanvasTooLong(widest=int(WIDEST))
    return framed(canvas, catalogue.model(words.recipe.model).native_size)


def _order(
    words: Words,
    picture: StartingPicture,
    framing: Framing,
    catalogue: Catalogue,
    *,
    frame: Frame | None = None,
    mask: Mask | None = None,
) -> Order:
    source = Source(
        digest=picture.digest,
        strength=words.strength,
        frame=frame,
        super_resolution=catalogue.super_resolution and framing.frame.width > picture.width,
    )
    edited = replace(
        plain(words.recipe),
        width=framing.width,
        height=framing.height,
        source=source,
        mask=mask,
        stop=1.0,
        refine=0.0,
    )
    return order_of(seeded([edited] * words.count, words.seed), catalogue, words.style)
