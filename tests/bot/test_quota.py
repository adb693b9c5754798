"""/quota: moderators decide, Discord hides it from others, and the bot asks again."""

from __future__ import annotations

from typing import Any

import pytest
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError

from tests.bot.world import MODERATOR, World, private

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("quota show", {"user": "member"}),
    ("quota set", {"user": "member", "credits": 5}),
    ("quota grant", {"user": "member", "credits": 5}),
    ("quota reset", {"user": "member"}),
    ("quota default", {"credits": 5}),
    ("quota role", {"role": "role", "credits": 5}),
    ("quota list", {}),
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
    things = {"member": world.member, "role": world.guild.create_role("Patrons")}
    options = {name: things.get(value, value) for name, value in options.items()}
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


async def test_the_best_of_the_roles_counts_unless_a_member_has_their_own(world: World) -> None:
    patrons, painters = world.guild.create_role("Patrons"), world.guild.create_role("Painters")
    eve = world.guild.add_member(world.env.create_user("eve"), roles=[patrons, painters])
    await quota(world, "default", credits=1)
    await quota(world, "role", role=patrons, credits=2)
    assert "3" in await quota(world, "role", role=painters, credits=3)
    assert "Not enough credits" in await world.refused("a boat --n 4", by=eve)
    assert "0 credits left" in (await world.drawn("a boat --n 3", by=eve)).content
    assert "Not enough credits" in await world.refused("a boat --n 2"), "others have the server's default"
    assert "0 credits: 3 a day" in await quota(world, "show", user=eve)
    await quota(world, "set", user=eve, credits=1)
    assert "0 credits left" in (await world.drawn("a boat --n 1", by=eve)).content
    assert ("quota.role", painters.id, {"credits": 3}) in await log(world)


async def test_a_role_without_credits_counts_no_more(world: World) -> None:
    patrons = world.guild.create_role("Patrons")
    eve = world.guild.add_member(world.env.create_user("eve"), roles=[patrons])
    await quota(world, "role", role=patrons, credits=0)
    assert "Not enough credits" in await world.refused("a boat", by=eve)
    await quota(world, "role", role=patrons)
    assert "96 credits left" in (await world.drawn("a boat", by=eve)).content


async def test_the_list_has_all_that_was_set(world: World) -> None:
    patrons = world.guild.create_role("Patrons")
    await quota(world, "default", credits=7)
    await quota(world, "role", role=patrons, credits=50)
    await quota(world, "set", user=world.member, credits=4)
    assert await quota(world, "list") == (
        f"Everyone else: 7 credits a day\n<@&{patrons.id}>: 50 credits a day\n{world.member.mention}: 4 credits a day"
    )


async def test_a_long_list_has_pages(world: World) -> None:
    credits = world.app.services.storage.credits
    for number in range(45):
        await credits.set_allowance(10**18 + number, world.guild.id, number)
    assert (await quota(world, "list")).endswith(f"<@{10**18 + 39}>: 39 credits a day\nPage 1 of 2")
    assert (await quota(world, "list", page=9)).startswith(f"<@{10**18 + 40}>: 40 credits a day")


async def test_everyones_role_is_the_default(world: World) -> None:
    said = await quota(world, "role", role=world.guild.default_role, credits=3)
    assert "`/quota default`" in said
    assert await log(world) == []


async def test_what_another_server_set_counts_there_alone(world: World) -> None:
    elsewhere = world.env.create_guild("Orchard")
    boss = elsewhere.add_member(world.moderator.user, roles=[elsewhere.create_role("Mods", permissions=MODERATOR)])
    there = elsewhere.create_text_channel("pictures")
    for command, options in (("set", {"user": boss, "credits": 1}), ("default", {"credits": 0})):
        private(await boss.slash(there, f"quota {command}", **options))
    assert "96 credits left" in (await world.drawn("a boat")).content
    assert await quota(world, "list") == "Everyone else: 100 credits a day"
