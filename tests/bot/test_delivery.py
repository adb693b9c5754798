"""Results find their person: whatever became of the interaction, the message, the channel or the connection."""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import replace
from itertools import count
from typing import Any

import discord
import pytest
from PIL import Image
from simcord.builders import ChannelHandle
from simcord.types import HttpLogEntry

from bot.delivery import EDIT_SECONDS
from bot.message_routes import TOKEN_SECONDS, Writer
from generation.job import JobStatus
from generation.picture import read_recipe
from tests.bot.world import World, labels, private, public

QUARTER_OF_AN_HOUR = 15 * 60
DAY = 24 * 60 * 60


def requests(world: World, method: str, part: str) -> list[HttpLogEntry]:
    return [entry for entry in world.env.http_requests if entry.method == method and part in entry.path]


async def let_the_token_die(world: World) -> None:
    await world.env.advance_time(QUARTER_OF_AN_HOUR)
    world.clock.ahead += QUARTER_OF_AN_HOUR


async def closed_channel(world: World) -> ChannelHandle:
    """A channel that the bot may not see; its commands work there all the same."""
    assert world.app.client.user is not None
    hidden = discord.PermissionOverwrite(view_channel=False)
    return world.guild.create_text_channel("closed", overwrites={world.app.client.user: hidden})


async def test_a_token_that_expires_while_waiting_does_not_matter(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 12 --n 1")
    await let_the_token_die(world)
    before = len(requests(world, "PATCH", "/webhooks/"))
    world.let_go()
    await world.finished(message)
    assert len(requests(world, "PATCH", "/webhooks/")) == before
    assert requests(world, "PATCH", f"/channels/{world.channel.id}/messages/{message.id}")
    assert len(world.messages()) == 1
    assert labels(world.now(message))[0] == "Upscale (Subtle)"


async def test_a_token_that_dies_before_its_time_does_not_matter(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 12 --n 1")
    await world.env.advance_time(QUARTER_OF_AN_HOUR)  # Discord's clock, not ours
    world.let_go()
    await world.finished(message)
    assert len(world.messages()) == 1


async def test_our_clock_gives_a_token_up_before_discord_does(world: World) -> None:
    assert TOKEN_SECONDS < QUARTER_OF_AN_HOUR
    message = await world.imagine(f"a {world.held} boat --steps 12 --n 1")
    world.clock.ahead += TOKEN_SECONDS
    before = len(requests(world, "PATCH", "/webhooks/"))
    world.let_go()
    await world.finished(message)
    assert len(requests(world, "PATCH", "/webhooks/")) == before


async def test_server_errors_are_tried_again(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat")
    world.env.inject_error("PATCH", "/webhooks/*", status=500, times=3)
    world.let_go()
    await world.finished(message)
    assert len(world.messages()) == 1
    await world.all_told()


@pytest.mark.parametrize(("status", "code"), [(403, 50013), (404, 10015), (401, 50027)])
async def test_an_interaction_that_refuses_gives_way_to_the_channel(world: World, status: int, code: int) -> None:
    message = await world.imagine(f"a {world.held} boat")
    world.env.inject_error("PATCH", "/webhooks/*", status=status, code=code, times=None)
    world.let_go()
    await world.finished(message)
    assert len(world.messages()) == 1


async def test_a_status_message_that_was_deleted_gives_way_to_a_new_one(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 10")
    world.env.backend.delete_message(world.channel.id, message.id)
    world.let_go()
    await world.until(lambda: world.messages() and "Done in" in world.messages()[-1].content)
    (new,) = world.messages()
    assert labels(new)[0] == "U1"
    (sent,) = requests(world, "POST", f"/channels/{world.channel.id}/messages")
    assert sent.json["nonce"] == "job-1"
    assert sent.json["enforce_nonce"] is True
    assert sent.json["allowed_mentions"]["users"] == [world.member.id]
    assert sent.json["allowed_mentions"]["parse"] == []
    await world.all_told()
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    assert job.message_id == new.id


async def test_a_first_answer_that_fails_does_not_lose_the_order(world: World) -> None:
    world.env.inject_error("POST", "/interactions/*", status=500, times=None)  # a deferral on a busy machine too
    result = await world.member.slash(world.channel, "imagine", prompt="a boat")
    assert not result.acknowledged
    await world.until(lambda: world.messages() and "Done in" in world.messages()[-1].content)
    assert len(world.messages()) == 1
    assert await world.credits() == 96


async def test_where_the_bot_may_not_write_the_picture_comes_directly(world: World) -> None:
    channel = await closed_channel(world)
    result = await world.member.slash(channel, "imagine", prompt=f"a {world.held} boat --steps 12 --n 1")
    await world.until(lambda: "%" in public(result).content)
    await let_the_token_die(world)
    world.let_go()
    direct = world.member.user.dm_channel
    await world.until(lambda: world.messages(direct))
    (message,) = world.messages(direct)
    assert channel.mention in message.content
    assert f"a {world.held} boat" in message.content
    assert message.attachments
    assert labels(message) == []
    assert "Drawing" in public(result).content
    await world.all_told()


async def test_while_the_token_lives_it_comes_to_a_closed_channel_too_with_a_hint_once(world: World) -> None:
    channel = await closed_channel(world)
    for expected in (1, 0):
        result = await world.member.slash(channel, "imagine", prompt="a boat --n 1")
        assert result.response is not None
        hints = [message.content for message in result.followups]
        assert len(hints) == expected
        assert all("View Channel" in hint for hint in hints)
        assert all(message.ephemeral for message in result.followups)
        await world.until(lambda: "Done in" in result.response.content)  # noqa: B023


async def test_what_is_heard_of_a_job_after_its_delivery_is_no_news(world: World) -> None:
    """Its end was told by another bot's word of it, and our own comes later; or a stale look has found it running."""
    message = await world.drawn("a boat --n 1")
    courier = world.app.services.courier
    await world.until(lambda: courier.following == 0)
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    for late in (job, replace(job, delivered_at=None), replace(job, delivered_at=None, status=JobStatus.RUNNING)):
        if late.status.terminal:
            courier.job_ended(late)
        else:
            courier.job_started(late)
        assert courier.following == 0
    assert [found.id for found in world.messages()] == [message.id]


async def test_what_reaches_nobody_is_kept_for_the_next_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.app.DELIVERY_SECONDS", 0.1)
    channel = await closed_channel(world)
    world.env.inject_error("POST", "/users/@me/channels", status=403, code=50007, times=None)
    await world.member.slash(channel, "imagine", prompt=f"a {world.held} boat --steps 8 --n 1")
    await let_the_token_die(world)
    world.let_go()
    await world.until(lambda: requests(world, "POST", "/users/@me/channels"))
    assert [job.id for job in await world.app.services.storage.jobs.undelivered()] == [1]

    await world.stop()
    world.env.backend.faults.clear()
    await world.start()
    direct = world.member.user.dm_channel
    await world.until(lambda: world.messages(direct))
    await world.all_told()
    assert len(world.messages(direct)) == 1
    assert await world.credits() == 99


async def test_a_picture_that_is_deleted_between_two_attempts_is_not_posted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.followed_job.RETRY_SECONDS", 0.1)
    channel, writer = await closed_channel(world), world.app.services.writer
    ended, attempts, second = writer.ended, count(1), asyncio.Event()

    async def held(*about: Any) -> Writer:
        if next(attempts) == 2:
            await second.wait()
        return await ended(*about)

    monkeypatch.setattr(writer, "ended", held)
    world.env.inject_error("POST", "/users/@me/channels", status=500, times=None)
    await world.member.slash(channel, "imagine", prompt=f"a {world.held} boat --steps 8 --n 1")
    await let_the_token_die(world)
    world.let_go()
    await world.until(lambda: requests(world, "POST", "/users/@me/channels"))
    images = await world.app.services.storage.images.of_job(1)
    await world.app.services.storage.deletion.delete_images([image.id for image in images], by=world.member.id)
    world.env.backend.faults.clear()
    second.set()
    direct = world.member.user.dm_channel
    await world.until(lambda: world.messages(direct))
    (message,) = world.messages(direct)
    assert message.attachments == []
    assert "Done in" not in message.content


async def test_an_outage_of_eight_days_loses_nothing_and_a_closed_way_is_given_up_after_a_week(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.followed_job.RETRY_SECONDS", 0.2)
    monkeypatch.setattr("bot.followed_job.MAX_RETRY_SECONDS", 0.2)
    channel = await closed_channel(world)
    world.env.inject_error("POST", "/users/@me/channels", status=500, times=None)
    await world.member.slash(channel, "imagine", prompt=f"a {world.held} boat --steps 8 --n 1")
    await let_the_token_die(world)
    world.let_go()

    async def attempts(more: int) -> None:
        before = len(requests(world, "POST", "/users/@me/channels"))
        await world.until(lambda: len(requests(world, "POST", "/users/@me/channels")) >= before + more)

    async def undelivered() -> int:
        return len(await world.app.services.storage.jobs.undelivered())

    await attempts(1)
    world.clock.ahead += 8 * DAY
    await attempts(1)
    assert await undelivered() == 1
    # Discord is back, but this person takes no direct messages.
    world.env.backend.faults.clear()
    world.env.inject_error("POST", "/users/@me/channels", status=403, code=50007, times=None)
    await attempts(2)  # by the second, the first is known to have failed
    assert await undelivered() == 1
    world.clock.ahead += 8 * DAY
    await world.all_told()
    assert world.messages(world.member.user.dm_channel) == []


async def test_edits_are_paced(world: World) -> None:
    await world.imagine("a slow boat --steps 60 --n 1")
    started, before = time.perf_counter(), len(requests(world, "PATCH", "/webhooks/"))
    await world.until(lambda: len(requests(world, "PATCH", "/webhooks/")) >= before + 4)
    edits = len(requests(world, "PATCH", "/webhooks/")) - before
    assert edits <= (time.perf_counter() - started) / EDIT_SECONDS + 2


def limit_uploads(world: World, size: int) -> None:
    """As Discord would, on a server where less may be uploaded."""

    def limited(event: str, payload: object) -> None:
        if event == "INTERACTION_CREATE":
            assert isinstance(payload, dict)
            payload["attachment_size_limit"] = size

    world.env.backend.subscribers.insert(0, limited)


@pytest.mark.parametrize(("size", "form"), [(100_000, "WEBP"), (50_000, "JPEG")])
async def test_a_picture_over_the_limit_comes_smaller_and_says_so(world: World, size: int, form: str) -> None:
    limit_uploads(world, size)
    message = await world.drawn("noise --seed 7")
    assert f"smaller copy ({form})" in message.content
    data = world.bytes_of(message)
    assert len(data) < size
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == form
        assert picture.size == (256, 256)
    recipe = read_recipe(data)
    assert recipe is not None
    assert recipe.seed == 7
    for image in await world.app.services.storage.images.of_job(1):
        png = await world.app.services.storage.images.png(image)
        assert png is not None
        assert png.startswith(b"\x89PNG")


async def test_u_of_a_picture_over_the_limit_says_so_too(world: World) -> None:
    grid = await world.drawn("noise --seed 7")
    limit_uploads(world, 40_000)
    picked = public(await world.press(grid, "U2"))
    await world.until(lambda: world.now(picked).attachments)
    assert "smaller copy" in world.now(picked).content
    recipe = read_recipe(world.bytes_of(world.now(picked)))
    assert recipe is not None
    assert recipe.seed == 8


async def test_u_is_tried_again_after_a_server_error(world: World) -> None:
    grid = await world.drawn("a boat")
    world.env.inject_error("PATCH", "/webhooks/*", status=502, times=1)
    picked = public(await world.press(grid, "U1"))
    await world.until(lambda: world.now(picked).attachments)


async def test_an_unforeseen_error_is_told_with_a_reference(world: World) -> None:
    grid = await world.drawn("a boat")
    del world.app.services.storage.images._files  # nothing of the kind is foreseen
    said = private(await world.press(grid, "U1"))
    assert "Something went wrong on my side" in said
