"""From a request to recipes and their price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.compose import compose
from bot.flag_errors import TooManyLoras
from bot.flags import Request
from generation.catalogue import Catalogue, LoraSpec, ModelSpec, Style
from generation.errors import LoraRefused, UnknownName
from generation.recipe import MAX_SEED, LoraUse, Recipe

POCKET = ModelSpec(
    name="pocket", source="pocket", native_size=128, num_inference_steps=20, guidance_scale=4.0, cross_attention_dim=160
)
SDXL = ModelSpec(name="sdxl", source="sdxl")


def lora(name: str, trigger: str = "", width: int | None = 160) -> LoraSpec:
    return LoraSpec(name=name, path=Path(f"{name}.safetensors"), trigger=trigger, cross_attention_dim=width)


LORAS = [lora("neon", "neon"), lora("blueprint", "Blue Print"), lora("plain"), lora("other"), lora("big", width=2048)]
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
    assert order.recipes == tuple(replace(first, seed=seed) for seed in (7, 8, 9, 10))
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
    assert order.cost == count * max(1, int(steps / 20 + 0.5))


def test_a_style_wraps_the_prompt_and_its_negative_prompt_follows_the_persons() -> None:
    request = Request(prompt="a {red} boat", style="INK", negative_prompt="cars")
    recipe = only(request)
    assert recipe.prompt == "ink, a {red} boat, black"
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
