"""The buttons under pictures."""

from __future__ import annotations

import io

import discord
import pytest
from PIL import Image, ImageChops

from generation.job import JobKind, JobStatus
from generation.picture import read_recipe
from tests.bot.world import World, custom_ids, labels, private, public

SINGLE = ["Upscale (Subtle)", "Upscale (Creative)", "Vary (Subtle)", "Vary (Strong)"]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


async def test_u_posts_exactly_those_pixels_with_their_own_buttons_and_costs_nothing(world: World) -> None:
    grid = await world.drawn("a boat --seed 7")
    picked = public(await world.press(grid, "U3", by=world.stranger))
    await world.until(lambda: world.now(picked).attachments)
    picked = world.now(picked)
    image = (await world.app.services.storage.images.of_job(1))[2]
    data = world.bytes_of(picked)
    assert data == await world.app.services.storage.images.png(image)

    cell = opened(world.bytes_of(grid)).crop((0, image.height, image.width, 2 * image.height))
    assert ImageChops.difference(cell, opened(data)).getbbox() is None
    assert "seed 9" in picked.content
    assert f"<@{world.stranger.id}>" in picked.content
    assert labels(picked)[:4] == SINGLE
    assert labels(world.now(grid)) == labels(grid)
    assert await world.credits(world.stranger) == 100


async def test_v_makes_four_variations_that_the_presser_pays_and_owns(world: World) -> None:
    grid = await world.drawn("a boat --seed 7")
    message = public(await world.press(grid, "V2", by=world.stranger))
    assert "variations by" in message.content
    assert f"<@{world.stranger.id}>" in message.content
    message = await world.finished(message)
    assert labels(message) == labels(world.now(grid))

    job = await world.app.services.storage.jobs.get(2)
    assert job is not None
    assert job.kind is JobKind.VARIATIONS
    assert job.user_id == world.stranger.id
    images = await world.app.services.storage.images.of_job(1)
    assert job.parent_image_id == images[1].id
    assert {recipe.source.digest for recipe in job.recipes if recipe.source} == {images[1].digest}
    assert len({recipe.seed for recipe in job.recipes}) == 4
    assert await world.credits() == 96
    assert await world.credits(world.stranger) == 100 - job.cost


async def test_again_draws_the_same_with_a_new_seed(world: World) -> None:
    grid = await world.drawn("a boat --ar 3:2 --seed 7")
    message = await world.finished(public(await world.press(grid, "🔄")))
    first, second = read_recipe(world.bytes_of(grid)), read_recipe(world.bytes_of(message))
    assert first is not None
    assert second is not None
    assert second.seed != first.seed
    assert (second.prompt, second.width, second.height) == (first.prompt, first.width, first.height)
    assert "`a boat --ar 3:2`" in message.content
    assert world.bytes_of(message) != world.bytes_of(grid)


@pytest.mark.parametrize("label", ["Upscale (Subtle)", "Upscale (Creative)"])
async def test_upscaling_doubles_the_size_once_and_again(world: World, label: str) -> None:
    message = await world.drawn("a boat --n 1")
    before = opened(world.bytes_of(message)).size
    message = await world.finished(public(await world.press(message, label)))
    after = opened(world.bytes_of(message)).size
    assert after == (2 * before[0], 2 * before[1])
    assert f"{after[0]}×{after[1]}" in message.content
    assert labels(message)[:4] == SINGLE
    message = await world.finished(public(await world.press(message, label)))
    assert "as large as I can make it" in private(await world.press(message, label))


async def test_strong_variations_move_further_than_subtle_ones(world: World) -> None:
    picture = await world.drawn("a boat --n 1")
    strengths = []
    for label in ("Vary (Subtle)", "Vary (Strong)"):
        message = await world.finished(public(await world.press(picture, label)))
        recipe = read_recipe(world.bytes_of(message))
        assert recipe is not None
        assert recipe.source is not None
        strengths.append(recipe.source.strength)
    assert strengths[0] < strengths[1]


async def test_a_double_click_is_one_order(world: World) -> None:
    grid = await world.drawn("a boat")
    world.clock.stopped_at = world.clock.monotonic()  # a busy machine shall not make it two slow clicks
    first = await world.press_at_once(grid, "V1")
    assert "counts once" in private(await world.press_at_once(grid, "V1"))
    other = await world.press_at_once(grid, "V1", by=world.stranger)
    world.clock.stopped_at = None
    await world.finished(public(first))
    await world.finished(public(other))
    assert len(world.messages()) == 3
    # After a pause it is meant.
    await world.finished(public(await world.press(grid, "V1")))
    assert await world.app.services.storage.jobs.get(4) is not None
    assert await world.app.services.storage.jobs.get(5) is None


async def forge(world: World, custom_id: str) -> str:
    """Press a button that somebody made up, on a message of the bot; what the bot says to that."""
    channel = world.app.client.get_partial_messageable(world.channel.id, guild_id=world.guild.id)
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="forged", custom_id=custom_id))
    message = await channel.send("look", view=view)
    return private(await world.member.click(message, custom_id=custom_id))


@pytest.mark.parametrize(
    ("custom_id", "said"),
    [
        ("limner:pick:999", "not here any more"),
        ("limner:variations:999", "not here any more"),
        ("limner:upscale_creative:999", "not here any more"),
        ("limner:again:999", "not here any more"),
        ("limner:zoom_out_20:999", "not here any more"),
        ("limner:custom_zoom:999", "not here any more"),
        ("limner:vary_region:999", "not here any more"),
        ("limner:region_mask:999", "not here any more"),
        ("limner:pan_sideways:1", "another version"),
        ("limner:cancel:999", "not here any more"),
        ("limner:pick:-1", "another version"),
        ("limner:pick:1 OR 1=1", "another version"),
        ("limner:pick:99999999999999999999999999", "another version"),
        ("limner:explode:1", "another version"),
        ("limner:pick:1:2:3", "another version"),
        ("something else", "another version"),
    ],
)
async def test_forged_and_stale_buttons_get_one_sentence(world: World, custom_id: str, said: str) -> None:
    assert said in await forge(world, custom_id)
    assert world.env.errors == []


async def test_a_picture_stays_in_its_server(world: World) -> None:
    grid = await world.drawn("a boat")
    secrets = custom_ids(grid)
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    member = elsewhere.add_member(world.member.user)
    for custom_id in secrets:
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="forged", custom_id=custom_id))
        target = world.app.client.get_partial_messageable(channel.id, guild_id=elsewhere.id)
        message = await target.send("look", view=view)
        assert "not here any more" in private(await member.click(message, custom_id=custom_id))


async def test_a_picture_whose_file_is_gone_is_refused_and_not_charged(world: World) -> None:
    grid = await world.drawn("a boat")
    for file in (world.folder / "files").rglob("*"):
        if file.is_file():
            file.unlink()
    for label in ("U1", "V1"):
        assert "not here any more" in private(await world.press(grid, label))
    assert await world.credits() == 96


async def test_without_credits_a_button_says_so(world: World) -> None:
    grid = await world.drawn("a boat")
    await world.moderator.slash(world.channel, "quota set", user=world.member, credits=0)
    assert "Not enough credits" in private(await world.press(grid, "V1"))
    public(await world.press(grid, "U1"))


async def test_who_may_not_write_in_a_channel_gets_no_pictures_posted_there(world: World) -> None:
    grid = await world.drawn("a boat")
    reader = world.guild.create_role("Readers")
    readonly = world.guild.create_text_channel(
        "gallery", overwrites={reader: discord.PermissionOverwrite(send_messages=False)}
    )
    visitor = world.guild.add_member(world.env.create_user("vi"), roles=[reader])
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="U1", custom_id=custom_ids(grid)[0]))
    view.add_item(discord.ui.Button(label="V1", custom_id=custom_ids(grid)[5]))
    target = world.app.client.get_partial_messageable(readonly.id, guild_id=world.guild.id)
    message = await target.send("look", view=view)
    for label in ("U1", "V1"):
        assert "may not write" in private(await visitor.click(message, label=label))
    assert await world.credits(visitor) == 100


async def test_buttons_of_before_a_restart_still_work(world: World) -> None:
    grid = await world.drawn("a boat")
    await world.restart()
    picked = public(await world.press(grid, "U1"))
    await world.until(lambda: world.now(picked).attachments)
    message = await world.finished(public(await world.press(world.now(picked), "Vary (Subtle)")))
    job = await world.app.services.storage.jobs.get(2)
    assert job is not None
    assert job.status is JobStatus.DONE
    assert labels(message)[0] == "U1"
