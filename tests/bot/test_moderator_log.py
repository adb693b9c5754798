"""/moderate log: read by page, also after a restart, taken along as a file, and told in a channel."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from simcord.results import InteractionResult

from bot.commands import moderate_log
from storage.moderator_log import Deed
from tests.bot.world import MODERATOR, PATIENCE, World, custom_ids, labels, private


async def fill(world: World, count: int, *, start: int = 1, guild_id: int | None = None) -> None:
    """Entries that are told apart by their number of credits."""
    for number in range(start, start + count):
        await world.app.services.storage.credits.grant(
            world.member.id, guild_id or world.guild.id, number, by=world.moderator.id
        )


async def log(world: World, *, by: MemberActor | None = None, **options: object) -> InteractionResult:
    return await (by or world.moderator).slash(world.channel, "moderate log", **options)


def page(result: InteractionResult) -> discord.Message:
    """The page as a button left it."""
    assert result.response is not None
    return result.response.message


def numbers(message: discord.Message) -> list[int]:
    return [int(number) for number in re.findall(r"credits: (\d+)$", message.content, flags=re.MULTILINE)]


async def press(world: World, message: discord.Message, action: str, *, by: MemberActor | None = None) -> Any:
    [custom_id] = [one for one in custom_ids(message) if action in one]
    world.clock.ahead += 5
    return await (by or world.moderator).click(message, custom_id=custom_id)


def shown(world: World, message: discord.Message) -> discord.Message:
    """A message as it is now, also one that few see."""
    return next(found for found in world.channel.history(viewer=world.moderator) if found.id == message.id)


async def test_an_empty_log_says_so(world: World) -> None:
    assert private(await log(world)) == "Nothing was done in this server yet."


async def test_it_is_read_by_page_in_both_directions_and_across_a_restart(world: World) -> None:
    await fill(world, 25)
    message = page(await log(world))
    assert numbers(message) == list(range(25, 15, -1))
    assert "25 entries" in message.content
    assert labels(message) == ["Older"]
    await press(world, message, "older")
    message = shown(world, message)
    assert numbers(message) == list(range(15, 5, -1))
    assert labels(message) == ["Newer", "Older"]
    await world.restart()
    await press(world, message, "older")
    message = shown(world, message)
    assert numbers(message) == [5, 4, 3, 2, 1]
    assert labels(message) == ["Newer"]
    await fill(world, 1, start=26)  # a page stays where it is as others come
    await press(world, message, "newer")
    message = shown(world, message)
    assert numbers(message) == list(range(15, 5, -1))
    await press(world, message, "newer")
    await press(world, shown(world, message), "newer")
    assert numbers(shown(world, message)) == [26]


async def test_long_entries_make_short_pages_and_none_is_skipped(world: World) -> None:
    notices = world.app.services.storage.moderator_log
    for number in range(12):
        details = {"word": f"{number:02}", "prompt": "p" * 500}
        await notices.note(world.guild.id, "words.refused", target_id=world.member.id, details=details)
    message, seen = page(await log(world)), []
    while True:
        assert len(message.content) <= 2000
        seen += re.findall(r"because of `(\d+)`", message.content)
        if "Older" not in labels(message):
            break
        await press(world, message, "older")
        message = shown(world, message)
    assert seen == [f"{number:02}" for number in range(11, -1, -1)]
    back: list[str] = re.findall(r"because of `(\d+)`", message.content)[::-1]
    while "Newer" in labels(message):
        await press(world, message, "newer")
        message = shown(world, message)
        back += re.findall(r"because of `(\d+)`", message.content)[::-1]
    assert back == seen[::-1]


async def test_pages_are_for_moderators_alone_whatever_is_pressed(world: World) -> None:
    await fill(world, 15)
    message = page(await log(world))
    forged = await forge(world, world.member, world.channel, custom_ids(message)[0])
    assert "Only moderators" in private(forged)


async def test_a_forged_page_shows_ones_own_server(world: World) -> None:
    await fill(world, 15)
    message = page(await log(world))
    elsewhere = world.env.create_guild("Orchard")
    channel = elsewhere.create_text_channel("pictures")
    role = elsewhere.create_role("Mods", permissions=MODERATOR)
    other = elsewhere.add_member(world.stranger.user, roles=[role])
    await fill(world, 2, start=100, guild_id=elsewhere.id)
    await forge(world, other, channel, custom_ids(message)[0])
    [said] = channel.history()
    assert numbers(said) == [101, 100]


async def forge(world: World, by: MemberActor, channel: ChannelHandle, custom_id: str) -> InteractionResult:
    """Press a button that was never shown there: on a message of the bot that holds it by force."""
    view = discord.ui.View()
    view.add_item(discord.ui.Button(label="x", custom_id=custom_id))
    target = world.app.client.get_channel(channel.id)
    assert isinstance(target, discord.TextChannel)
    message = await target.send("…", view=view)
    world.clock.ahead += 5
    return await by.click(message, custom_id=custom_id)


async def test_the_file_holds_all_of_this_server_and_no_formula(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderate_log, "READ_AT_ONCE", 4)
    await fill(world, 9)
    elsewhere = world.env.create_guild("Orchard")
    await fill(world, 3, start=100, guild_id=elsewhere.id)
    await world.moderator.slash(world.channel, "moderate ban", user=world.member, reason='=HYPERLINK("x");=1+1')
    result = await log(world, csv=True)
    assert "10 entries" in private(result)
    rows = await rows_of(world, result)
    assert [row["action"] for row in rows] == ["ban.set"] + ["quota.grant"] * 9
    assert [row["details"] for row in rows[1:]] == [f'{{"credits": {number}}}' for number in range(9, 0, -1)]
    assert {row["moderator_id"] for row in rows} == {str(world.moderator.id)}
    assert {row["target_id"] for row in rows} == {str(world.member.id)}
    assert ";'=1+1" in rows[0]["details"]


async def test_a_log_too_long_for_a_file_is_cut_at_its_old_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderate_log, "READ_AT_ONCE", 4)
    await fill(world, 20)
    data, count = await moderate_log.written(world.app.services.storage.moderator_log, world.guild.id, room=1000)
    assert len(data) <= 1000
    assert data.decode().count("quota.grant") == count
    assert 0 < count < 20
    assert '""credits"": 20' in data.decode()


async def rows_of(world: World, result: InteractionResult) -> list[dict[str, str]]:
    assert result.response is not None
    [attachment] = result.response.message.attachments
    assert attachment.filename == "moderator-log.csv"
    data = world.env.backend.cdn.get(attachment.url)
    assert data is not None
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


# The channel for notices


def hidden(world: World) -> dict[Any, discord.PermissionOverwrite]:
    """What makes a channel one for moderators and the bot."""
    guild = world.app.client.get_guild(world.guild.id)
    assert guild is not None
    return {
        guild.default_role: discord.PermissionOverwrite(view_channel=False),
        guild.me: discord.PermissionOverwrite(view_channel=True),
        world.moderator: discord.PermissionOverwrite(view_channel=True),
    }


async def test_what_limner_did_is_told_in_the_channel_and_mentions_nobody(world: World) -> None:
    channel = world.guild.create_text_channel("mods", overwrites=hidden(world))
    notices = world.app.services.notices
    details = {"word": "@everyone", "prompt": f"a `{world.member.mention}`"}
    await notices.tell(world.guild.id, "words.refused", about=world.member.id, details=details)
    await world.until(lambda: not notices._tasks)
    assert "Everybody can read" in private(await log(world, post=world.channel))
    said = private(await log(world, post=channel))
    assert f"<#{channel.id}>" in said
    assert "Everybody" not in said
    assert world.messages(channel) == []
    for _ in range(3):
        await notices.tell(world.guild.id, "words.refused", about=world.member.id, details=details)
    await world.until(lambda: sum(one.content.count("refused") for one in world.messages(channel)) == 3)
    posts = [sent for sent in world.env.http_requests if sent.path == f"/channels/{channel.id}/messages"]
    assert posts
    assert all(sent.json["allowed_mentions"] == {"parse": []} for sent in posts)
    assert all("`@everyone`" in message.content for message in world.messages(channel))
    assert "no channel any more" in private(await log(world, stop=True))
    assert "no channel" in private(await log(world, stop=True))
    await notices.tell(world.guild.id, "words.refused", about=world.member.id, details=details)
    await world.env.settle()
    assert sum(one.content.count("refused") for one in world.messages(channel)) == 3
    entries = await world.app.services.storage.moderator_log.latest(world.guild.id, 20)
    assert [entry.action for entry in entries].count("words.refused") == 5


async def test_a_flood_of_notices_comes_in_few_messages(world: World) -> None:
    channel = world.guild.create_text_channel("mods")
    await log(world, post=channel)
    details = {"word": "x", "prompt": "p" * 150}
    for _ in range(120):
        world.app.services.notices._post_soon(
            world.guild.id,
            Deed(moderator_id=None, action="words.refused", target_id=world.member.id, details=details),
        )
    await world.until(lambda: any("moderate log" in one.content for one in world.messages(channel)))
    messages = world.messages(channel)
    assert all(len(one.content) <= 2000 for one in messages)
    assert sum(one.content.count("because of") for one in messages) == 50
    assert len(messages) < 12


async def test_a_channel_that_is_gone_or_closed_stops_nothing(world: World) -> None:
    channel = world.guild.create_text_channel("mods")
    await log(world, post=channel)
    world.env.inject_error("POST", f"/channels/{channel.id}/messages", status=403, code=50013, times=None)
    await world.app.services.notices.tell(world.guild.id, "words.refused", about=world.member.id, details={})
    await world.env.settle()
    assert len(await world.app.services.storage.moderator_log.latest(world.guild.id, 5)) == 2
    await world.imagine("a boat")


@pytest.mark.parametrize("held", [False, True])
async def test_what_waits_is_posted_or_given_up_before_storage_closes(
    world: World, monkeypatch: pytest.MonkeyPatch, *, held: bool
) -> None:
    channel = world.guild.create_text_channel("mods")
    await log(world, post=channel)
    notices = world.app.services.notices
    post, let = notices._post, asyncio.Event()

    async def slow(*about: Any) -> None:
        await (let.wait() if held else asyncio.sleep(0.2))
        await post(*about)

    monkeypatch.setattr(notices, "_post", slow)
    monkeypatch.setattr("bot.app.NOTICES_SECONDS", 0.3 if held else PATIENCE)
    notices._post_soon(
        world.guild.id, Deed(moderator_id=None, action="words.refused", target_id=world.member.id, details={})
    )
    await world.stop()
    assert not notices._tasks
    assert len(world.messages(channel)) == (0 if held else 1)


async def test_a_channel_in_which_nobody_can_write_is_refused(world: World) -> None:
    category = world.guild.create_category("studio")
    assert "cannot write" in private(await log(world, post=category))
    closed = world.guild.create_text_channel(
        "closed",
        overwrites={world.app.client.user: discord.PermissionOverwrite(send_messages=False)},  # type: ignore[dict-item]
    )
    assert "cannot write" in private(await log(world, post=closed))
    assert await world.app.services.storage.moderator_log.latest(world.guild.id, 5) == []
