"""More around a picture, and parts of it anew: by buttons, forms and commands."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import discord
import pytest
from PIL import Image, ImageChops
from simcord.results import InteractionResult, ResponseMessage

from bot.cells import cells_of
from bot.views.double_click import DOUBLE_CLICK_SECONDS
from generation.job import Job, JobKind
from generation.picture import read_recipe
from generation.recipe import Frame, Mask, Recipe
from tests.bot.world import SETTINGS, World, buttons, labels, open_world, private, public


def png_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def fields_of(result: InteractionResult) -> dict[str, dict[str, Any]]:
    """The fields of the form that was shown, by their custom_ids."""
    assert result.modal is not None
    return {label["component"]["custom_id"]: label["component"] for label in result.modal["components"]}


def overlay_of(result: InteractionResult) -> ResponseMessage:
    """The message with the cells, which the presser alone sees."""
    (message,) = [message for message in (result.response, *result.followups) if message and message.attachments]
    assert message.ephemeral
    return message


async def job_of(world: World, number: int) -> Job:
    job = await world.app.services.storage.jobs.get(number)
    assert job is not None
    return job


async def recipe_of(world: World, number: int) -> Recipe:
    return (await job_of(world, number)).recipes[0]


def same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


async def test_buttons_are_laid_out_as_midjourneys(world: World) -> None:
    message = await world.drawn("a boat --n 1 --ar 3:2")
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    assert [[child.label or str(child.emoji) for child in row.children] for row in rows] == [  # type: ignore[union-attr]
        ["Upscale (Subtle)", "Upscale (Creative)"],
        ["Vary (Subtle)", "Vary (Strong)", "Vary (Region)", "🔄"],
        ["Zoom Out 1.5x", "Zoom Out 2x", "Custom Zoom", "Make Square"],
        ["⬅️", "➡️", "⬆️", "⬇️"],
        ["❤️", "📋", "🗑️"],
    ]
    square = await world.drawn("a boat --n 1")
    assert "Make Square" not in labels(square)
    assert len({button.custom_id for button in buttons(message)}) == len(buttons(message))


async def test_zooming_out_keeps_the_picture_in_the_middle_and_the_presser_pays(world: World) -> None:
    message = await world.drawn("a boat --n 1 --seed 7")
    old = opened(world.bytes_of(message))
    zoomed = public(await world.press(message, "Zoom Out 2x", by=world.stranger))
    assert "zoomed out by" in zoomed.content
    assert f"<@{world.stranger.id}>" in zoomed.content
    zoomed = await world.finished(zoomed)
    assert "scaled from 128×128 to 64×64" in zoomed.content
    assert labels(zoomed)[:4] == ["U1", "U2", "U3", "U4"]
    grid = opened(world.bytes_of(zoomed))
    assert grid.size == (256, 256)
    assert same(grid.crop((32, 32, 96, 96)), old.resize((64, 64)))
    assert grid.getpixel((0, 0)) != grid.getpixel((40, 40))

    job, first = await job_of(world, 2), await world.app.services.storage.images.of_job(1)
    assert (job.kind, job.parent_image_id, job.cost) == (JobKind.ZOOM_OUT, first[0].id, 4)
    assert job.request == "a boat"
    assert await world.credits(world.stranger) == 96
    assert await world.credits() == 99


@pytest.mark.parametrize(
    ("label", "size", "frame"),
    [
        ("Zoom Out 1.5x", (152, 104), Frame(x=25, y=17, width=102, height=70)),
        ("Make Square", (128, 128), Frame(x=0, y=20, width=128, height=88)),
        ("⬅️", (192, 88), Frame(x=63, y=0, width=129, height=88)),
        ("➡️", (192, 88), Frame(x=0, y=0, width=129, height=88)),
        ("⬆️", (128, 128), Frame(x=0, y=40, width=128, height=88)),
        ("⬇️", (128, 128), Frame(x=0, y=0, width=128, height=88)),
    ],
)
async def test_each_way_has_its_frame(world: World, label: str, size: tuple[int, int], frame: Frame) -> None:
    message = await world.drawn("a boat --n 1 --ar 3:2")
    await world.finished(public(await world.press(message, label)))
    recipe = await recipe_of(world, 2)
    assert (recipe.width, recipe.height) == size
    assert recipe.source is not None
    assert recipe.source.frame == frame
    assert recipe.source.strength == 1


async def test_what_would_be_too_long_is_refused(world: World) -> None:
    message = await world.drawn("a boat --n 1 --ar 3:1")
    assert "too long" in private(await world.press(message, "➡️"))
    assert await world.credits() == 99


async def test_custom_zoom_asks_with_the_prompt_and_takes_another_shape(world: World) -> None:
    message = await world.drawn("a boat --n 1 --ar 3:2 --seed 7 --style ink")
    shown = await world.press(message, "Custom Zoom", by=world.stranger)
    field = fields_of(shown)["prompt"]
    assert field["value"] == "a boat --style ink --zoom 2"
    answer = await world.stranger.submit_modal(shown, {"prompt": "a red boat --ar 1:1 --zoom 1 --n 2 --seed 3"})
    message = await world.finished(public(answer))
    job = await job_of(world, 2)
    assert [recipe.seed for recipe in job.recipes] == [3, 4]
    assert (job.kind, job.user_id, job.style) == (JobKind.ZOOM_OUT, world.stranger.id, None)
    recipe = job.recipes[0]
    assert (recipe.width, recipe.height, recipe.prompt) == (128, 128, "a red boat")
    assert recipe.source is not None
    assert recipe.source.frame == Frame(x=0, y=20, width=128, height=88)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a boat --zoom 3", "1 … 2"),
        ("a boat --zoom 1", "nothing new"),
        ("a boat --zoom 1 --ar 5:1", "--ar"),
        ("--zoom 2", "nothing but flags"),
        ("a boat --refine 0.5", "no use here"),
        ("a {red, blue} boat", "this takes one"),
        ("a boat --nonsense", "no flag"),
    ],
)
async def test_a_form_that_asks_for_nonsense_gets_one_sentence(world: World, prompt: str, said: str) -> None:
    message = await world.drawn("a boat --n 1")
    shown = await world.press(message, "Custom Zoom")
    assert said in private(await world.member.submit_modal(shown, {"prompt": prompt}))
    assert await world.app.services.storage.jobs.get(2) is None


async def test_a_region_is_chosen_by_cells_and_the_rest_stays(world: World) -> None:
    message = await world.drawn("a boat --n 1 --seed 7")
    old = opened(world.bytes_of(message))
    overlay = overlay_of(await world.press(message, "Vary (Region)", by=world.stranger))
    (attachment,) = overlay.attachments
    cells = world.env.backend.cdn.get(attachment.url)
    assert cells is not None
    assert Image.open(io.BytesIO(cells)).format == "WEBP"

    shown = await world.stranger.select(overlay.message, ["1", "7"])
    assert fields_of(shown)["prompt"]["value"] == "a boat"
    edited = public(await world.stranger.submit_modal(shown, {"prompt": "a red boat"}))
    assert "region varied by" in edited.content
    edited = await world.finished(edited)
    picture = opened(world.bytes_of(edited)).crop((0, 0, 128, 128))
    grid = cells_of(128, 128)
    for number in range(1, grid.count + 1):
        box = grid.box(number, 128, 128)
        assert same(picture.crop(box), old.crop(box)) == (number not in (1, 7)), number

    job = await job_of(world, 2)
    images = await world.app.services.storage.images.of_job(1)
    assert (job.kind, job.user_id, job.parent_image_id) == (JobKind.VARY_REGION, world.stranger.id, images[0].id)
    assert job.recipes[0].prompt == "a red boat"
    assert job.recipes[0].source is not None
    assert (job.recipes[0].source.digest, job.recipes[0].source.strength) == (images[0].digest, 1)
    assert "scaled" not in edited.content
    assert await world.credits(world.stranger) == 96


async def test_all_cells_are_no_region(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    overlay = overlay_of(await world.press(message, "Vary (Region)"))
    shown = await world.member.select(overlay.message, [str(number) for number in range(1, 26)])
    assert "keeps nothing" in private(await world.member.submit_modal(shown, {"prompt": "a boat"}))


def finding_with(segmenter: str) -> str:
    return SETTINGS.replace("[generation]", f'[generation]\nsegmenter = "{segmenter}"')


async def test_words_need_a_network_that_finds_them(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=finding_with("")) as world:
        message = await world.drawn("a boat --n 1")
        overlay = overlay_of(await world.press(message, "Vary (Region)"))
        assert "generation.segmenter" in private(await world.member.click(overlay.message, label="Say it in words"))


async def test_words_say_what_is_painted_anew(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=finding_with("somewhere")) as world:
        message = await world.drawn("a boat --n 1 --seed 7")
        overlay = overlay_of(await world.press(message, "Vary (Region)"))
        shown = await world.member.click(overlay.message, label="Say it in words")
        answer = await world.member.submit_modal(shown, {"words": " the  boat ", "prompt": "a buoy --n 1"})
        edited = opened(world.bytes_of(await world.finished(public(answer))))
        assert (await recipe_of(world, 2)).mask == Mask(words="the boat")
        old = opened(world.bytes_of(message))
        assert ImageChops.difference(edited, old).getbbox() == (0, 0, 64, 128)  # where this painter finds all things

        world.clock.ahead += DOUBLE_CLICK_SECONDS
        shown = await world.member.click(overlay.message, label="Say it in words")
        assert "Say which part" in private(await world.member.submit_modal(shown, {"words": "  ", "prompt": "a buoy"}))


async def test_a_mask_is_uploaded_into_the_form(world: World) -> None:
    message = await world.drawn("a boat --n 1 --seed 7")
    old = opened(world.bytes_of(message))
    overlay = overlay_of(await world.press(message, "Vary (Region)"))
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 64, 128, 128))
    shown = await world.member.click(overlay.message, label="Upload a mask")
    small = [("mask.png", png_of(mask.resize((64, 64))))]
    said = private(await world.member.submit_modal(shown, {"prompt": "a buoy", "mask": small}))
    assert said == "The mask is 64×64, but its picture is 128×128: they must be of one size."

    world.clock.ahead += DOUBLE_CLICK_SECONDS
    shown = await world.member.click(overlay.message, label="Upload a mask")
    answer = await world.member.submit_modal(shown, {"prompt": "a buoy --n 1", "mask": [("mask.png", png_of(mask))]})
    edited = opened(world.bytes_of(await world.finished(public(answer))))
    assert same(edited.crop((0, 0, 128, 64)), old.crop((0, 0, 128, 64)))
    assert not same(edited.crop((0, 64, 128, 128)), old.crop((0, 64, 128, 128)))


async def test_a_form_that_was_shown_before_a_restart_is_taken_after_it(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    overlay = overlay_of(await world.press(message, "Vary (Region)"))
    shown = await world.member.select(overlay.message, ["13"])
    zoom = await world.press(message, "Custom Zoom")
    await world.restart()
    await world.finished(public(await world.member.submit_modal(shown, {"prompt": "a buoy"})))
    assert (await recipe_of(world, 2)).mask is not None
    await world.finished(public(await world.member.submit_modal(zoom, {"prompt": "a buoy --zoom 1.5"})))
    assert (await job_of(world, 3)).kind is JobKind.ZOOM_OUT


async def test_an_upscaled_picture_is_edited_at_the_native_size_and_the_message_says_so(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    message = await world.finished(public(await world.press(message, "Upscale (Subtle)")))
    overlay = overlay_of(await world.press(message, "Vary (Region)"))
    shown = await world.member.select(overlay.message, ["13"])
    edited = await world.finished(public(await world.member.submit_modal(shown, {"prompt": "a buoy --n 1"})))
    assert "scaled from 256×256 to 128×128" in edited.content
    recipe = read_recipe(world.bytes_of(edited))
    assert recipe is not None
    assert Fraction(recipe.width, recipe.height) == 1


async def test_again_under_an_edit_is_the_same_edit_with_new_seeds(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    zoomed = await world.finished(public(await world.press(message, "➡️")))
    await world.finished(public(await world.press(zoomed, "🔄")))
    first, second = await job_of(world, 2), await job_of(world, 3)
    assert second.kind is JobKind.PAN
    assert [recipe.source for recipe in second.recipes] == [recipe.source for recipe in first.recipes]
    assert second.recipes[0].seed != first.recipes[0].seed


async def test_a_picture_is_edited_in_its_own_server_alone(world: World) -> None:
    message = await world.drawn("a boat --n 1 --ar 3:2")
    overlay = overlay_of(await world.press(message, "Vary (Region)"))
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    member = elsewhere.add_member(world.member.user)
    target = world.app.client.get_partial_messageable(channel.id, guild_id=elsewhere.id)
    for button in [*buttons(message)[4:], *buttons(overlay.message)]:
        if button.label == "Say it in words":
            continue  # needs a network first
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="forged", custom_id=button.custom_id))
        forged = await target.send("look", view=view)
        world.clock.ahead += DOUBLE_CLICK_SECONDS
        assert "not here any more" in private(await member.click(forged, label="forged")), button.custom_id
    assert await world.app.services.storage.jobs.get(2) is None


async def test_a_form_about_a_picture_whose_file_is_gone_is_refused(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    overlay = overlay_of(await world.press(message, "Vary (Region)"))
    region = await world.member.select(overlay.message, ["13"])
    zoom = await world.press(message, "Custom Zoom")
    for file in (world.folder / "files").rglob("*"):
        if file.is_file():
            file.unlink()
    for shown, prompt in ((region, "a buoy"), (zoom, "a boat --zoom 2")):
        assert "not here any more" in private(await world.member.submit_modal(shown, {"prompt": prompt}))
    assert await world.credits() == 99
