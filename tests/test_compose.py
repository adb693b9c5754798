"""From a request to recipes and their price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.compose import StartingPicture, compose
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
from bot.flags import Request
from generation.aspect import LANDSCAPE_BUCKETS
from generation.catalogue import Catalogue, Draft, EmbeddingSpec, LoraSpec, ModelSpec, Style
from generation.errors import EmbeddingRefused, LoraRefused, RequestRejected, UnknownName
from generation.prompt_language.errors import WordWeightInvalid
from generation.recipe import MAX_SEED, Hires, LoraUse, Recipe, Source

POCKET = ModelSpec(
    name="pocket",
    source="pocket",
    native_size=128,
    num_inference_steps=20,
    guidance_scale=4.0,
    cross_attention_dim=160,
    refiner="pocket-refiner",
    draft=Draft(lora="quick", num_inference_steps=6, guidance_scale=1.5, scheduler="lcm"),
)
SDXL = ModelSpec(name="sdxl", source="sdxl")


def lora(name: str, trigger: str = "", width: int | None = 160) -> LoraSpec:
    return LoraSpec(name=name, path=Path(f"{name}.safetensors"), trigger=trigger, cross_attention_dim=width)


LORAS = [lora("neon", "neon"), lora("blueprint", "Blue Print"), lora("plain"), lora("quick"), lora("big", width=2048)]
CATALOGUE = Catalogue(
    models={"pocket": POCKET, "sdxl": SDXL},
    default_model="pocket",
    loras={spec.name: spec for spec in LORAS},
    styles={
        "ink": Style(name="ink", template="ink, {prompt}, black", negative_prompt="color", pocket=True),
        "glow": Style(name="glow", template="{prompt}, glowing", loras=(LoraUse(name="neon", weight=0.5),)),
    },
)


def only(request: Request) -> Recipe:
    recipes = compose(replace(request, count=1), CATALOGUE, seed=7).recipes
    assert len(recipes) == 1
    return recipes[0]


def test_a_plain_request_gives_four_pictures_at_the_models_defaults() -> None:
    order = compose(Request(prompt="a red boat"), CATALOGUE, seed=7)
    first = Recipe(
        prompt="a red boat", model="pocket", width=128, height=128, seed=7, num_inference_steps=20, guidance_scale=4.0
    )
    alike = replace(first, shared_seed=7, shared_noise=0.6)
    assert order.recipes == (first, *(replace(alike, seed=seed) for seed in (8, 9, 10)))
    assert (order.style, order.cost) == (None, 4)


def test_what_was_asked_for_is_in_the_recipe() -> None:
    request = Request(prompt="a boat", aspect=Fraction(3, 2), steps=10, guidance_scale=7.5, negative_prompt="cars")
    recipe = only(request)
    assert (recipe.width, recipe.height) == (152, 104)
    assert (recipe.num_inference_steps, recipe.guidance_scale, recipe.negative_prompt) == (10, 7.5, "cars")


def test_seeds_go_round_at_the_end() -> None:
    order = compose(Request(prompt="a boat"), CATALOGUE, seed=MAX_SEED)
    assert [recipe.seed for recipe in order.recipes] == [MAX_SEED, 0, 1, 2]


@given(count=st.integers(1, 4), steps=st.integers(1, 60))
def test_cost_follows_count_and_steps(count: int, steps: int) -> None:
    order = compose(Request(prompt="a boat", count=count, steps=steps), CATALOGUE, seed=0)
    assert order.cost == max(1, int(count * steps / 20 + 0.5))


def test_a_style_wraps_the_prompt_and_its_negative_prompt_follows_the_persons() -> None:
    request = Request(prompt="a red boat", style="INK", negative_prompt="cars")
    recipe = only(request)
    assert recipe.prompt == "ink, a red boat, black"
    assert recipe.negative_prompt == "cars, color"
    assert compose(request, CATALOGUE, seed=0).style == "ink"


def test_raw_is_no_style() -> None:
    order = compose(Request(prompt="a boat", style="raw"), CATALOGUE, seed=0)
    assert order.style is None
    assert order.recipes[0].prompt == "a boat"


def test_an_unknown_style_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        only(Request(prompt="a boat", style="inc"))
    assert caught.value.fields == {"kind": "style", "name": "inc", "nearest": "ink"}


def test_trigger_words_come_first_unless_they_are_there() -> None:
    def prompt(text: str, *loras: LoraUse) -> str:
        return only(Request(prompt=text, loras=loras)).prompt

    assert prompt("a boat", LoraUse(name="neon"), LoraUse(name="blueprint")) == "neon, Blue Print, a boat"
    assert prompt("a boat in NEON light", LoraUse(name="neon")) == "a boat in NEON light"
    assert prompt("a boat", LoraUse(name="plain")) == "a boat"


def test_a_lora_of_weight_0_changes_no_word_of_the_prompt() -> None:
    recipe = only(Request(prompt="a boat", loras=(LoraUse(name="neon", weight=0),)))
    assert recipe.prompt == "a boat"


def test_a_styles_loras_are_added_and_the_persons_weight_counts() -> None:
    style_only = only(Request(prompt="a boat", style="glow"))
    assert style_only.loras == (LoraUse(name="neon", weight=0.5),)
    assert style_only.prompt == "neon, a boat, glowing"
    both = only(Request(prompt="a boat", style="glow", loras=(LoraUse(name="NEON", weight=1.5),)))
    assert both.loras == (LoraUse(name="neon", weight=1.5),)


def test_more_than_four_loras_with_the_styles_are_refused() -> None:
    catalogue = replace(CATALOGUE, loras={name: lora(name) for name in ("neon", "a", "b", "c", "d")})
    loras = tuple(LoraUse(name=name) for name in "abcd")
    assert compose(Request(prompt="a boat", loras=loras), catalogue, seed=0)
    with pytest.raises(TooManyLoras):
        compose(Request(prompt="a boat", loras=loras, style="glow"), catalogue, seed=0)


def test_a_lora_of_another_architecture_is_refused_with_its_reason() -> None:
    with pytest.raises(LoraRefused) as caught:
        only(Request(prompt="a boat", loras=(LoraUse(name="big"),)))
    assert "SDXL" in str(caught.value.fields["reason"])


def test_an_unknown_lora_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        only(Request(prompt="a boat", loras=(LoraUse(name="bluprint"),)))
    assert caught.value.fields == {"kind": "lora", "name": "bluprint", "nearest": "blueprint"}


# Sampling flags.


def test_the_model_is_the_named_one_at_its_own_size_and_defaults() -> None:
    order = compose(Request(prompt="a boat", model="SDXL", count=1), CATALOGUE, seed=7)
    assert order.recipes == (
        Recipe(
            prompt="a boat", model="sdxl", width=1024, height=1024, seed=7, num_inference_steps=30, guidance_scale=5.0
        ),
    )
    assert order.cost == 1


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        only(Request(prompt="a boat", model="sdlx"))
    assert caught.value.fields == {"kind": "model", "name": "sdlx", "nearest": "sdxl"}


def test_sampling_flags_are_in_the_recipe() -> None:
    request = Request(prompt="a boat", sampler="heun", weird=500, stop=80, tile=True, refine=0.25)
    recipe = only(request)
    assert (recipe.scheduler, recipe.weird, recipe.stop, recipe.tile) == ("heun", 500, 0.8, True)
    assert recipe.refine == 0.25


@pytest.mark.parametrize("aspect", [Fraction(width, height) for width, height in LANDSCAPE_BUCKETS])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_pictures_of_native_size_cost_one_credit_each(aspect: Fraction, count: int) -> None:
    for model in ("pocket", "sdxl"):
        assert compose(Request(prompt="a boat", aspect=aspect, count=count, model=model), CATALOGUE, seed=0).cost == (
            count
        )


@pytest.mark.parametrize(
    ("request_", "steps", "cost"),
    [
        (Request(prompt="a", quality=0.25), 5, 1),
        (Request(prompt="a", quality=0.5), 10, 2),
        (Request(prompt="a", quality=1.0), 20, 4),
        (Request(prompt="a", quality=4.0), 80, 16),
        (Request(prompt="a", quality=0.5, steps=30), 15, 3),
        (Request(prompt="a", stop=50), 20, 2),
        (Request(prompt="a", draft=True), 6, 1),
        (Request(prompt="a", draft=True, quality=2.0), 12, 2),
        (Request(prompt="a", draft=True, steps=10), 10, 2),
        (Request(prompt="a", quality=0.25, steps=1), 1, 1),
    ],
)
def test_quality_stop_and_draft_change_steps_and_cost(request_: Request, steps: int, cost: int) -> None:
    order = compose(request_, CATALOGUE, seed=0)
    assert {recipe.num_inference_steps for recipe in order.recipes} == {steps}
    assert order.cost == cost


def test_more_steps_than_a_picture_takes_are_refused() -> None:
    with pytest.raises(TooManySteps) as caught:
        compose(Request(prompt="a", steps=100, quality=4.0), CATALOGUE, seed=0)
    assert caught.value.fields == {"steps": 400, "limit": 240}


def test_a_draft_takes_the_models_few_step_path() -> None:
    recipe = only(Request(prompt="a boat", draft=True))
    assert recipe.loras == (LoraUse(name="quick", weight=1),)
    assert (recipe.num_inference_steps, recipe.guidance_scale, recipe.scheduler) == (6, 1.5, "lcm")


def test_what_the_person_names_counts_in_a_draft_too() -> None:
    loras = (LoraUse(name="Quick", weight=0.5),)
    recipe = only(Request(prompt="a", draft=True, loras=loras, guidance_scale=2.0, sampler="euler", steps=8))
    assert recipe.loras == (LoraUse(name="quick", weight=0.5),)
    assert (recipe.num_inference_steps, recipe.guidance_scale, recipe.scheduler) == (8, 2.0, "euler")


def test_the_drafts_lora_counts_among_the_four() -> None:
    catalogue = replace(CATALOGUE, loras={name: lora(name) for name in ("quick", "a", "b", "c", "d")})
    loras = tuple(LoraUse(name=name) for name in "abcd")
    with pytest.raises(TooManyLoras):
        compose(Request(prompt="a boat", loras=loras, draft=True), catalogue, seed=0)


def test_a_model_without_the_part_that_a_flag_needs_is_named() -> None:
    with pytest.raises(NoDraft) as draft:
        only(Request(prompt="a", model="sdxl", draft=True))
    assert draft.value.fields == {"model": "sdxl"}
    with pytest.raises(NoRefiner) as refiner:
        only(Request(prompt="a", model="sdxl", refine=0.2))
    assert refiner.value.fields == {"model": "sdxl"}
    assert only(Request(prompt="a", model="sdxl", refine=0.0)).refine == 0


def test_hires_draws_the_usual_size_first() -> None:
    order = compose(Request(prompt="a", aspect=Fraction(3, 2), hires=1.5, count=1), CATALOGUE, seed=0)
    (recipe,) = order.recipes
    assert (recipe.width, recipe.height) == (232, 160)
    assert recipe.hires == Hires(width=152, height=104, strength=0.35)
    assert order.cost == 2  # 20 steps of about one native picture, and 7 of more than twice that
    assert only(Request(prompt="a", hires=1.0)).hires is None


@given(hires=st.floats(1, 2), aspect=st.fractions(Fraction(1, 4), 4, max_denominator=50))
def test_a_larger_factor_never_costs_less(hires: float, aspect: Fraction) -> None:
    def cost(factor: float) -> int:
        return compose(Request(prompt="a", aspect=aspect, hires=factor), CATALOGUE, seed=0).cost

    assert 4 == cost(1) <= cost(hires) <= cost(2)


# How alike the pictures of a grid are.


@given(seed=st.integers(0, MAX_SEED), chaos=st.integers(0, 100))
def test_the_pictures_of_a_grid_share_less_noise_the_greater_the_chaos(seed: int, chaos: int) -> None:
    first, *others = compose(Request(prompt="a", chaos=chaos), CATALOGUE, seed=seed).recipes
    assert (first.shared_seed, first.shared_noise) == (None, 0)
    for other in others:
        assert other.shared_noise == pytest.approx(0.6 * (1 - chaos / 100))
        assert other.shared_seed == (seed if chaos < 100 else None)


def test_a_picture_alone_shares_nothing() -> None:
    assert only(Request(prompt="a")).shared_seed is None


# Where a picture is given to start from.

UPLOAD = StartingPicture(digest="d" * 64, width=3000, height=2000)


def test_a_picture_to_start_from_gives_its_shape_and_its_noise_is_not_shared() -> None:
    order = compose(Request(prompt="a"), CATALOGUE, seed=7, picture=UPLOAD)
    for index, recipe in enumerate(order.recipes):
        assert (recipe.width, recipe.height, recipe.seed) == (152, 104, 7 + index)
        assert recipe.source == Source(digest=UPLOAD.digest, strength=0.6)
        assert recipe.shared_seed is None
    assert order.cost == 2  # 12 of 20 steps
    square = compose(Request(prompt="a", aspect=Fraction(1), strength=0.0), CATALOGUE, seed=7, picture=UPLOAD)
    assert (square.recipes[0].width, square.recipes[0].height) == (128, 128)
    assert square.recipes[0].source == Source(digest=UPLOAD.digest, strength=0)


def test_strength_needs_a_picture_and_hires_none() -> None:
    with pytest.raises(StrengthWithoutPicture):
        compose(Request(prompt="a", strength=0.6), CATALOGUE, seed=0)
    with pytest.raises(HiresAgainstPicture):
        compose(Request(prompt="a", hires=2.0), CATALOGUE, seed=0, picture=UPLOAD)


def test_a_picture_needs_no_words_and_words_alone_do() -> None:
    recipe = compose(Request(prompt=""), CATALOGUE, seed=0, picture=UPLOAD).recipes[0]
    assert recipe.prompt == ""
    styled = compose(Request(prompt="", style="ink"), CATALOGUE, seed=0, picture=UPLOAD).recipes[0]
    assert "ink" in styled.prompt
    with pytest.raises(PromptEmpty):
        compose(Request(prompt=""), CATALOGUE, seed=0)


@pytest.mark.parametrize(("width", "height"), [(4001, 1000), (10, 41)])
def test_a_picture_may_be_too_long_to_give_its_shape(width: int, height: int) -> None:
    strip = StartingPicture(digest="d" * 64, width=width, height=height)
    with pytest.raises(PictureTooLong):
        compose(Request(prompt="a"), CATALOGUE, seed=0, picture=strip)
    named = compose(Request(prompt="a", aspect=Fraction(4)), CATALOGUE, seed=0, picture=strip)
    assert named.recipes[0].width > named.recipes[0].height


# The language of prompts.


def test_words_keep_their_weights_in_a_style() -> None:
    request = Request(prompt="a (red:1.3) boat", style="ink", negative_prompt="(cars:0.5)")
    recipe = only(request)
    assert recipe.prompt == "ink, a (red:1.3) boat, black"
    assert recipe.negative_prompt == "(cars:0.5), color"


def test_style_and_triggers_go_around_each_part_of_a_multi_prompt() -> None:
    assert only(Request(prompt="a boat:: the sea::2", style="glow")).prompt == (
        "neon, a boat, glowing:: neon, the sea, glowing::2"
    )


def test_a_negative_prompt_may_have_parts_too() -> None:
    assert only(Request(prompt="a", negative_prompt="cars:: people", style="ink")).negative_prompt == (
        "cars, color:: people, color"
    )


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_mistake_in_a_prompt_is_refused(field: str) -> None:
    with pytest.raises(WordWeightInvalid):
        only(replace(Request(prompt="a boat"), **{field: "a (boat:9)"}))


def test_a_prompt_of_brackets_alone_is_empty() -> None:
    with pytest.raises(PromptEmpty):
        only(Request(prompt="(())"))


def test_embeddings_that_are_named_anywhere_are_in_the_recipe() -> None:
    dims = {"sketchy": (64, 96), "bad-hands": (64, 96), "unused": (64, 96), "for-sdxl": (768, 1280)}
    catalogue = replace(
        CATALOGUE,
        embeddings={
            name: EmbeddingSpec(name=name, path=Path(f"{name}.safetensors"), dims=each) for name, each in dims.items()
        },
    )
    request = Request(prompt="a (Sketchy:1.2) boat", negative_prompt="bad-hands", count=1)
    assert compose(request, catalogue, seed=0).recipes[0].embeddings == ("bad-hands", "sketchy")
    with pytest.raises(EmbeddingRefused):
        compose(Request(prompt="a boat, for-sdxl"), catalogue, seed=0)


@pytest.mark.parametrize("request_", [Request(prompt="a (red:1,3) boat"), Request(prompt="a", negative_prompt="b::-1")])
def test_prompts_that_cannot_be_read_are_not_queued(request_: Request) -> None:
    with pytest.raises(RequestRejected):
        compose(request_, CATALOGUE, seed=0)


# --stylize.


def stylized(style: str | None, stylize: int | None) -> Recipe:
    return only(Request(prompt="a boat", style=style, stylize=stylize))


def test_stylize_100_is_the_style_as_it_is_written() -> None:
    assert stylized("ink", 100) == stylized("ink", None)
    assert stylized("glow", 100) == stylized("glow", None)


def test_stylize_0_is_raw() -> None:
    assert stylized("glow", 0) == stylized("raw", None)
    assert compose(Request(prompt="a", style="glow", stylize=0), CATALOGUE, seed=0).style is None


def test_stylize_weighs_the_styles_words_and_loras() -> None:
    half, most = stylized("ink", 50), stylized("ink", 1000)
    assert (half.prompt, half.negative_prompt) == ("(ink, :0.5)a boat(, black:0.5)", "(color:0.5)")
    assert half.guidance_scale == 4
    assert (most.prompt, most.negative_prompt) == ("(ink, :1.5)a boat(, black:1.5)", "(color:1.5)")
    assert most.guidance_scale == 6
    assert stylized("glow", 50).loras == (LoraUse(name="neon", weight=0.25),)
    assert stylized("glow", 1000).loras == (LoraUse(name="neon", weight=0.75),)


def test_stylize_leaves_the_persons_own_alone() -> None:
    request = Request(
        prompt="a boat", style="glow", stylize=1000, loras=(LoraUse(name="neon", weight=1),), guidance_scale=3.0
    )
    recipe = only(request)
    assert recipe.loras == (LoraUse(name="neon", weight=1),)
    assert recipe.guidance_scale == 3


@given(less=st.integers(0, 1000), more=st.integers(0, 1000))
def test_more_stylize_never_acts_less(less: int, more: int) -> None:
    less, more = sorted((less, more))
    weak, strong = stylized("glow", less), stylized("glow", more)
    assert sum(lora.weight for lora in weak.loras) <= sum(lora.weight for lora in strong.loras)
    assert weak.guidance_scale <= strong.guidance_scale
