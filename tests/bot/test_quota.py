"""/quota: moderators decide, Discord hides it from others, and the bot asks again."""

from __future__ import annotations

from typing import Any

import pytest
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError

from tests.bot.world import World, private

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("quota show", {"user": "member"}),
    ("quota set", {"user": "member", "credits": 5}),
    ("quota grant", {"user": "member", "credits": 5}),
    ("quota reset", {"user": "member"}),
    ("quota default", {"credits": 5}),
]


async def quota(world: World, command: str, *, by: MemberActor | None = None, **options: object) -> str:
    return private(await (by or world.moderator).slash(world.channel, f"quota {command}", **options))


async def log(world: World) -> list[tuple[str, int | None, dict[str, Any]]]:
    entries = await world.app.services.storage.moderator_log.latest(world.guild.id, 10)
    return [(entry.action, entry.target_id, dict(entry.details)) for entry in reversed(entries)]


async def test_set_is_what_may_be_spent_from_now_on(world: World) -> None:
    await world.drawn("a boat")
    said = await quota(world, "set", user=world.member, credits=4)
    assert "4" in said
    assert world.member.mention in said
    message = await world.drawn("a boat")
    assert "0 credits left" in message.content
    assert "Not enough credits" in await world.refused("a boat --n 1")
    assert await log(world) == [("quota.set", world.member.id, {"credits": 4})]


async def test_grants_come_on_top(world: World) -> None:
    await quota(world, "set", user=world.member, credits=0)
    assert "6" in await quota(world, "grant", user=world.member, credits=6)
    message = await world.drawn("a boat")
    assert "2 credits left" in message.content


async def test_reset_is_the_servers_default_with_a_clean_slate(world: World) -> None:
    await quota(world, "default", credits=8)
    await world.drawn("a boat")
    assert await world.refused("a boat --steps 60")
    await quota(world, "set", user=world.member, credits=1)
    assert "8" in await quota(world, "reset", user=world.member)
    message = await world.drawn("a boat")
    assert "4 credits left" in message.content


async def test_default_without_a_number_is_the_configurations(world: World) -> None:
    assert "3" in await quota(world, "default", credits=3)
    assert "Not enough" in await world.refused("a boat")
    assert "100" in await quota(world, "default")
    await world.imagine("a boat")


async def test_show_tells_what_is_spent_and_left(world: World) -> None:
    await world.drawn("a boat")
    said = await quota(world, "show", user=world.member)
    assert "96" in said
    assert "4 of them spent today" in said
    assert "not limited" in await quota(world, "show", user=world.moderator)


async def test_a_moderator_with_an_own_quota_is_limited(world: World) -> None:
    await quota(world, "set", user=world.moderator, credits=3)
    assert "Not enough credits" in await world.refused("a boat", by=world.moderator)


@pytest.mark.parametrize(("command", "options"), COMMANDS)
async def test_members_neither_see_nor_use_it(world: World, command: str, options: dict[str, Any]) -> None:
    options = {name: world.member if value == "member" else value for name, value in options.items()}
    with pytest.raises(SetupError, match="not visible"):
        await world.member.slash(world.channel, command, **options)
    # A server's owner may let everyone see a command; that makes nobody a moderator.
    registered = world.env.backend.find_command("quota", world.guild.id, type=1)
    assert registered is not None
    registered["default_member_permissions"] = None
    said = private(await world.member.slash(world.channel, command, **options))
    assert "Only moderators" in said
    assert await world.credits() == 100
    assert await log(world) == []


async def test_a_forged_command_in_a_direct_message_is_refused(world: World) -> None:
    registered = world.env.backend.find_command("quota", None, type=1)
    assert registered is not None
    registered["contexts"] = None
    registered["dm_permission"] = True
    said = private(await world.member.user.slash("quota default", credits=5))
    assert "in a server" in said
