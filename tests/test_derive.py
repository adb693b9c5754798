"""From a stored picture to the recipes of what is made from it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from bot.compose import compose
from bot.derive import (
    UPSCALE_STRENGTHS,
    VARIATION_STRENGTHS,
    UpscaleTooLarge,
    again,
    upscale_of,
    variations_of,
)
from bot.flags import Request
from generation.catalogue import Catalogue, ModelSpec
from generation.errors import UnknownName
from generation.job import JobKind
from generation.recipe import MAX_SEED, Hires, LoraUse, Mask, Source

DIGEST = "ab" * 32
POCKET = ModelSpec(
    name="pocket", source="pocket", native_size=128, num_inference_steps=20, guidance_scale=4.0, cross_attention_dim=160
)
SDXL = ModelSpec(name="sdxl", source="sdxl")
CATALOGUE = Catalogue(models={"pocket": POCKET, "sdxl": SDXL}, default_model="pocket", loras={}, styles={})
PICTURE = compose(Request(prompt="a red boat", aspect=Fraction(3, 2)), CATALOGUE, seed=7).recipes[0]


def test_variations_start_from_the_picture_with_new_noise() -> None:
    order = variations_of(PICTURE, CATALOGUE, kind=JobKind.VARIATIONS, digest=DIGEST, seed=100, style="ink")
    source = Source(digest=DIGEST, strength=0.55)
    assert order.recipes == tuple(replace(PICTURE, seed=seed, source=source) for seed in (100, 101, 102, 103))
    assert order.style == "ink"


def test_what_began_the_parents_painting_is_left_behind() -> None:
    grown = replace(PICTURE, hires=Hires(width=104, height=72, strength=0.5), shared_seed=1, shared_noise=0.5)
    edited = replace(PICTURE, source=Source(digest=DIGEST, strength=1), mask=Mask(words="the boat"))
    for parent in (grown, edited):
        varied = variations_of(parent, CATALOGUE, kind=JobKind.VARIATIONS, digest=DIGEST, seed=0).recipes[0]
        larger = upscale_of(parent, CATALOGUE, kind=JobKind.UPSCALE_SUBTLE, digest=DIGEST, seed=0).recipes[0]
        for recipe in (varied, larger):
            assert (recipe.hires, recipe.mask, recipe.shared_seed, recipe.shared_noise) == (None, None, None, 0)


def test_strong_varies_more_than_v_and_v_more_than_subtle() -> None:
    subtle, between, strong = VARIATION_STRENGTHS.values()
    assert 0 < subtle < between < strong < 1
    subtle, creative = UPSCALE_STRENGTHS.values()
    assert 0 < subtle < creative < 0.6


def test_upscaling_doubles_the_size_and_costs_what_it_takes() -> None:
    order = upscale_of(PICTURE, CATALOGUE, kind=JobKind.UPSCALE_SUBTLE, digest=DIGEST, seed=9)
    (recipe,) = order.recipes
    assert (recipe.width, recipe.height, recipe.seed) == (304, 208, 9)
    assert recipe.source == Source(digest=DIGEST, strength=UPSCALE_STRENGTHS[JobKind.UPSCALE_SUBTLE])
    assert order.cost == 1
    thorough = replace(PICTURE, num_inference_steps=2 * PICTURE.num_inference_steps)
    creative = upscale_of(thorough, CATALOGUE, kind=JobKind.UPSCALE_CREATIVE, digest=DIGEST, seed=9)
    assert creative.cost == 6
    assert creative.recipes[0].guidance_scale == PICTURE.guidance_scale


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(3, 2), Fraction(9, 16), Fraction(4), Fraction(1, 4)])
@pytest.mark.parametrize("model", [POCKET, SDXL])
def test_every_shape_can_be_upscaled_twice_and_not_three_times(aspect: Fraction, model: ModelSpec) -> None:
    catalogue = replace(CATALOGUE, default_model=model.name)
    recipe = compose(Request(prompt="a boat", aspect=aspect), catalogue, seed=0).recipes[0]
    for _ in range(2):
        recipe = upscale_of(recipe, catalogue, kind=JobKind.UPSCALE_SUBTLE, digest=DIGEST, seed=0).recipes[0]
    with pytest.raises(UpscaleTooLarge) as caught:
        upscale_of(recipe, catalogue, kind=JobKind.UPSCALE_SUBTLE, digest=DIGEST, seed=0)
    assert caught.value.fields == {"width": recipe.width, "height": recipe.height}


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(3, 2), Fraction(9, 16), Fraction(4)])
def test_variations_of_an_upscaled_picture_have_its_native_size_again(aspect: Fraction) -> None:
    recipe = compose(Request(prompt="a boat", aspect=aspect), CATALOGUE, seed=0).recipes[0]
    upscaled = upscale_of(recipe, CATALOGUE, kind=JobKind.UPSCALE_SUBTLE, digest=DIGEST, seed=0).recipes[0]
    varied = variations_of(upscaled, CATALOGUE, kind=JobKind.VARY_STRONG, digest=DIGEST, seed=0).recipes[0]
    assert (varied.width, varied.height) == (recipe.width, recipe.height)


def test_again_is_the_same_with_new_seeds() -> None:
    recipes = compose(Request(prompt="a boat"), CATALOGUE, seed=7).recipes
    order = again(recipes, CATALOGUE, seed=MAX_SEED, style="ink")
    assert [recipe.seed for recipe in order.recipes] == [MAX_SEED, 0, 1, 2]
    assert [recipe.shared_seed for recipe in order.recipes] == [None, MAX_SEED, MAX_SEED, MAX_SEED]
    for new, old in zip(order.recipes, recipes, strict=True):
        assert replace(new, seed=0, shared_seed=None) == replace(old, seed=0, shared_seed=None)
    assert (order.style, order.cost) == ("ink", 4)


def test_a_picture_whose_model_or_lora_is_gone_is_refused() -> None:
    gone = replace(CATALOGUE, models={"sdxl": SDXL}, default_model="sdxl")
    with pytest.raises(UnknownName) as caught:
        again([PICTURE], gone, seed=0)
    assert caught.value.fields["kind"] == "model"
    with pytest.raises(UnknownName):
        variations_of(
            replace(PICTURE, loras=(LoraUse(name="lost"),)),
            CATALOGUE,
            kind=JobKind.VARIATIONS,
            digest=DIGEST,
            seed=0,
        )
