"""Pictures that must not be seen: what people get in their place, and what moderators are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import discord
import pytest

from bot.app import open_app
from bot.config import load_config
from bot.message_routes import Destination
from generation.safety_labels import ClassifierUnusable
from tests.bot.world import QUICK, SETTINGS, World, labels, open_world, private, public

GUARDED = replace(QUICK, painter="tests.bot.guarded_painter:GuardedPainter")
SAFETY = """
[safety]
classifier = "generation/pocket/safety"
label = "cat"
action = "{action}"
age_restricted_action = "{age_restricted_action}"
"""


def settings(action: str = "block", age_restricted_action: str = "deliver") -> str:
    return SETTINGS + SAFETY.format(action=action, age_restricted_action=age_restricted_action)


def restrict(world: World, *, nsfw: bool = True) -> None:
    """Mark the channel as age-restricted, as the bot knows it: this Discord has no other way."""
    channel = world.app.client.get_channel(world.channel.id)
    assert isinstance(channel, discord.TextChannel)
    channel.nsfw = nsfw


async def failed(world: World, message: discord.Message) -> discord.Message:
    await world.until(lambda: "credit" in world.now(message).content and not labels(world.now(message)))
    return world.now(message)


async def watched(world: World, message: discord.Message, words: str) -> list[list[str]]:
    """The file names that the message shows until those words stand in it."""
    shown: list[list[str]] = []

    def over() -> bool:
        now = world.now(message)
        if words in now.content:
            return True
        shown.append([attachment.filename for attachment in now.attachments])
        return False

    await world.until(over, about=lambda: world.now(message).content)
    return shown


def kept(world: World) -> list[Path]:
    folder = world.folder / "files"
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_blocked_picture_is_nowhere_and_costs_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings(), engine_settings=GUARDED) as world:
        message = await world.imagine("an unwanted boat slow --n 2")
        shown = await watched(world, message, "not shown")
        end = world.now(message)
        assert "The picture is not shown: it looks like what is not wanted here." in end.content
        assert "2 credits" in end.content
        assert end.attachments == []
        assert not any(shown)  # nor was there a preview
        assert labels(end) == []
        assert await world.credits() == 100
        await world.all_told()
        assert kept(world) == []
        assert [said.id for said in world.messages()] == [message.id]

        await world.drawn("a boat")
        assert await world.credits() == 96


async def test_moderators_find_it_in_their_log_and_in_their_channel(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings(), engine_settings=GUARDED) as world:
        posts = world.guild.create_text_channel("notices")
        await world.moderator.slash(world.channel, "moderate log", post=posts)
        message = await world.imagine("an unwanted boat --n 1")
        await world.until(lambda: "not shown" in world.now(message).content)
        [entry] = await world.app.services.storage.moderator_log.latest(world.guild.id, 1)
        assert (entry.action, entry.target_id, entry.moderator_id) == ("safety.blocked", world.member.id, None)
        words = (
            f"Limner blocked the pictures of job {entry.details['job']}, ordered by {world.member.mention} in"
            f" {world.channel.mention} (score 0.9)"
        )
        await world.until(lambda: world.messages(posts))
        [post] = world.messages(posts)
        assert post.content == words
        assert words in private(await world.moderator.slash(world.channel, "moderate log"))


async def test_a_picture_goes_behind_a_spoiler_and_so_does_what_comes_of_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings("spoiler"), engine_settings=GUARDED) as world:
        message = await world.imagine("an unwanted boat slow --n 2")
        shown = await watched(world, message, "Done in")
        [grid] = world.now(message).attachments
        assert grid.is_spoiler()
        assert not any(shown)
        assert await world.credits() == 98

        [single] = public(await world.press(message, "U1")).attachments
        assert single.is_spoiler()

        plain = await world.drawn("a boat")
        assert not plain.attachments[0].is_spoiler()


async def test_an_age_restricted_channel_has_its_own_action(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings("block", "deliver"), engine_settings=GUARDED) as world:
        restrict(world)
        message = await world.imagine(f"an unwanted boat {world.held} --n 1")
        await world.until(lambda: world.now(message).attachments)  # previews too, for what they show may be seen here
        world.let_go()
        await world.finished(message)
        assert not world.now(message).attachments[0].is_spoiler()
        assert await world.app.services.storage.moderator_log.latest(world.guild.id, 1) == []


async def test_what_an_age_restricted_channel_alone_may_see_goes_nowhere_else(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings("block", "deliver"), engine_settings=GUARDED) as world:
        restrict(world)
        message = await world.drawn("an unwanted boat --n 2")
        job = await world.app.services.storage.jobs.get(1)
        assert job is not None
        write = await world.app.services.writer.ended(job, None, None)
        assert (await write(Destination(upload_limit=10**7))).picture is not None
        direct = await write(Destination(upload_limit=10**7, direct=True))
        assert direct.picture is None
        assert "in such channels alone" in direct.content
        restrict(world, nsfw=False)
        before = len(world.messages())
        assert "in such channels alone" in private(await world.press(message, "U1"))
        assert len(world.messages()) == before


async def test_what_nobody_looked_at_is_not_shown(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings("spoiler"), engine_settings=GUARDED) as world:
        message = await world.imagine("an unseen boat --n 1")
        await world.until(lambda: "could not be looked at" in world.now(message).content)
        assert world.now(message).attachments == []
        assert await world.credits() == 100
        assert kept(world) == []


async def test_a_restart_between_block_and_telling_tells_it_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=settings(), engine_settings=GUARDED) as world:
        message = await world.imagine("an unwanted boat slow slow --n 1")
        await world.restart()
        await world.until(lambda: "not shown" in world.now(message).content)
        await world.all_told()
        entries = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
        assert [entry.action for entry in entries] == ["safety.blocked"]
        assert await world.credits() == 100


@pytest.mark.parametrize(
    ("classifier", "label", "reason"),
    [
        ("./nothing", "cat", "there is no such folder"),
        ("generation/pocket/safety", "nsfw", "it tells apart cat, other, but knows no nsfw"),
        ("generation/pocket/loras", "cat", "there is no config.json in it"),
    ],
)
async def test_a_classifier_that_cannot_be_used_stops_the_start(
    tmp_path: Path, classifier: str, label: str, reason: str
) -> None:
    text = SETTINGS + f'\n[safety]\nclassifier = "{classifier}"\nlabel = "{label}"\n'
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ClassifierUnusable) as refused:
        async with open_app(load_config(tmp_path / "config.toml")):
            pass
    assert refused.value.fields["reason"] == reason
