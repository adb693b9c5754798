"""What other tools write into their pictures is read, and whatever it is, nothing breaks."""

from __future__ import annotations

import dataclasses
import io
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from generation.parameters import parameters_text, parse_parameters
from generation.picture import encode_png, read_parameters, reencode
from generation.recipe import Mask, Recipe, Source
from tests.recipe_strategies import recipes

LAKE = Recipe(prompt="a lake", model="pocket", width=16, height=16, seed=42, num_inference_steps=20, guidance_scale=4.5)
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


@pytest.mark.parametrize("words", ["\x1e", "the\u2028boat", "a\rb", '"the" boat', "boat, red: two\nlines"])
def test_words_are_read_back_whatever_is_in_them(words: str) -> None:
    recipe = dataclasses.replace(
        LAKE,
        prompt=f"{LAKE.prompt} {words}.",
        source=Source(digest="0" * 64, strength=0.5),
        mask=Mask(words=words),
    )
    read = parse_parameters(parameters_text(recipe))
    assert read is not None
    assert read.prompt == recipe.prompt
    assert read.settings["Mask"] == words


@given(st.text())
def test_other_text_is_none_or_read_and_nothing_worse(text: str) -> None:
    parse_parameters(text)
    parse_parameters("Steps: " + text)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_it_is_read_out_of_every_form_of_file(form: Literal["PNG", "WEBP", "JPEG"]) -> None:
    recipe = Recipe(
        prompt="ein rotes Boot 紅い船",
        model="pocket",
        width=16,
        height=16,
        seed=42,
        num_inference_steps=20,
        guidance_scale=4.5,
    )
    png = encode_png(Image.new("RGB", (16, 16)), recipe)
    read = read_parameters(png if form == "PNG" else reencode(png, form, 80))
    assert read is not None
    assert (read.prompt, read.settings["Seed"]) == ("ein rotes Boot 紅い船", "42")


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_comments_are_read_in_both_byte_orders(order: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[int(ExifTags.Base.UserComment)] = b"UNICODE\0" + WEBUI.encode(order)
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", exif=exif.tobytes())
    read = read_parameters(file.getvalue())
    assert read is not None
    assert read.settings["Seed"] == "42"


@given(st.binary(max_size=200))
def test_any_bytes_are_none_or_read(data: bytes) -> None:
    assert read_parameters(data) is None
    read_parameters(b"\x89PNG\r\n\x1a\n" + data)
