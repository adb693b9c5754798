"""/moderate as moderators use it: what they decide holds for the next order, in their server and nowhere else."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import discord
import pytest
from discord.app_commands import AppCommandChannel
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError
from simcord.builders import ChannelHandle

from bot import pauses
from bot.commands.moderate_rules import ChannelElsewhere, seen
from bot.orders import Customer
from bot.rules.rules import Rules
from generation.job import JobStatus
from storage.guild_rules import GuildRules
from tests.bot.world import MODERATOR, World, private, public

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("moderate ban", {"user": "member", "reason": "flooding"}),
    ("moderate unban", {"user": "member"}),
    ("moderate channel", {"allow": "channel"}),
    ("moderate limits", {"steps": 40}),
    ("moderate log", {"post": "channel"}),
    ("moderate pause", {}),
    ("moderate resume", {}),
]
COMMANDS = [*CHANGES, ("moderate unban", {}), ("moderate channel", {}), ("moderate limits", {}), ("moderate log", {}),
            ("moderate log", {"csv": True})]  # fmt: skip


async def moderate(world: World, command: str, *, by: MemberActor | None = None, **options: object) -> str:
    return private(await (by or world.moderator).slash(world.channel, f"moderate {command}", **options))


async def logged(world: World) -> list[tuple[str, int | None]]:
    entries = await world.app.services.storage.moderator_log.latest(world.guild.id, 50)
    return [(entry.action, entry.target_id) for entry in reversed(entries)]


def filled(world: World, options: dict[str, Any]) -> dict[str, Any]:
    """Options with the things of this world in the place of their names."""
    things = {"member": world.member, "channel": world.channel}
    return {name: things.get(str(value), value) for name, value in options.items()}


# Bans


async def test_the_banned_are_told_why_and_until_when(world: World) -> None:
    said = await moderate(world, "ban", user=world.member, reason="floods  the `channel`", duration="2 days")
    assert world.member.mention in said
    assert "`floods the ˋchannelˋ`" in said
    refused = await world.refused("a boat")
    assert re.fullmatch(r".*until <t:(\d+):f> \(<t:\1:R>\): `floods the ˋchannelˋ`", refused)
    await world.imagine("a boat", by=world.stranger)
    assert await world.credits() == 100
    assert await logged(world) == [("ban.set", world.member.id)]


async def test_a_ban_ends_by_itself(world: World) -> None:
    bans = world.app.services.storage.bans
    await bans.ban(
        world.member.id, world.guild.id, reason="flooding", lasting=timedelta(minutes=5), by=world.moderator.id
    )
    assert "banned" in await world.refused("a boat")
    world.clock.later = timedelta(minutes=5)
    await world.imagine("a boat")
    assert "not banned" in await moderate(world, "unban", user=world.member)


async def test_a_ban_for_good_ends_with_unban(world: World) -> None:
    assert world.member.mention in await moderate(world, "ban", user=world.member, reason="spam")
    assert await world.refused("a boat") == (
        "You are banned from drawing in this server until a moderator lifts the ban: `spam`"
    )
    assert world.member.mention in await moderate(world, "unban", user=world.member)
    await world.imagine("a boat")
    assert "not banned" in await moderate(world, "unban", user=world.member)
    assert await logged(world) == [("ban.set", world.member.id), ("ban.end", world.member.id)]


async def test_a_ban_holds_for_buttons_too(world: World) -> None:
    message = await world.drawn("a boat")
    await moderate(world, "ban", user=world.stranger, reason="spam")
    before = len(world.messages())
    for label in ("U1", "V1", "🔄"):
        assert "banned" in private(await world.press(message, label, by=world.stranger))
    assert len(world.messages()) == before


async def test_pictures_of_the_banned_are_not_even_looked_at(world: World) -> None:
    await moderate(world, "ban", user=world.member, reason="spam")
    garbage = ("photo.png", b"no picture at all")
    assert "banned" in await world.refused("a boat", image=garbage)
    for command in ("vary", "upscale"):
        assert "banned" in private(await world.member.slash(world.channel, command, image=garbage))


async def test_a_ban_calls_off_what_waits_and_gives_its_credits_back(world: World) -> None:
    await moderate(world, "pause")
    jobs = world.app.services.storage.jobs
    await moderate(world, "resume")
    world.app.services.dispatcher.pause(world.guild.id)  # what is ordered now waits
    await world.imagine("a boat")
    await world.imagine("a red boat")
    await world.imagine("a tree", by=world.stranger)
    assert await world.credits() == 92
    said = await moderate(world, "ban", user=world.member, reason="flooding", duration="1h")
    assert "2 jobs of theirs were called off" in said
    assert [action for action, _ in await logged(world)][-3:] == ["ban.set", "job.cancel", "job.cancel"]
    assert await world.credits() == 100
    statuses = (JobStatus.QUEUED, JobStatus.CANCELLED)
    [job] = await jobs.of_user(world.stranger.id, guild_id=world.guild.id, statuses=statuses)
    assert job.status is JobStatus.QUEUED


async def test_who_is_banned_is_listed(world: World) -> None:
    assert "Nobody" in await moderate(world, "unban")
    await moderate(world, "ban", user=world.member, reason="spam")
    await moderate(world, "ban", user=world.stranger, reason="flooding", duration="1w")
    said = await moderate(world, "unban")
    assert said.startswith("2 members")
    assert said.index(world.stranger.mention) < said.index(world.member.mention)
    for number in range(100):
        await world.app.services.storage.bans.ban(
            2**62 + number, world.guild.id, reason="r" * 100, lasting=None, by=world.moderator.id
        )
    said = await moderate(world, "unban")
    assert len(said) <= 2000
    shown = said.count("`rrr")
    assert said.endswith(f"… and {102 - shown} more.")


@pytest.mark.parametrize("duration", ["soon", "0m", "-1d", "7", "99999d", "1y", ""])
async def test_what_is_no_time_span_bans_nobody(world: World, duration: str) -> None:
    said = await moderate(world, "ban", user=world.member, reason="spam", duration=duration)
    assert "7d" in said
    await world.imagine("a boat")
    assert await logged(world) == []


async def test_moderators_cannot_be_banned(world: World) -> None:
    said = await moderate(world, "ban", user=world.moderator, reason="spam")
    assert "Moderators cannot be banned" in said
    await world.imagine("a boat", by=world.moderator)


# Channels


async def test_orders_are_taken_in_allowed_channels_alone(world: World) -> None:
    other = world.guild.create_text_channel("talk")
    assert "all channels" in await moderate(world, "channel")
    assert f"<#{other.id}>" in await moderate(world, "channel", allow=other)
    assert f"<#{other.id}>" in await world.refused("a boat")
    assert f"<#{other.id}>" in await world.refused("a boat", by=world.moderator)
    public(await world.member.slash(other, "imagine", prompt="a boat"))
    assert "all channels" in await moderate(world, "channel", remove=other)
    await world.imagine("a boat")
    assert await logged(world) == [("channel.allow", other.id), ("channel.remove", other.id)]


async def test_a_channel_counts_with_its_threads_and_a_category_with_its_channels(world: World) -> None:
    category = world.guild.create_category("studio")
    inside = world.guild.create_text_channel("sketches", category=category)
    await moderate(world, "channel", allow=category)
    public(await world.member.slash(inside, "imagine", prompt="a boat"))
    thread = await opened_thread(world, inside)
    public(await world.member.slash(thread, "imagine", prompt="a boat"))
    assert f"<#{category.id}>" in await world.refused("a boat")
    outside = await opened_thread(world, world.channel)
    assert "One cannot draw" in private(await world.member.slash(outside, "imagine", prompt="a boat"))
    await moderate(world, "channel", clear=True, allow=outside)
    public(await world.member.slash(outside, "imagine", prompt="a boat"))
    assert f"<#{outside.id}>" in await world.refused("a boat")


async def opened_thread(world: World, channel: ChannelHandle) -> ChannelHandle:
    """A thread of a channel, as everybody may begin one."""
    world.env.backend.create_thread(channel.id, "boats", world.moderator.id)
    await world.env.settle()
    return channel.threads[-1]


# Limits


async def test_limits_hold_for_everybody_until_they_are_taken_away(world: World) -> None:
    said = await moderate(world, "limits", steps=40, megapixels=0.02)
    assert "40 at most" in said
    assert "0.02 megapixels" in said
    assert "this server allows 40" in await world.refused("a boat --steps 41")
    assert "this server allows 40" in await world.refused("a boat --steps 30 --q 2", by=world.moderator)
    message = await world.drawn("a boat --steps 40 --n 1")
    refused = private(await world.press(message, "Upscale (Subtle)"))
    assert "256×256, and this server allows 0.02 megapixels" in refused
    assert "no limit of your own" in await moderate(world, "limits", steps=0, megapixels=0)
    await world.imagine("a boat --steps 41")
    assert [action for action, _ in await logged(world)] == ["limit.steps", "limit.megapixels"] * 2


async def test_how_many_jobs_a_member_may_have_is_the_servers(world: World) -> None:
    assert "10 at most" in await moderate(world, "limits")
    assert "2 at most" in await moderate(world, "limits", jobs=2)
    world.app.services.dispatcher.pause(world.guild.id)
    await world.imagine("a boat")
    assert "1 of yours" in await world.refused("a {red, blue} boat")
    await world.imagine("a boat")
    assert "2 of 2" in await world.refused("a boat")
    await world.imagine("a boat", by=world.stranger)
    assert "10 at most" in await moderate(world, "limits", jobs=0)
    await world.imagine("a boat")


async def test_young_accounts_are_told_from_when_on_they_may_order(world: World) -> None:
    await moderate(world, "limits", age=3650)
    born = discord.utils.snowflake_time(world.member.id)
    then = int((born + timedelta(days=3650)).timestamp())
    refused = await world.refused("a boat")
    assert "3650 days old" in refused
    assert f"<t:{then}:R>" in refused
    await moderate(world, "limits", age=0)
    await world.imagine("a boat")


async def test_a_limit_that_would_stop_plain_orders_is_refused(world: World) -> None:
    model = world.app.services.catalogue.model()
    steps, pixels = model.num_inference_steps, model.native_size**2
    assert f"({steps})" in await moderate(world, "limits", steps=steps - 1)
    assert "less than" in await moderate(world, "limits", megapixels=pixels / 1e6 - 0.001)
    assert await logged(world) == []
    await moderate(world, "limits", steps=steps, megapixels=pixels / 1e6)
    await world.imagine("a boat")


# Pause


async def test_a_pause_stops_orders_and_what_waits_until_somebody_resumes(world: World) -> None:
    await moderate(world, "pause")
    assert "already" in await moderate(world, "pause")
    assert "paused" in await world.refused("a boat")
    assert "paused" in await world.refused("a {red, blue} boat", by=world.moderator)
    assert "goes on" in await moderate(world, "resume")
    assert "not paused" in await moderate(world, "resume")
    await world.drawn("a boat")
    assert await logged(world) == [("pause.begin", None), ("pause.end", None)]


async def test_a_pause_outlives_a_restart(world: World) -> None:
    world.app.services.dispatcher.pause(world.guild.id)
    message = await world.imagine("a boat --n 1")
    await moderate(world, "pause")
    await world.restart()
    assert "paused" in await world.refused("a boat")
    [job] = await world.app.services.storage.jobs.waiting()
    await asyncio.sleep(0.3)
    assert await world.app.services.storage.jobs.waiting() == [job]
    await moderate(world, "resume")
    await world.finished(message)


async def test_a_pause_in_another_process_is_heard_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "POLL_SECONDS", 0.05)
    await world.restart()
    message = await world.drawn("a boat --n 1")
    rulebook, jobs = world.app.services.storage.rulebook, world.app.services.storage.jobs
    orders = world.app.services.orders
    await rulebook.pause(world.guild.id, by=world.moderator.id)  # past our own queue
    await world.until(lambda: world.guild.id in world.app.services.pauses._held)
    direct = Customer(user_id=world.member.id, guild_id=world.guild.id, channel_id=world.channel.id)
    monkeypatch.setattr(orders, "_rules", Rules())  # an order that was on its way at that moment
    await orders.again(direct, 1)
    await world.until(lambda: world.app.services.dispatcher.held_back() == 1)
    assert len(await jobs.waiting()) == 1
    await rulebook.resume(world.guild.id, by=world.moderator.id)
    await world.until(lambda: world.app.services.dispatcher.depth() == 0)
    assert world.now(message)


# Who may


@pytest.mark.parametrize(("command", "options"), COMMANDS)
async def test_members_neither_see_nor_use_it(world: World, command: str, options: dict[str, Any]) -> None:
    options = filled(world, options)
    with pytest.raises(SetupError, match="not visible"):
        await world.member.slash(world.channel, command, **options)
    # A server's owner may let everyone see a command; that makes nobody a moderator.
    registered = world.env.backend.find_command("moderate", world.guild.id, type=1)
    assert registered is not None
    registered["default_member_permissions"] = None
    said = private(await world.member.slash(world.channel, command, **options))
    assert "Only moderators" in said
    assert await logged(world) == []
    assert await world.app.services.storage.rulebook.of(world.guild.id) == GuildRules()
    await world.imagine("a boat")


async def test_a_forged_command_in_a_direct_message_is_refused(world: World) -> None:
    registered = world.env.backend.find_command("moderate", None, type=1)
    assert registered is not None
    registered["contexts"] = None
    registered["dm_permission"] = True
    for command in ("pause", "log", "channel", "limits", "unban", "resume"):
        assert "in a server" in private(await world.member.user.slash(f"moderate {command}"))


@pytest.mark.parametrize(("command", "options"), CHANGES)
async def test_nothing_reaches_another_server(world: World, command: str, options: dict[str, Any]) -> None:
    storage = world.app.services.storage
    await storage.bans.ban(world.stranger.id, world.guild.id, reason="spam", lasting=None, by=world.moderator.id)
    await moderate(world, "pause")
    before, written = await storage.rulebook.of(world.guild.id), await logged(world)
    elsewhere = world.env.create_guild("Orchard")
    role = elsewhere.create_role("Mods", permissions=MODERATOR)
    channel, moderator = (
        elsewhere.create_text_channel("pictures"),
        elsewhere.add_member(world.moderator.user, roles=[role]),
    )
    member = elsewhere.add_member(world.member.user)
    options = {name: {"member": member, "channel": channel}.get(str(value), value) for name, value in options.items()}
    private(await moderator.slash(channel, command, **options))
    if "user" in options:
        private(await moderator.slash(channel, "moderate unban", user=elsewhere.add_member(world.stranger.user)))
    assert await storage.rulebook.of(world.guild.id) == before
    assert [ban.user_id for ban in await storage.bans.in_server(world.guild.id)] == [world.stranger.id]
    assert await logged(world) == written
    # In direct messages no server's rules hold.
    direct = Customer(user_id=world.member.id, guild_id=None, channel_id=1)
    await world.app.services.server_rules.check(direct, ())


async def test_nothing_is_seen_of_another_server(world: World) -> None:
    await moderate(world, "ban", user=world.member, reason="spam")
    await moderate(world, "channel", allow=world.channel)
    await moderate(world, "limits", jobs=3, steps=40, megapixels=1, age=5)
    await moderate(world, "pause")
    elsewhere = world.env.create_guild("Orchard")
    channel, role = elsewhere.create_text_channel("pictures"), elsewhere.create_role("Mods", permissions=MODERATOR)
    moderator = elsewhere.add_member(world.moderator.user, roles=[role])

    async def said(command: str) -> str:
        return private(await moderator.slash(channel, f"moderate {command}"))

    assert "Nobody" in await said("unban")
    assert "all channels" in await said("channel")
    assert "10 at most" in await said("limits")
    assert (await said("limits")).count("no limit") == 3
    assert "Nothing" in await said("log")
    assert "not paused" in await said("resume")
    member = elsewhere.add_member(world.member.user)
    public(await member.slash(channel, "imagine", prompt="a boat"))


async def test_a_channel_of_another_server_is_refused(world: World) -> None:
    elsewhere = world.env.create_guild("Orchard").create_text_channel("pictures")
    payload: Any = {"id": str(elsewhere.id), "type": 0, "name": "pictures", "permissions": "0", "position": 0}
    forged = AppCommandChannel(state=world.app.client._connection, data=payload, guild_id=world.guild.id)
    with pytest.raises(ChannelElsewhere):
        seen(forged)
