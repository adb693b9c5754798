"""Calls to Discord that fail: which there are, and that none of them loses anything."""

from __future__ import annotations

import ast
import inspect
import random
from collections.abc import Iterator
from pathlib import Path

import discord
import pytest
from discord import app_commands
from discord.http import HTTPClient

from bot.config import PROGRAM_FOLDER
from bot.drills import calls
from bot.drills.discord_server import CALLS
from bot.drills.house import open_house
from bot.drills.people import People
from bot.drills.settled import settled
from tests.drills.well import assert_well

# Methods of discord.py by which we call Discord, and the calls of the drills' server that they come to.
METHODS = {
    "send_message": "answer",
    "defer": "answer",
    "send_modal": "answer",
    "edit_message": "answer",
    "edit_original_response": "edit_answer",
    "original_response": "get_answer",
    "delete_original_response": "delete_answer",
    "send": "send",  # of a channel; of a followup it is `follow_up`
    "fetch_message": "read",
    "edit": "edit",
    "delete": "delete",
    "create_dm": "open_direct",
    "login": "who_am_i",
    "application_info": "application",
    "fetch_commands": "commands",
    "sync": "sync_commands",
    "get_bot_gateway": "gateway",
    "launch_shards": "gateway",
    "connect": "gateway",
}
CLASSES = (
    discord.Client,
    discord.AutoShardedClient,
    discord.Interaction,
    discord.InteractionResponse,
    discord.InteractionMessage,
    discord.Webhook,
    discord.Message,
    discord.PartialMessage,
    discord.TextChannel,
    discord.User,
    discord.Member,
    discord.Guild,
    discord.Attachment,
    app_commands.CommandTree,
    HTTPClient,
)
# Coroutines of those classes that call nobody.
QUIET = {"wait_until_ready", "setup_hook", "close", "set_translator", "on_error", "start", "wait_for"}
# Names that are methods of our own there.
OURS = {
    ("ban", "bot/commands/moderate_bans.py"),
    ("unban", "bot/commands/moderate_bans.py"),
    ("fetch", "bot/inspecting.py"),
    ("fetch", "bot/uploads.py"),
    ("read", "bot/status.py"),
}


def awaited_methods() -> Iterator[tuple[str, str]]:
    """Each `await something.method(…)` in the bot's own code, with where it stands."""
    for path in sorted((PROGRAM_FOLDER / "bot").rglob("*.py")):
        relative = path.relative_to(PROGRAM_FOLDER).as_posix()
        if "drills" in relative or "bench" in relative or "demo" in relative:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Await(value=ast.Call(func=ast.Attribute(attr=name))):
                    yield name, relative


def test_the_drills_know_every_call_that_the_bot_makes() -> None:
    of_discord = {
        name
        for kind in CLASSES
        for name, member in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    unknown = {
        (name, where)
        for name, where in awaited_methods()
        if name in of_discord and name not in METHODS and name not in QUIET
    }
    assert unknown - OURS == set()
    assert set(METHODS.values()) <= set(CALLS)


def test_every_call_of_an_order_or_a_start_is_drilled() -> None:
    drilled = {way.call for way in calls.WAYS} | set(calls.AT_THE_START) | {"delete"}
    # These only take back or look up: they fail in the storm, where everything does.
    assert set(CALLS) - drilled == {"get_answer", "delete_answer", "read"}


async def test_an_order_finds_its_person_whatever_call_fails(tmp_path: Path) -> None:
    verdict = await calls.on_the_way(tmp_path / "house")
    assert_well(verdict)
    assert verdict.figures["calls_failed"] >= len(calls.WAYS) * len(calls.FAILURES)
    assert verdict.failed == 0


async def test_a_picture_is_deleted_whatever_happens_to_its_message(tmp_path: Path) -> None:
    failures = tuple(failure for failure in calls.FAILURES if failure != 500)  # half a minute: see the bench
    verdict = await calls.of_a_deletion(tmp_path / "house", failures=failures)
    assert_well(verdict)
    assert verdict.figures["calls_failed"] >= len(failures)


async def test_nothing_is_lost_while_any_call_may_fail(tmp_path: Path) -> None:
    verdict = await calls.storm(tmp_path / "house", seconds=6, share=0.2)
    assert_well(verdict)
    assert verdict.figures["calls_failed"]


@pytest.mark.crash
async def test_a_start_that_fails_says_why_and_the_next_one_succeeds(tmp_path: Path) -> None:
    which = ("commands", "gateway")
    verdict = await calls.at_the_start(tmp_path / "house", which=which, failures=(403,))
    assert (verdict.lost, verdict.details) == (0, [])
    assert verdict.figures["calls_failed"] == len(which)


async def test_a_limit_below_what_discord_said_makes_a_smaller_picture(tmp_path: Path) -> None:
    async with open_house(tmp_path / "house") as house:
        await house.started()
        house.discord.upload_limit = 100_000
        people = People(house.discord, random.Random(0), count=1)
        await people.order("noise --n 4 --steps 2")
        assert_well(await settled(house))
        (message,) = house.discord.state.public()
        assert "smaller copy" in message.content
        assert house.discord.state.failed
