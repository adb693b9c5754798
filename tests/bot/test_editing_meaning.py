"""With the pocket model itself: what is painted around a picture, or in a part of it, belongs there."""

from __future__ import annotations

import io
from pathlib import Path

import discord
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from bot.cells import cells_of
from generation.engine.settings import EngineSettings
from generation.pocket.measure import subject_colour
from tests.bot.world import PATIENCE, SETTINGS, World, open_world, public

REAL = EngineSettings()
LONG = 5 * PATIENCE
BORDER = 8  # pixels within the frame over which new ones fade in, at 128 pixels


async def drawn(world: World, message: discord.Message) -> Image.Image:
    await world.until(lambda: "Done in" in world.now(message).content, seconds=LONG)
    return Image.open(io.BytesIO(world.bytes_of(world.now(message)))).convert("RGB")


def mean(picture: Image.Image, box: tuple[int, int, int, int]) -> npt.NDArray[np.float64]:
    pixels = np.asarray(picture.crop(box), dtype=np.float64)
    return np.mean(pixels, axis=(0, 1), dtype=np.float64)


async def test_a_picture_goes_on_beyond_its_frame_and_a_region_is_what_it_was_told_to_be(tmp_path: Path) -> None:
    settings = SETTINGS.replace("preview_every = 1", "preview_every = 0\nthreads = 1")
    async with open_world(tmp_path, settings=settings, engine_settings=REAL) as world:
        order = await world.imagine("a red boat on the sea --seed 7 --n 1")
        boat = await drawn(world, order)

        shown = await world.press(order, "Custom Zoom")
        answer = await world.member.submit_modal(shown, {"prompt": "a red boat on the sea --n 1 --seed 7 --zoom 1.5"})
        zoomed = await drawn(world, public(answer))
        assert zoomed.size == (128, 128)
        frame = (21 + BORDER, 21 + BORDER, 107 - BORDER, 107 - BORDER)
        small = boat.resize((86, 86), Image.Resampling.LANCZOS).crop((BORDER, BORDER, 86 - BORDER, 86 - BORDER))
        assert ImageChops.difference(zoomed.crop(frame), small).getbbox() is None
        sky, sea = ((0, 0, 21, 30), (26, 26, 36, 36)), ((0, 110, 128, 128), (26, 92, 102, 102))
        for outside, inside in (sky, sea):  # measured: 3 and 18 of 255; sky and sea are 75 apart
            assert np.abs(mean(zoomed, outside) - mean(zoomed, inside)).max() < 35

        overlay = await world.press(order, "Vary (Region)")
        (message,) = [found for found in (overlay.response, *overlay.followups) if found and found.attachments]
        grid = cells_of(128, 128)
        cells = [number for number in range(1, 26) if number not in (1, 2, 3, 4, 5, 21, 22, 23, 24, 25)]
        form = await world.member.select(message.message, [str(number) for number in cells])
        answer = await world.member.submit_modal(form, {"prompt": "a yellow boat on the sea --n 1 --seed 7"})
        edited = await drawn(world, public(answer))
        for number in range(1, grid.count + 1):
            if number not in cells:
                box = grid.box(number, 128, 128)
                assert ImageChops.difference(edited.crop(box), boat.crop(box)).getbbox() is None
        assert subject_colour(boat) == "red"
        assert subject_colour(edited) == "yellow"
