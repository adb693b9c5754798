"""Grids, and making pictures small enough."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from bot.pictures import ENVELOPE_BYTES, Upload, preview, show
from generation.picture import encode_png, read_recipe
from generation.recipe import Recipe

RECIPE = Recipe(prompt="a boat", model="pocket", width=64, height=32, seed=5, num_inference_steps=4, guidance_scale=4)


def noise(seed: int, size: tuple[int, int] = (64, 32)) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))


def opened(upload: Upload) -> Image.Image:
    return Image.open(io.BytesIO(upload.data))


@pytest.mark.parametrize(("count", "size"), [(2, (128, 32)), (3, (128, 64)), (4, (128, 64))])
async def test_a_grid_holds_its_pictures_pixel_for_pixel(count: int, size: tuple[int, int]) -> None:
    pictures = [noise(seed) for seed in range(count)]
    upload = await show([encode_png(picture, RECIPE) for picture in pictures], limit=2**20)
    assert (upload.width, upload.height) == size == opened(upload).size
    assert not upload.reduced
    for index, picture in enumerate(pictures):
        left, top = index % 2 * 64, index // 2 * 32
        assert opened(upload).convert("RGB").crop((left, top, left + 64, top + 32)).tobytes() == picture.tobytes()
    assert read_recipe(upload.data) == RECIPE


async def test_a_single_picture_is_not_touched() -> None:
    png = encode_png(noise(1), RECIPE)
    assert (await show([png], limit=2**20)).data == png


@pytest.mark.parametrize("limit", [200_000, 100_000, 60_000, 30_000, 20_000])
async def test_what_is_too_large_gets_smaller_until_it_fits(limit: int) -> None:
    png = encode_png(noise(1, (512, 256)), RECIPE)
    upload = await show([png], limit=limit)
    assert len(upload.data) <= limit - ENVELOPE_BYTES
    assert upload.reduced
    assert opened(upload).size == (upload.width, upload.height)
    assert upload.width * 256 == upload.height * 512
    assert read_recipe(upload.data) == RECIPE


async def test_previews_are_one_small_jpeg_or_nothing() -> None:
    file = io.BytesIO()
    noise(1).save(file, "JPEG")
    upload = await preview([file.getvalue()] * 4)
    assert upload is not None
    assert opened(upload).format == "JPEG"
    assert opened(upload).size == (128, 64)
    assert upload.filename("preview") == "preview.jpg"
    assert await preview([]) is None
    assert await preview([b"broken"]) is None
