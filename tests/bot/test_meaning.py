"""With the pocket model itself: what people press and type does to pictures what it says."""

from __future__ import annotations

import io
from pathlib import Path

import discord
from PIL import Image

from bot.views.double_click import DOUBLE_CLICK_SECONDS
from generation.engine.settings import EngineSettings
from generation.pocket.measure import distance, is_near_grey, subject_colour
from tests.bot.world import PATIENCE, SETTINGS, World, custom_ids, open_world, public

# A busy machine takes its time to load torch, once.
REAL = EngineSettings()
LONG = 5 * PATIENCE


async def drawn(world: World, message: discord.Message) -> Image.Image:
    await world.until(lambda: "Done in" in world.now(message).content, seconds=LONG)
    return Image.open(io.BytesIO(world.bytes_of(world.now(message)))).convert("RGB")


async def test_words_styles_seeds_and_buttons_mean_something(tmp_path: Path) -> None:
    settings = SETTINGS.replace("preview_every = 1", "preview_every = 4\nthreads = 1")
    async with open_world(tmp_path, settings=settings, engine_settings=REAL) as world:
        order = await world.imagine("a red boat on the sea --seed 7 --n 1")
        boat = await drawn(world, order)
        assert subject_colour(boat) == "red"

        again = await drawn(world, await world.imagine("a red boat on the sea --seed 7 --n 1"))
        assert distance(boat, again) == 0

        ink = await drawn(world, await world.imagine("a red boat on the sea --seed 7 --n 1 --style ink"))
        assert is_near_grey(ink)
        assert not is_near_grey(boat)

        subtle = await drawn(world, public(await world.press(order, "Vary (Subtle)")))
        strong = await drawn(world, public(await world.press(order, "Vary (Strong)")))
        first = (0, 0, *boat.size)  # of the grid's cells
        assert 0 < distance(boat, subtle.crop(first)) < distance(boat, strong.crop(first))

        upscaled = await drawn(world, public(await world.press(order, "Upscale (Subtle)")))
        assert upscaled.size == (2 * boat.width, 2 * boat.height)
        assert subject_colour(upscaled.resize(boat.size)) == "red"
        assert distance(boat, upscaled.resize(boat.size)) < distance(boat, ink)


async def test_drawn_again_a_picture_of_a_grid_has_the_same_pixels(tmp_path: Path) -> None:
    """It was drawn beside others, and shares their noise; now it is drawn alone."""
    settings = SETTINGS.replace("preview_every = 1", "preview_every = 4\nthreads = 1")
    async with open_world(tmp_path, settings=settings, engine_settings=REAL) as world:
        order = await world.imagine("a (red:1.2) boat on the sea --seed 7 --n 3 --style pastel")
        await drawn(world, order)
        single = public(await world.press(order, "U3"))
        picked = Image.open(io.BytesIO(world.bytes_of(world.now(single)))).convert("RGB")
        told = (await world.member.context_menu(world.channel, "Recipe", single)).response
        assert told is not None
        world.clock.ahead += DOUBLE_CLICK_SECONDS
        again = public(await world.member.click(told.message, custom_id=custom_ids(told.message)[0]))
        assert distance(picked, await drawn(world, again)) < 0.5
