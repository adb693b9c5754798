"""/moderate words: moderators say which words their server does not want."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError

from tests.bot.world import World, private

COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("add", {"word": "noodles"}),
    ("remove", {"word": "noodles"}),
    ("list", {}),
    ("default", {"use": False}),
]


async def words(world: World, command: str, *, by: MemberActor | None = None, **options: object) -> str:
    return private(await (by or world.moderator).slash(world.channel, f"moderate words {command}", **options))


async def test_a_word_is_blocked_and_allowed_again(world: World) -> None:
    assert "`red  paint`".replace("  ", " ") in await words(world, "add", word=" red   paint ")
    assert "red paint" in await world.refused("a boat of red-paint and R3D P41NT")
    assert "red paint" in await words(world, "list")
    assert "red paint" in await words(world, "remove", word="red paint")
    await world.imagine("a boat of red paint --n 1")


async def test_what_is_no_word_is_refused(world: World) -> None:
    assert await words(world, "add", word="?!*") == "A word needs a letter or a digit."
    assert "not on this server's list" in await words(world, "remove", word="noodles")


async def test_the_default_list_can_be_done_without(world: World) -> None:
    assert "lolicon" in await world.refused("lolicon")
    assert "does not count here" in await words(world, "default", use=False)
    await world.imagine("lolicon --n 1")
    assert "does not count here" in await words(world, "list")


async def test_a_long_list_comes_as_a_file(world: World) -> None:
    for number in range(200):
        await world.app.services.storage.blocked_words.add(
            world.guild.id, f"a rather long word {number:03}", by=1, at_most=300
        )
    result = await world.moderator.slash(world.channel, "moderate words list")
    assert result.response is not None
    [attachment] = result.response.message.attachments
    listed = world.env.backend.cdn.get(attachment.url)
    assert listed is not None
    assert listed.decode().splitlines() == [f"a rather long word {number:03}" for number in range(200)]
    assert "200 words are blocked" in private(result)


async def test_many_short_words_come_as_a_file_too(world: World) -> None:
    for number in range(300):
        await world.app.services.storage.blocked_words.add(world.guild.id, f"w{number:03}", by=1, at_most=300)
    assert "300 words are blocked" in await words(world, "list")


async def test_a_word_in_another_writing_is_the_same_word(world: World) -> None:
    await words(world, "add", word="Noodles")
    assert "`Noodles` already" in await words(world, "add", word="ＮＯＯＤＬＥＳ")
    assert "may hold" in await words(world, "remove", word="NOODLES")
    await world.imagine("noodles --n 1")


async def test_words_are_offered_to_moderators_alone(world: World) -> None:
    await words(world, "add", word="noodles")
    chief = world.guild.add_member(
        world.env.create_user("chief"),
        roles=[world.guild.create_role("Chiefs", permissions=discord.Permissions(administrator=True))],
    )
    for moderator in (world.moderator, chief):
        offered = await moderator.autocomplete(world.channel, "moderate words remove", "word", "noo")
        assert [choice["value"] for choice in offered] == ["noodles"]
    registered = world.env.backend.find_command("moderate", world.guild.id, type=1)
    assert registered is not None
    registered["default_member_permissions"] = None
    assert await world.member.autocomplete(world.channel, "moderate words remove", "word", "noo") == []


@pytest.mark.parametrize(("command", "options"), COMMANDS)
async def test_members_neither_see_nor_use_it(world: World, command: str, options: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match="not visible"):
        await words(world, command, by=world.member, **options)
    registered = world.env.backend.find_command("moderate", world.guild.id, type=1)
    assert registered is not None
    registered["default_member_permissions"] = None
    assert "Only moderators" in await words(world, command, by=world.member, **options)
    server = await world.app.services.storage.blocked_words.of(world.guild.id)
    assert (list(server.words), server.defaults) == ([], True)
    assert await world.app.services.storage.moderator_log.latest(world.guild.id, 5) == []


async def test_every_change_is_in_the_log(world: World) -> None:
    await words(world, "add", word="noodles")
    await words(world, "default", use=False)
    log = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    assert [(entry.action, entry.moderator_id, dict(entry.details)) for entry in log] == [
        ("words.default", world.moderator.id, {"used": False}),
        ("words.add", world.moderator.id, {"word": "noodles"}),
    ]
