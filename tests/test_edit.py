"""From a stored picture to the recipes of its edits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.compose import StartingPicture, compose
from bot.edit import CanvasTooLong, NothingAdded, Words, reframed, repainted, take_zoom
from bot.flag_errors import FlagRepeated, FlagValueInvalid, FlagValueMissing
from bot.flags import Request
from generation.catalogue import Catalogue, ModelSpec
from generation.errors import RequestRejected
from generation.framing import Side, panned, squared, zoomed
from generation.recipe import Frame, Hires, Mask, Recipe, Source

DIGEST, MASK = "ab" * 32, Mask(digest="cd" * 32)
SDXL = ModelSpec(name="sdxl", source="sdxl")
CATALOGUE = Catalogue(models={"sdxl": SDXL}, default_model="sdxl")
PICTURE = compose(Request(prompt="a red boat"), CATALOGUE, seed=7).recipes[0]


def picture(width: int = 1024, height: int = 1024) -> StartingPicture:
    return StartingPicture(digest=DIGEST, width=width, height=height)


def words(recipe: Recipe = PICTURE, seed: int = 0, **fields: Any) -> Words:
    return Words(recipe=recipe, seed=seed, style=None, **fields)


def zoom_out(recipe: Recipe = PICTURE) -> Recipe:
    return reframed(words(recipe), picture(), zoomed(1024, 1024, Fraction(2)), CATALOGUE).recipes[0]


def test_zooming_out_paints_all_around_the_picture_four_times() -> None:
    order = reframed(replace(words(seed=100), style="ink"), picture(), zoomed(1024, 1024, Fraction(2)), CATALOGUE)
    source = Source(digest=DIGEST, strength=1, frame=Frame(x=256, y=256, width=512, height=512))
    plain = replace(PICTURE, shared_seed=None, shared_noise=0.0)
    assert order.recipes == tuple(replace(plain, seed=seed, source=source) for seed in (100, 101, 102, 103))
    assert (order.style, order.cost) == ("ink", 4)


def test_panning_has_the_new_shape_and_costs_by_it() -> None:
    order = reframed(words(), picture(), panned(1024, 1024, Side.LEFT), CATALOGUE)
    assert {(recipe.width, recipe.height) for recipe in order.recipes} == {(1232, 824)}
    assert order.cost == 4
    slow = replace(PICTURE, num_inference_steps=2 * PICTURE.num_inference_steps)
    assert reframed(words(slow), picture(), panned(1024, 1024, Side.LEFT), CATALOGUE).cost == 8


def test_what_a_first_painting_was_told_is_not_told_an_edit() -> None:
    grown = replace(PICTURE, hires=Hires(width=512, height=512, strength=0.5), stop=0.5, refine=0.2, tile=True)
    for recipe in (zoom_out(grown), repainted(words(grown), picture(), MASK, CATALOGUE).recipes[0]):
        assert (recipe.hires, recipe.stop, recipe.refine, recipe.shared_noise) == (None, 1, 0, 0)
        assert recipe.tile
    masked = replace(PICTURE, source=Source(digest="ef" * 32, strength=0.2), mask=MASK)
    assert zoom_out(masked).mask is None
    framed_before = replace(zoom_out(), weird=5)
    again = repainted(words(framed_before), picture(), MASK, CATALOGUE).recipes[0]
    assert again.source == Source(digest=DIGEST, strength=1)
    assert again.weird == 5


def test_an_edit_keeps_the_size_and_masks() -> None:
    order = repainted(words(seed=9, count=2, strength=0.7), picture(1216, 832), MASK, CATALOGUE)
    assert [(recipe.width, recipe.height, recipe.seed) for recipe in order.recipes] == [(1216, 832, 9), (1216, 832, 10)]
    assert {recipe.mask for recipe in order.recipes} == {MASK}
    assert {recipe.source for recipe in order.recipes} == {Source(digest=DIGEST, strength=0.7)}


@pytest.mark.parametrize(
    ("size", "drawn"), [((2048, 2048), (1024, 1024)), ((4000, 3000), (1176, 880)), ((300, 300), (1024, 1024))]
)
def test_what_is_too_large_or_small_for_the_model_is_edited_at_a_size_that_it_draws_well(
    size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    recipe = repainted(words(), picture(*size), MASK, CATALOGUE).recipes[0]
    assert (recipe.width, recipe.height) == drawn


def test_only_what_is_enlarged_asks_for_super_resolution() -> None:
    catalogue = replace(CATALOGUE, super_resolution=True)
    small = reframed(words(), picture(200, 200), panned(200, 200, Side.LEFT), catalogue).recipes[0]
    large = reframed(words(), picture(), panned(1024, 1024, Side.LEFT), catalogue).recipes[0]
    edited = repainted(words(), picture(300, 300), MASK, catalogue).recipes[0]
    assert [bool(recipe.source and recipe.source.super_resolution) for recipe in (small, large, edited)] == [
        True,
        False,
        True,
    ]


def test_where_nothing_is_added_nothing_is_ordered() -> None:
    for canvas in (squared(1024, 1024), zoomed(1024, 1024, Fraction(1))):
        with pytest.raises(NothingAdded):
            reframed(words(), picture(), canvas, CATALOGUE)


def test_no_picture_becomes_longer_than_models_draw() -> None:
    width, height = 1024, 1024
    for _ in range(3):
        recipe = reframed(words(), picture(width, height), panned(width, height, Side.RIGHT), CATALOGUE).recipes
        width, height = recipe[0].width, recipe[0].height
    with pytest.raises(CanvasTooLong):
        reframed(words(), picture(width, height), panned(width, height, Side.RIGHT), CATALOGUE)
    assert reframed(words(), picture(width, height), panned(width, height, Side.TOP), CATALOGUE)
    with pytest.raises(CanvasTooLong):
        repainted(words(), picture(1000, 200), MASK, CATALOGUE)


@pytest.mark.parametrize(
    ("text", "rest", "zoom"),
    [
        ("a boat --zoom 2", "a boat ", Fraction(2)),
        ("a boat --zoom 1.25 --ar 3:2", "a boat  --ar 3:2", Fraction(5, 4)),
        ("a boat —zoom=1", "a boat ", Fraction(1)),
        ("--ZOOM 1.5 a boat", " a boat", Fraction(3, 2)),
        ("a boat", "a boat", Fraction(2)),
        ("a boat --zoomy 1", "a boat --zoomy 1", Fraction(2)),
    ],
)
def test_zoom_is_taken_out_of_the_prompt(text: str, rest: str, zoom: Fraction) -> None:
    assert take_zoom(text) == (rest, zoom)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a boat --zoom", FlagValueMissing),
        ("a boat --zoom 3", FlagValueInvalid),
        ("a boat --zoom 0.9", FlagValueInvalid),
        ("a boat --zoom --ar 3:2", FlagValueInvalid),
        ("a boat --zoom ²", FlagValueInvalid),
        ("a boat --zoom 1 --zoom 2", FlagRepeated),
    ],
)
def test_a_zoom_that_is_none_is_refused(text: str, error: type[RequestRejected]) -> None:
    with pytest.raises(error):
        take_zoom(text)


@given(st.text(st.sampled_from("-—– zom=12.a\n"), max_size=60))
def test_any_text_has_a_zoom_or_a_reason_why_not(text: str) -> None:
    try:
        _, zoom = take_zoom(text)
    except RequestRejected:
        return
    assert 1 <= zoom <= 2
