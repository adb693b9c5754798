"""/edit and /outpaint on pictures that somebody attaches."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from generation.job import Job, JobKind
from generation.recipe import Frame, Mask
from tests.bot.world import SETTINGS, World, open_world, private, public

SIZE = (152, 104)
PHOTO = Image.frombytes("RGB", SIZE, random.Random(1).randbytes(SIZE[0] * SIZE[1] * 3))


def mask(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> Image.Image:
    picture = Image.new("L", size)
    for box in boxes:
        picture.paste(255, box)
    return picture


def file(picture: Image.Image, name: str = "photo.png") -> tuple[str, bytes]:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return name, data.getvalue()


async def job_of(world: World) -> Job:
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    return job


async def refused(world: World, command: str, **options: object) -> str:
    """What is said, after which nothing has been ordered."""
    said = private(await world.member.slash(world.channel, command, **options))
    assert await world.app.services.storage.jobs.get(1) is None
    assert await world.credits() == 100
    return said


def changed(world: World, picture: bytes) -> tuple[int, int, int, int] | None:
    """Where the first of the pictures is not the photo any more."""
    first = Image.open(io.BytesIO(picture)).convert("RGB").crop((0, 0, *SIZE))
    return ImageChops.difference(first, PHOTO).getbbox()


async def test_a_mask_is_painted_anew_and_the_rest_stays(world: World) -> None:
    box = (10, 20, 60, 70)
    result = await world.member.slash(
        world.channel, "edit", image=file(PHOTO), prompt="a buoy --n 2", mask=file(mask(box), "mask.png")
    )
    message = await world.finished(public(result))
    assert "`a buoy --n 2` · edited by" in message.content.replace("**", "")
    assert changed(world, world.bytes_of(message)) == box
    job = await job_of(world)
    assert (job.kind, job.parent_image_id, job.cost) == (JobKind.EDIT, None, 2)
    assert {recipe.prompt for recipe in job.recipes} == {"a buoy"}
    assert await world.credits() == 98


@pytest.mark.parametrize(
    ("region", "box"),
    [
        ("bottom", (0, 52, 152, 104)),
        ("Top Left", (0, 0, 76, 52)),
        ("the right half", (76, 0, 152, 104)),
        ("50,0,25,50", (76, 0, 114, 52)),
    ],
)
async def test_a_region_by_name_or_in_percent(world: World, region: str, box: tuple[int, int, int, int]) -> None:
    result = await world.member.slash(world.channel, "edit", image=file(PHOTO), prompt="a buoy --n 1", region=region)
    assert changed(world, world.bytes_of(await world.finished(public(result)))) == box


async def test_regions_are_offered(world: World) -> None:
    offered = await world.member.autocomplete(world.channel, "edit", "region", "quarter")
    assert {choice["value"] for choice in offered} == {"top left", "top right", "bottom left", "bottom right"}


async def test_a_picture_that_was_drawn_here_is_known_as_the_parent(world: World) -> None:
    drawn = await world.drawn("a boat --n 1")
    name, data = "boat.png", world.bytes_of(drawn)
    result = await world.member.slash(world.channel, "edit", image=(name, data), prompt="a buoy", region="left")
    await world.finished(public(result))
    job = await world.app.services.storage.jobs.get(2)
    assert job is not None
    assert job.parent_image_id == (await world.app.services.storage.images.of_job(1))[0].id


async def test_the_members_style_counts(world: World) -> None:
    await world.app.services.orders.defaults.change(world.member.id, style="ink", aspect="16:9")
    result = await world.member.slash(world.channel, "edit", image=file(PHOTO), prompt="a buoy", region="left")
    await world.finished(public(result))
    job = await job_of(world)
    assert job.style == "ink"
    assert (job.recipes[0].width, job.recipes[0].height) == SIZE


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (mask((0, 0, 9, 9), size=(64, 64)), "The mask is 64×64, but its picture is 152×104"),
        (mask(), "keeps all of the picture"),
        (mask((0, 0, *SIZE)), "keeps nothing of the picture"),
    ],
)
async def test_a_mask_that_is_none_gets_one_sentence(world: World, wrong: Image.Image, said: str) -> None:
    assert said in await refused(world, "edit", image=file(PHOTO), prompt="a buoy", mask=file(wrong, "mask.png"))


async def test_what_cannot_be_read_gets_one_sentence(world: World) -> None:
    broken = file(PHOTO)[1][:200]
    options = {"image": file(PHOTO), "prompt": "a buoy"}
    assert "broken" in await refused(world, "edit", **options, mask=("mask.png", broken))
    assert "PNG" in await refused(world, "edit", **options, mask=("mask.png", b"no picture"))
    assert "broken" in await refused(world, "outpaint", image=("photo.png", broken), prompt="a sea")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Say which part is meant"),
        ({"region": "left", "words": "the boat"}, "in one way only"),
        ({"region": "somewhere"}, "no region"),
        ({"region": "60,0,60,10"}, "no region"),
        ({"region": "0,0,100,100"}, "no region"),
        ({"region": "left", "prompt": "a boat --ar 3:2"}, "no use here"),
        ({"region": "left", "prompt": "a boat --hires 2"}, "no use here"),
        ({"region": "left", "prompt": "a {red, blue} boat"}, "this takes one"),
        ({"region": "left", "prompt": "--n 2"}, "nothing but flags"),
    ],
)
async def test_an_edit_that_is_none_gets_one_sentence(world: World, options: dict[str, str], said: str) -> None:
    assert said in await refused(world, "edit", **{"image": file(PHOTO), "prompt": "a buoy", **options})


@pytest.mark.parametrize(
    ("options", "size", "frame"),
    [
        ({}, (152, 104), Frame(x=38, y=26, width=76, height=52)),
        ({"side": "right"}, (192, 88), Frame(x=0, y=0, width=129, height=88)),
        ({"side": "top", "percent": 100}, (104, 144), Frame(x=0, y=73, width=104, height=71)),
        ({"side": "right", "percent": 10}, (168, 104), Frame(x=0, y=0, width=152, height=104)),
    ],
)
async def test_outpainting_has_its_frame(
    world: World, options: dict[str, object], size: tuple[int, int], frame: Frame
) -> None:
    result = await world.member.slash(world.channel, "outpaint", image=file(PHOTO), prompt="a sea --n 1", **options)
    message = await world.finished(public(result))
    job = await job_of(world)
    recipe = job.recipes[0]
    assert (job.kind, recipe.width, recipe.height) == (JobKind.OUTPAINT, *size)
    assert recipe.source is not None
    assert recipe.source.frame == frame
    scaled = (frame.width, frame.height) != SIZE
    assert (f"scaled from 152×104 to {frame.width}×{frame.height}" in message.content) == scaled
    if not scaled:
        assert changed(world, world.bytes_of(message)) is None


def finding_with(segmenter: str) -> str:
    return SETTINGS.replace("[generation]", f'[generation]\nsegmenter = "{segmenter}"')


async def test_words_where_nothing_finds_them(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=finding_with("")) as world:
        said = await refused(world, "edit", image=file(PHOTO), prompt="a buoy", words="the boat")
        assert "generation.segmenter" in said


async def test_words_where_something_finds_them(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=finding_with("somewhere")) as world:
        result = await world.member.slash(
            world.channel, "edit", image=file(PHOTO), prompt="a buoy --n 1", words="the  boat"
        )
        message = await world.finished(public(result))
        assert (await job_of(world)).recipes[0].mask == Mask(words="the boat")
        assert changed(world, world.bytes_of(message)) == (0, 0, 76, 104)
