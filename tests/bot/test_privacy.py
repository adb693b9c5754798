"""/privacy: a person is told what is kept about them, and may have it deleted; old buttons then answer plainly."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import discord
import pytest
from simcord.actors import MemberActor

from bot import personal_data
from bot.personal_data import DataTooLarge
from bot.retention import sweep
from generation.engine.protocol import Picture
from tests.bot.world import PATIENCE, World, buttons, custom_ids, labels, open_world, private

SOON = (0.1, *[0.5] * 1000)  # seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are removed soon, also those whose jobs take their time to be told."""
    monkeypatch.setattr(personal_data, "PAUSES", SOON)
    monkeypatch.setattr(personal_data, "BETWEEN_MESSAGES", 0.0)


async def told(world: World, by: MemberActor | None = None) -> dict[str, object]:
    """What /privacy show hands out."""
    result = await (by or world.member).slash(world.channel, "privacy show")
    [said] = [message for message in (result.response, *result.followups) if message is not None]
    assert said.ephemeral
    [attachment] = said.message.attachments
    assert attachment.filename == "limner-data.json"
    data: dict[str, object] = json.loads(world.bytes_of(said.message))
    return data


async def asked(world: World, by: MemberActor | None = None) -> discord.Message:
    """The question of /privacy delete."""
    result = await (by or world.member).slash(world.channel, "privacy delete")
    [said] = [message for message in (result.response, *result.followups) if message is not None]
    assert said.ephemeral
    return said.message


async def deleted(world: World, by: MemberActor | None = None) -> str:
    """Ask for it and confirm; what is said then."""
    person = by or world.member
    question = await asked(world, person)
    [button] = [button for button in buttons(question) if button.label == "Delete it all"]
    world.clock.ahead += 5
    await person.click(question, custom_id=str(button.custom_id))
    now = next(found for found in world.channel.history(viewer=person) if found.id == question.id)
    assert now.components == []
    return now.content


async def test_a_person_is_told_everything_that_is_kept(world: World) -> None:
    await world.drawn("a red boat --n 2 --seed 7")
    await world.drawn("a blue boat --n 1", by=world.stranger)
    data = await told(world)
    [job] = data["jobs"]
    assert (job["request"], job["status"]) == ("a red boat --seed 7 --n 2", "done")
    assert [image["recipe"]["seed"] for image in data["images"]] == [7, 8]
    assert "blue" not in json.dumps(data)


async def test_a_large_file_is_packed_and_one_that_no_message_holds_is_refused(world: World) -> None:
    await world.drawn("a red boat --n 1")
    await world.all_told()  # and so nothing moves between the two
    desk, user_id = world.app.services.personal_data, world.member.id
    whole = await desk.told(user_id, limit=10_000_000)
    packed = await desk.told(user_id, limit=len(whole.data) - 1)
    assert packed.name == "limner-data.json.gz"
    assert json.loads(gzip.decompress(packed.data))["jobs"] == json.loads(whole.data)["jobs"]
    with pytest.raises(DataTooLarge):
        await desk.told(user_id, limit=100)


async def test_nothing_is_deleted_without_a_yes(world: World) -> None:
    await world.drawn("a red boat --n 1")
    question = await asked(world)
    assert "What stays" in question.content
    assert labels(question) == ["Delete it all", "Keep it"]
    await world.member.click(question, custom_id=custom_ids(question)[1])
    assert len((await told(world))["images"]) == 1


async def test_deletion_takes_pictures_words_and_messages_and_leaves_those_of_others(world: World) -> None:
    grid = await world.drawn("a secret boat --n 2")
    await world.press(grid, "U1", by=world.stranger)
    await world.until(lambda: len(world.messages()) == 2 and world.messages()[1].attachments)
    varied = await world.finished((await world.press(grid, "V1", by=world.stranger)).response.message)
    await world.member.slash(world.channel, "settings", style="ink")
    credits = await world.credits()
    images = await world.app.services.storage.images.of_job(1)
    assert await deleted(world) == (
        "Deleted. Pictures: 2; orders that lost their words: 1; pictures that you brought: 0."
        " Your favourites and settings are gone too."
        " My messages that show them follow; where I may not delete, they stay."
    )
    # Its own message and the one with the picture that somebody took out; what was made of it is somebody else's.
    await world.until(lambda: [message.id for message in world.messages()] == [varied.id])
    data = await told(world)
    assert (data["images"], data["settings"]) == ([], {})
    assert "secret" not in json.dumps(data)
    for image in images:
        assert not await world.app.services.storage.files.exists(image.digest)
    assert await world.credits() == credits == 98
    assert "drawn here by" in private(await world.stranger.context_menu(world.channel, "Recipe", varied))


async def test_messages_go_soon_also_while_others_are_left_for_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "PAUSES", (0.1, 3600.0))
    await world.restart()  # which begins with a look at what an earlier run left, and goes on with the long pause
    await world.drawn("a secret boat --n 1")
    await world.all_told()  # what is not told yet is left for later
    await deleted(world)
    await world.until(lambda: not world.messages())


async def test_every_button_on_a_message_that_is_still_there_answers_in_one_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "PAUSES", (3600.0,))  # as where the bot may not delete messages
    await world.restart()
    grid = await world.drawn("a secret boat --n 2")
    single = await world.drawn("a secret boat --n 1")
    await deleted(world)
    for message in (grid, single):
        for button in buttons(message):
            world.clock.ahead += 5
            result = await world.stranger.click(message, custom_id=str(button.custom_id))
            said = [one for one in (result.response, *result.followups) if one is not None]
            assert len(said) == 1, button.label
            assert said[0].ephemeral, button.label
            assert "secret" not in said[0].content
            deletes = str(button.emoji) == "🗑️" and "Only the one who ordered it" in said[0].content
            assert deletes or "not here any more" in said[0].content, (button.label, button.emoji)
            assert result.modal is None
    assert (await world.app.services.storage.jobs.counts(world.stranger.id, world.guild.id)).queued == 0


async def test_menus_and_inspect_on_deleted_pictures_answer_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_data, "PAUSES", (3600.0,))
    await world.restart()
    grid = await world.drawn("a secret boat --n 2")
    single = await world.drawn("a secret boat --n 1")
    png = world.bytes_of(single)
    await deleted(world)
    for name in ("Recipe", "Vary", "Upscale"):
        for message in (grid, single):
            said = private(await world.stranger.context_menu(world.channel, name, message))
            assert "secret" not in said
    # The file itself still tells its recipe, as any file does that somebody else wrote.
    said = private(await world.stranger.slash(world.channel, "inspect", image=("picture.png", png)))
    assert said.startswith("This picture was not drawn here. What it tells of itself:")


async def test_what_was_made_from_a_deleted_picture_tells_of_no_ancestor(world: World) -> None:
    first = await world.drawn("a secret boat --n 1")
    result = await world.press(first, "Upscale (Subtle)", by=world.stranger)
    larger = await world.finished(result.response.message)
    await deleted(world)
    said = private(await world.stranger.context_menu(world.channel, "Recipe", larger))
    assert "It came from" not in said


async def test_what_waits_is_called_off_and_paid_back(tmp_path: Path) -> None:
    async with open_world(tmp_path, working=False) as world:
        await world.imagine("a secret boat --n 4")
        await world.imagine("another --n 4")
        assert await world.credits() == 92
        assert (await deleted(world)).startswith("Deleted. Pictures: 0; orders that lost their words: 2;")
        assert await world.credits() == 100
        assert await world.app.services.storage.jobs.waiting() == []


async def test_what_is_being_drawn_leaves_nothing(world: World) -> None:
    """Cancelled in the midst of it: the message says so, and goes then."""
    message = await world.imagine(f"a secret boat {world.held} --n 4")
    await world.begun(message)
    await deleted(world)
    await world.until(lambda: message.id not in [found.id for found in world.messages()])
    assert await world.credits() == 100
    assert (await told(world))["images"] == []


async def test_messages_that_were_not_removed_are_removed_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "PAUSES", (3600.0,))
    async with open_world(tmp_path) as world:
        message = await world.drawn("a secret boat --n 1")
        await world.all_told()
        await world.app.services.storage.personal_data.delete(world.member.id)
        assert message.id in [found.id for found in world.messages()]
        monkeypatch.setattr(personal_data, "PAUSES", SOON)
        await world.restart()
        await world.until(lambda: message.id not in [found.id for found in world.messages()])
        async with asyncio.timeout(PATIENCE):
            while await world.app.services.storage.personal_data.messages_left():  # noqa: ASYNC110 – nothing to wait on
                await asyncio.sleep(0.02)


async def test_the_end_of_a_job_that_nobody_was_told_of_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program stopped between the picture and its delivery, and the data was deleted meanwhile."""
    monkeypatch.setattr(personal_data, "PAUSES", (3600.0,))
    async with open_world(tmp_path, working=False) as world:
        message, jobs = await world.imagine("a secret boat --n 1"), world.app.services.storage.jobs
        await jobs.lease([1], worker="there/cpu", seconds=60)
        await jobs.finish(1, worker="there/cpu", pictures=[Picture(png=b"never shown", width=128, height=128)])
        await world.app.services.storage.personal_data.delete(world.member.id)
        await world.restart()
        await world.until(lambda: "the picture's file is not there any more" in world.now(message).content)
        assert "secret" not in world.now(message).content
        await world.all_told()
        assert len(await world.app.services.storage.personal_data.messages_left()) == 1


async def test_lists_go_over_bare_jobs(world: World) -> None:
    await world.drawn("a secret boat --n 1")
    await deleted(world)
    for person in (world.member, world.moderator):
        for command, options in (("queue", {}), ("info", {}), ("show", {"id": 1})):
            said = private(await person.slash(world.channel, command, **options))
            assert said
            assert "secret" not in said


async def test_nobody_deletes_for_somebody_else(world: World) -> None:
    """The button names nobody: whoever presses it deletes what is theirs."""
    await world.drawn("a red boat --n 1")
    await deleted(world, world.stranger)
    assert len((await told(world))["images"]) == 1


async def test_the_sweep_and_the_deletion_leave_a_bot_that_works(world: World) -> None:
    await world.drawn("a red boat --n 1")
    await deleted(world)
    await sweep(world.app.services.storage, world.app.services.config.retention)
    again = await world.drawn("a red boat --n 1")
    assert len(again.attachments) == 1
