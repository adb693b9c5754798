"""How a picture was drawn: told of ours, told as a rumour of others', and drawn again to the pixel."""

from __future__ import annotations

import io

import discord
import pytest
from PIL import Image

from generation.picture import reencode
from tests.bot.world import World, buttons, private, public


async def inspected(world: World, data: bytes, name: str = "picture.png") -> str:
    """What /inspect says of a file."""
    return private(await world.member.slash(world.channel, "inspect", image=(name, data)))


async def test_a_picture_of_ours_is_known_by_its_bytes_and_as_a_copy(world: World) -> None:
    message = await world.drawn("a red boat --n 1 --seed 7 --no fog")
    png = world.bytes_of(message)
    said = await inspected(world, png)
    assert said.startswith("Drawn here by <@")
    assert "picture 1 of job 1" in said
    assert "Prompt: `a red boat`" in said
    assert "Without: `fog`" in said
    assert "Seed: 7" in said
    copy = await inspected(world, reencode(png, "WEBP", 80), "copy.webp")
    assert copy.startswith("A copy or a grid of what was drawn here")
    assert "Seed: 7" in copy


async def test_the_line_of_descent(world: World) -> None:
    first = await world.drawn("a red boat --n 1 --seed 7")
    larger = await world.finished(public(await world.press(first, "Upscale (Subtle)")))
    said = await inspected(world, world.bytes_of(larger))
    assert "It came from:\nPicture 1 of job 1: **`a red boat --seed 7 --n 1`**" in said


async def test_pictures_of_others_are_not_ours(world: World) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, "PNG")
    assert "was not drawn here, and it does not tell" in await inspected(world, file.getvalue())
    assert "I cannot read it" in await inspected(world, b"\x89PNG\r\n\x1a\nnonsense")


async def test_what_another_tool_wrote_is_told_as_such_and_pings_nobody(world: World) -> None:
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    info.add_text("parameters", "a `castle` @everyone\nSteps: 20, Sampler: Euler, Seed: 5, Size: 64x64")
    Image.new("RGB", (64, 64), "teal").save(file, "PNG", pnginfo=info)
    said = await inspected(world, file.getvalue())
    assert said.startswith("This picture was not drawn here. What it tells of itself:")
    assert "Prompt: `a ˋcastleˋ @everyone`" in said
    assert "Seed: 5" in said


async def test_drawn_again_it_has_the_same_pixels(world: World) -> None:
    grid = await world.drawn("a red boat --n 2 --seed 7")
    single = public(await world.press(grid, "U2"))
    result = await world.member.context_menu(world.channel, "Recipe", single)
    assert result.response is not None
    told = result.response.message
    assert "picture 2 of job 1" in told.content
    (redraw,) = buttons(told)
    assert redraw.label == "Draw again (1 credit)"
    world.clock.ahead += 5
    again = await world.finished(public(await world.member.click(told, custom_id=redraw.custom_id)))
    assert "drawn again by" in again.content
    old, new = (Image.open(io.BytesIO(world.bytes_of(message))).convert("RGB") for message in (single, again))
    assert old.tobytes() == new.tobytes()


async def test_the_recipe_of_another_servers_picture_is_not_told(world: World) -> None:
    message = await world.drawn("a red boat --n 1 --seed 7")
    elsewhere = world.env.create_guild("Orchard")
    channel = elsewhere.create_text_channel("pictures")
    member = elsewhere.add_member(world.env.create_user("eve"))
    said = private(await member.slash(channel, "inspect", image=("picture.png", world.bytes_of(message))))
    assert said.startswith("This picture was not drawn here")


@pytest.mark.parametrize("content", ["no picture"])
async def test_a_message_without_a_picture(world: World, content: str) -> None:
    message: discord.Message = await world.stranger.send(world.channel, content)
    assert "picture" in private(await world.member.context_menu(world.channel, "Recipe", message))
