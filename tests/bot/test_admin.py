"""/admin: what the bot's owner can do, and that nobody else can."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simcord.actors import MemberActor

from bot.commands.admin import MESSAGE_LENGTH, packed
from bot.config import PROGRAM_FOLDER
from bot.owners import KNOWN_SECONDS
from generation.job import JobStatus
from tests.bot.world import SETTINGS, World, open_world, private

COMMANDS = ("status", "drain", "resume", "reload")
FILES = 'styles = "styles.toml"\nlora_folders = ["loras"]\n'
INK = '[ink]\ntemplate = "ink drawing of {prompt}"\ndescription = "Ink"\n'
FOG = '[fog]\ntemplate = "{prompt} in fog"\ndescription = "Fog"\n'


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The bot at work, with files of its own; the member owns it."""
    (tmp_path / "styles.toml").write_text(INK)
    (tmp_path / "loras").mkdir()
    shutil.copy(PROGRAM_FOLDER / "generation/pocket/loras/neon.safetensors", tmp_path / "loras")
    async with open_world(tmp_path, settings=SETTINGS.replace("[generation]\n", f"[generation]\n{FILES}")) as opened:
        belong_to(opened, opened.member)
        yield opened


def user(of: MemberActor) -> dict[str, Any]:
    return {"id": str(of.id), "username": "somebody", "discriminator": "0", "avatar": None}


def application(owner: dict[str, Any], team: dict[str, Any] | None = None) -> dict[str, Any]:
    """As Discord answers: https://docs.discord.com/developers/resources/application"""
    return {
        "id": "1",
        "name": "Limner",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": owner,
        "team": team,
        "flags": 0,
    }


def belong_to(world: World, owner: MemberActor) -> None:
    """simcord says that bots own themselves."""
    answer_with(world, application(user(owner)))


def belong_to_team(world: World, members: Iterable[tuple[MemberActor, str, int]], *, owner: int) -> None:
    """Of a team Discord says that it is itself the application's owner, as a user that nobody is."""
    team = {
        "id": "2",
        "name": "Painters",
        "icon": None,
        "owner_user_id": str(owner),
        "members": [
            {"membership_state": state, "team_id": "2", "role": role, "user": user(member), "permissions": ["*"]}
            for member, role, state in members
        ],
    }
    answer_with(world, application({"id": "2", "username": "team2", "discriminator": "0", "avatar": None}, team))


def answer_with(world: World, answer: dict[str, Any]) -> None:
    async def application_info() -> dict[str, Any]:
        return answer

    world.app.client.http.application_info = application_info


async def admin(world: World, command: str, *, by: MemberActor | None = None) -> str:
    """In a direct message, where Discord shows it to everyone."""
    return private(await (by or world.member).user.slash(f"admin {command}"))


async def refused(world: World, by: MemberActor) -> bool:
    world.clock.ahead += KNOWN_SECONDS + 1  # what was known of owners is asked anew
    return await admin(world, "status", by=by) == "Only the owner of this bot may do that."


@pytest.mark.parametrize("command", COMMANDS)
async def test_everybody_else_is_refused_whatever_they_may_do_in_their_server(world: World, command: str) -> None:
    boss = world.guild.create_role("Bosses", permissions=discord.Permissions(administrator=True))
    administrator = world.guild.add_member(world.env.create_user("al"), roles=[boss])
    told = [await admin(world, command, by=world.stranger), await admin(world, command, by=world.moderator)]
    told.append(private(await administrator.slash(world.channel, f"admin {command}")))
    assert set(told) == {"Only the owner of this bot may do that."}
    assert not world.app.services.dispatcher.draining


async def test_discord_shows_it_to_administrators_alone(world: World) -> None:
    command = world.app.client.tree.get_command("admin")
    assert command is not None
    spoken = command.to_dict(world.app.client.tree)
    assert int(spoken["default_member_permissions"]) == discord.Permissions(administrator=True).value
    assert {option["name"] for option in spoken["options"]} == set(COMMANDS)


async def test_those_of_a_team_who_act_for_it_are_owners(world: World) -> None:
    people = [world.guild.add_member(world.env.create_user(name)) for name in ("ida", "jo", "kim", "lea")]
    ida, jo, kim, lea = people
    invited, accepted = 1, 2
    roles = [
        (ida, "admin", accepted),
        (jo, "developer", accepted),
        (kim, "read_only", accepted),
        (lea, "admin", invited),
    ]
    belong_to_team(world, roles, owner=world.stranger.id)
    assert not await refused(world, world.stranger)
    assert [await refused(world, person) for person in people] == [False, False, True, True]
    assert await refused(world, world.member)


async def test_who_was_an_owner_is_one_no_longer_after_a_while(world: World) -> None:
    assert not await refused(world, world.member)
    belong_to(world, world.stranger)
    assert await refused(world, world.member)
    assert not await refused(world, world.stranger)


async def test_nobody_is_the_owner_while_discord_does_not_say(world: World) -> None:
    del world.app.client.http.application_info
    world.env.inject_error("GET", "/oauth2/applications/@me", status=500, times=5)
    assert await admin(world, "drain") == "Discord does not say now who owns this bot. Try again in a minute."
    assert not world.app.services.dispatcher.draining


async def test_the_owner_sees_how_it_stands(world: World) -> None:
    message = await world.imagine(f"{world.held} boat --n 1 --steps 20")
    await world.begun(message)
    told = await admin(world, "status")
    assert "Connected to Discord; servers: 1." in told
    assert "Waiting: 0 fast and 0 relaxed jobs, of which 0 are paused. Being drawn: 1." in told
    [worker] = world.app.engine.workers()
    assert f"`{worker.name}`: drawing · `{worker.device}`" in told
    assert "GB." in told
    assert "Drained" not in told
    world.let_go()
    await world.finished(message)


async def test_a_drained_bot_takes_orders_ends_what_it_draws_and_starts_nothing(world: World) -> None:
    drawing = await world.imagine(f"{world.held} boat --n 1 --steps 10")
    await world.begun(drawing)
    assert "Jobs being drawn now: 1." in await admin(world, "drain")
    waiting = await world.imagine("tower --n 1 --steps 2")
    assert "paused" in world.now(waiting).content
    world.let_go()
    await world.finished(drawing)
    await asyncio.sleep(0.3)
    assert (world.app.services.dispatcher.running(), world.app.services.dispatcher.depth()) == (0, 1)
    told = await admin(world, "status")
    assert "Drained" in told
    assert "Waiting: 1 fast and 0 relaxed jobs, of which 1 are paused. Being drawn: 0." in told
    assert "Jobs that wait: 1." in await admin(world, "resume")
    await world.finished(waiting)


async def test_a_drained_bot_draws_again_after_a_restart(world: World) -> None:
    await admin(world, "drain")
    waiting = await world.imagine("tower --n 1 --steps 2")
    await world.restart()
    await world.finished(waiting)


async def test_styles_and_loras_are_read_anew_while_jobs_run(world: World) -> None:
    drawing = await world.imagine(f"{world.held} boat --n 1 --steps 10 --style ink --lora neon")
    await world.begun(drawing)
    (world.folder / "styles.toml").write_text(FOG)
    shutil.copy(PROGRAM_FOLDER / "generation/pocket/loras/blueprint.safetensors", world.folder / "loras")
    (world.folder / "loras" / "broken.safetensors").write_bytes(b"not at all")
    assert "There is no style `fog`." in await world.refused("boat --style fog")

    told = await admin(world, "reload")
    assert "1 style · new: `fog` · gone: `ink`" in told
    assert "2 LoRAs · new: `blueprint`" in told
    assert "Left out: `broken`" in told
    world.let_go()
    await world.finished(drawing)
    again = await world.drawn("boat --n 1 --steps 2 --style fog --lora blueprint")
    job = await world.app.services.storage.jobs.get(2)
    assert job is not None
    recipe = job.recipes[0]
    assert (job.style, recipe.prompt, recipe.loras[0].name) == ("fog", "blueprint, boat in fog", "blueprint")
    assert "There is no style `ink`." in await world.refused("boat --style ink")
    suggested = await world.member.autocomplete(world.channel, "imagine", "style", "")
    assert "fog" in str(suggested)
    assert "ink" not in str(suggested)
    assert again.attachments


async def test_what_many_files_bring_is_told_in_several_messages(world: World) -> None:
    header = (world.folder / "loras" / "neon.safetensors").read_bytes()
    names = [f"{'a-lora-with-quite-a-long-name-'}{number:03}" for number in range(40)]
    for name in names:
        (world.folder / "loras" / f"{name}.safetensors").write_bytes(header)
        (world.folder / "loras" / f"broken-{name}.safetensors").write_bytes(b"not at all")
    (world.folder / "styles.toml").write_text("".join(FOG.replace("fog", name) for name in names))
    answer = await world.member.user.slash("admin reload")
    told = [message.content for message in (answer.response, *answer.followups) if message is not None]
    text = "\n".join(told)
    assert all(len(message) <= 2000 for message in told)
    for count in ("40 styles", "41 LoRAs", "and 28 more", "Left out as well: 35 more"):
        assert count in text


@given(st.lists(st.text(st.characters(exclude_characters="\n"), min_size=1, max_size=MESSAGE_LENGTH), max_size=9))
def test_lines_are_packed_in_order_and_fit(lines: list[str]) -> None:
    texts = packed(lines)
    assert "\n".join(texts) == "\n".join(lines)
    assert all(len(text) <= MESSAGE_LENGTH for text in texts)


async def test_a_job_whose_lora_has_gone_fails_with_its_credits_back(world: World) -> None:
    await admin(world, "drain")
    waiting = await world.imagine("boat --n 1 --steps 20 --lora neon")
    assert await world.credits() == 99
    (world.folder / "loras" / "neon.safetensors").unlink()
    assert "gone: `neon`" in await admin(world, "reload")
    await admin(world, "resume")
    await world.until(lambda: "given back" in world.now(waiting).content, about=lambda: world.now(waiting).content)
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    assert job.status is JobStatus.FAILED
    assert await world.credits() == 100


async def test_a_mistake_in_the_styles_is_told_and_changes_nothing(world: World) -> None:
    (world.folder / "styles.toml").write_text("[fog]\n")
    told = await admin(world, "reload")
    assert "styles.toml, style `fog`: template must hold {prompt} once" in told
    await world.drawn("boat --n 1 --steps 2 --style ink")
