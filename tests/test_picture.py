"""Picture files carry their recipe, whatever the prompt, and reading one never fails on what people upload."""

from __future__ import annotations

import dataclasses
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from generation.parameters import parameters_text
from generation.picture import MAX_RECIPE_BYTES, encode_png, open_picture, read_recipe, reencode
from generation.recipe import Frame, Hires, LoraUse, Mask, Recipe, Source
from tests.recipe_strategies import recipes

Form = Literal["WEBP", "JPEG"]
FORMS: tuple[Form, ...] = ("WEBP", "JPEG")

BOAT = Recipe(
    prompt="a red boat on the sea",
    negative_prompt="fog, rain",
    model="pocket",
    width=64,
    height=48,
    seed=7,
    num_inference_steps=20,
    guidance_scale=4.5,
    scheduler="dpmpp_2m",
    loras=(LoraUse(name="neon", weight=0.8), LoraUse(name="ink", weight=-1)),
    source=Source(digest="ab" * 32, strength=0.35),
)


def image() -> Image.Image:
    return Image.radial_gradient("L").resize((64, 48)).convert("RGB")


def user_comment(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as picture:
        comment = picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment[:8] == b"UNICODE\0"
    return str(comment[8:].decode("utf-16-be"))


class TestThereAndBack:
    @given(recipes)
    def test_png(self, recipe: Recipe) -> None:
        assert read_recipe(encode_png(image(), recipe)) == recipe

    @given(recipes, st.sampled_from(FORMS))
    def test_smaller_forms(self, recipe: Recipe, form: Form) -> None:
        assert read_recipe(reencode(encode_png(image(), recipe), form, 80)) == recipe

    def test_the_pixels_of_a_png_are_exact(self) -> None:
        with Image.open(io.BytesIO(encode_png(image(), BOAT))) as picture:
            assert picture.tobytes() == image().tobytes()

    @pytest.mark.parametrize("form", FORMS)
    def test_less_quality_is_smaller_and_the_size_stays(self, form: Form) -> None:
        png = encode_png(image(), BOAT)
        sizes = [len(reencode(png, form, quality)) for quality in (95, 70, 30)]
        assert sizes == sorted(sizes, reverse=True)
        with Image.open(io.BytesIO(reencode(png, form, 70))) as picture:
            assert (picture.format, picture.size) == (form, (64, 48))

    @pytest.mark.parametrize("form", FORMS)
    def test_other_tools_find_their_own_text(self, form: Form) -> None:
        assert user_comment(reencode(encode_png(image(), BOAT), form, 80)) == parameters_text(BOAT)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_picture_without_a_recipe_gets_none(self, form: Form) -> None:
        file = io.BytesIO()
        image().save(file, "PNG")
        assert read_recipe(file.getvalue()) is None
        assert read_recipe(reencode(file.getvalue(), form, 80)) is None

    @pytest.mark.parametrize("form", FORMS)
    def test_a_long_recipe_leaves_out_the_other_tools_text_first(self, form: Form) -> None:
        long = dataclasses.replace(BOAT, prompt="船" * 15_000)
        smaller = reencode(encode_png(image(), long), form, 80)
        assert read_recipe(smaller) == long
        with Image.open(io.BytesIO(smaller)) as picture:
            assert ExifTags.Base.UserComment not in picture.getexif().get_ifd(ExifTags.IFD.Exif)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_recipe_that_does_not_fit_into_exif_still_gives_a_picture(self, form: Form) -> None:
        endless = dataclasses.replace(BOAT, prompt="船" * 50_000)
        png = encode_png(image(), endless)
        assert read_recipe(png) == endless
        assert read_recipe(reencode(png, form, 80)) is None


class TestParameters:
    def test_in_the_webuis_form(self) -> None:
        assert parameters_text(BOAT) == (
            "a red boat on the sea <lora:neon:0.8> <lora:ink:-1>\n"
            "Negative prompt: fog, rain\n"
            "Steps: 20, Sampler: DPM++ 2M, CFG scale: 4.5, Seed: 7, Size: 64x48, Model: pocket, "
            "Denoising strength: 0.35, Version: Limner"
        )

    def test_what_was_not_used_is_left_out(self) -> None:
        plain = dataclasses.replace(BOAT, negative_prompt="", loras=(), source=None, scheduler=None)
        assert parameters_text(plain, sampler="euler") == (
            "a red boat on the sea\n"
            "Steps: 20, Sampler: Euler, CFG scale: 4.5, Seed: 7, Size: 64x48, Model: pocket, Version: Limner"
        )

    def test_values_with_its_separators_are_quoted(self) -> None:
        text = parameters_text(dataclasses.replace(BOAT, model='my "best", model: 2'))
        assert r'Model: "my \"best\", model: 2",' in text

    def test_everything_else_that_decides_the_picture(self) -> None:
        framed = Source(digest="ab" * 32, strength=1, frame=Frame(x=8, y=0, width=32, height=48))
        common = dataclasses.replace(
            BOAT, shared_seed=3, shared_noise=0.6, weird=250, stop=0.5, tile=True, refine=0.2, embeddings=("glow",)
        )
        assert (
            "Denoising strength: 1, Refiner switch at: 0.8, Tiling: True, Frame: 32x48+8+0, Shared seed: 3, "
            "Shared noise: 0.6, Weird: 250, Stop at: 0.5, Embeddings: glow, Version: Limner"
        ) in parameters_text(dataclasses.replace(common, source=framed))
        in_two = dataclasses.replace(BOAT, source=None, hires=Hires(width=32, height=24, strength=0.5))
        assert "Denoising strength: 0.5, Hires upscale: 2, Version" in parameters_text(in_two)
        masked = dataclasses.replace(BOAT, mask=Mask(words="the boat"))
        assert "Mask: the boat, Version" in parameters_text(masked)

    def test_every_field_of_a_recipe_is_told(self) -> None:
        """A field added later belongs into the text too."""
        assert {field.name for field in dataclasses.fields(Recipe)} == {
            *("prompt", "negative_prompt", "model", "width", "height", "seed", "num_inference_steps"),
            *("guidance_scale", "scheduler", "loras", "embeddings", "source", "mask"),
            *("shared_seed", "shared_noise", "weird", "stop", "tile", "hires", "refine"),
        }


class TestForeignFiles:
    @given(st.binary(max_size=200))
    def test_no_bytes_are_too_strange(self, data: bytes) -> None:
        assert read_recipe(data) is None

    @pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
    @given(st.data(), st.sampled_from(["PNG", *FORMS]))
    def test_no_damage_is_too_strange(self, data: st.DataObject, form: str) -> None:
        whole = encode_png(image(), BOAT)
        if form != "PNG":
            whole = reencode(whole, form, 80)  # type: ignore[arg-type]
        start = data.draw(st.integers(0, len(whole)))
        damage = data.draw(st.binary(max_size=20))
        skip = data.draw(st.integers(0, 40))
        read_recipe(whole[:start] + damage + whole[start + skip :])

    @pytest.mark.parametrize("text", ["", "5", "[]", "{}", '{"version":1}', "x" * (MAX_RECIPE_BYTES + 1)])
    def test_a_chunk_of_that_name_that_is_no_recipe(self, text: str) -> None:
        info = PngInfo()
        info.add_itxt("limner", text)
        file = io.BytesIO()
        image().save(file, "PNG", pnginfo=info)
        assert read_recipe(file.getvalue()) is None

    def test_a_chunk_that_unfolds_into_gigabytes(self) -> None:
        bomb = zlib.compress(b"x" * 20_000_000, 9)
        png = encode_png(image(), BOAT)
        chunk = b"iTXt" + b"limner\0\1\0\0\0" + bomb
        png = png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
        assert read_recipe(png) is None

    def test_a_picture_that_unfolds_into_gigabytes(self) -> None:
        header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        assert read_recipe(png) is None
        with pytest.raises(UnidentifiedImageError):
            open_picture(png)

    @pytest.mark.parametrize("side", [9000, 10_000])
    def test_a_picture_larger_than_any_that_we_draw(self, side: int) -> None:
        file = io.BytesIO()
        Image.new("1", (side, side)).save(file, "PNG")
        with pytest.raises(UnidentifiedImageError):
            open_picture(file.getvalue())

    @pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM"])
    def test_forms_that_nobody_needs_are_not_opened(self, form: str) -> None:
        file = io.BytesIO()
        image().save(file, form)
        assert read_recipe(file.getvalue()) is None
        with pytest.raises(UnidentifiedImageError):
            open_picture(file.getvalue())


def test_it_needs_pillow_alone() -> None:
    """The bot reads and writes pictures; numpy would cost it a third of its memory."""
    program = "import sys, generation.picture, generation.loras; print(sorted({'numpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
