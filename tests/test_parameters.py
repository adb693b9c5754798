"""What other tools write into their pictures is read, and whatever it is, nothing breaks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from generation.parameters import parse_parameters
from generation.picture import parameters_text
from generation.recipe import Recipe
from tests.recipe_strategies import recipes

WEBUI = """a castle, (detailed:1.2)
by the sea
Negative prompt: people,
cars
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 42, Size: 512x768, Lora hashes: "a: 1, b: 2", Version: 1"""


def test_the_webuis_own_form_is_read() -> None:
    read = parse_parameters(WEBUI)
    assert read is not None
    assert read.prompt == "a castle, (detailed:1.2)\nby the sea"
    assert read.negative_prompt == "people,\ncars"
    assert read.settings["Sampler"] == "DPM++ 2M Karras"
    assert read.settings["Lora hashes"] == "a: 1, b: 2"
    assert (read.settings["Seed"], read.settings["Size"]) == ("42", "512x768")


@given(recipes)
def test_what_we_write_is_read_back(recipe: Recipe) -> None:
    read = parse_parameters(parameters_text(recipe))
    assert read is not None
    assert read.settings["Seed"] == str(recipe.seed)
    assert read.settings["Size"] == f"{recipe.width}x{recipe.height}"


@given(st.text())
def test_other_text_is_none_or_read_and_nothing_worse(text: str) -> None:
    parse_parameters(text)
    parse_parameters("Steps: " + text)
