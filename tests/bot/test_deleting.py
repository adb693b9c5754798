"""🗑 and Remove: who may, what is asked, and that nothing of a deleted picture is left anywhere."""

from __future__ import annotations

import asyncio

import discord
import pytest
from simcord.actors import MemberActor
from simcord.results import InteractionResult

from generation.job import JobStatus
from storage.images import Image
from tests.bot.world import PATIENCE, World, buttons, custom_ids, labels, private, public

GRID = ["U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4", "📋", "🗑️"]


def told(result: InteractionResult) -> discord.Message:
    """The answer that only the person saw, as a message."""
    private(result)
    (said,) = [message for message in (result.response, *result.followups) if message is not None]
    return said.message


async def answer(world: World, question: discord.Message, label: str, *, by: MemberActor | None = None) -> str:
    """Press a button of a question; what stands in its place then, or what the presser is told beside it."""
    world.clock.ahead += 3
    result = await (by or world.member).click(question, label=label)
    if result.followups:
        return result.followups[0].content
    found = [message for message in world.channel.history(viewer=by or world.member) if message.id == question.id]
    return found[0].content


async def delete(world: World, message: discord.Message, *, by: MemberActor | None = None) -> str:
    """Press 🗑 under a message, and say yes."""
    return await answer(world, told(await world.press(message, "🗑️", by=by)), "Delete", by=by)


async def images_of(world: World, job_id: int) -> list[Image]:
    return list(await world.app.services.storage.images.of_job(job_id))


def stands(world: World, message: discord.Message) -> bool:
    return message.id in {found.id for found in world.messages()}


async def picked(world: World, grid: discord.Message, label: str, *, by: MemberActor | None = None) -> discord.Message:
    message = public(await world.press(grid, label, by=by))
    await world.until(lambda: world.now(message).attachments)
    return world.now(message)


async def remembered(world: World, job_id: int, count: int) -> None:
    """Wait until so many messages with pictures of the job are known."""
    async with asyncio.timeout(PATIENCE):
        while len(await world.app.services.storage.showings.of_job(job_id)) != count:  # noqa: ASYNC110 – nothing to wait on
            await asyncio.sleep(0.02)


async def test_the_owner_is_asked_and_then_nothing_is_left_of_the_picture(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    (image,) = await images_of(world, 1)
    question = told(await world.press(message, "🗑️"))
    assert "Delete this picture for good" in question.content
    assert labels(question) == ["Delete", "Keep"]
    assert await images_of(world, 1) == [image]

    assert await answer(world, question, "Delete") == "The picture is deleted."
    assert await images_of(world, 1) == []
    assert not await world.app.services.storage.files.exists(image.digest)
    assert not stands(world, message)
    assert list((world.folder / "files").rglob(image.digest)) == []
    assert await world.app.services.storage.moderator_log.latest(world.guild.id, 5) == []
    assert await world.credits() == 99


async def test_keep_keeps(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    assert "Nothing was deleted" in await answer(world, told(await world.press(message, "🗑️")), "Keep")
    assert len(await images_of(world, 1)) == 1
    assert stands(world, message)


async def test_strangers_may_not_delete_and_moderators_may(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    assert "Only the one who ordered it" in private(await world.press(message, "🗑️", by=world.stranger))
    assert await delete(world, message, by=world.moderator) == "The picture is deleted."
    assert not stands(world, message)
    (entry,) = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    assert (entry.action, entry.moderator_id, entry.target_id) == (
        "picture.delete",
        world.moderator.id,
        world.member.id,
    )


async def test_who_picked_a_picture_does_not_own_it(world: World) -> None:
    grid = await world.drawn("a boat")
    message = await picked(world, grid, "U2", by=world.stranger)
    assert "Only the one who ordered it" in private(await world.press(message, "🗑️", by=world.stranger))


async def test_one_picture_of_a_grid_goes_from_all_messages_that_show_it(world: World) -> None:
    grid = await world.drawn("a boat")
    await world.all_told()
    before = world.bytes_of(grid)
    mine, theirs = await picked(world, grid, "U2"), await picked(world, grid, "U2", by=world.stranger)
    other = await picked(world, grid, "U3", by=world.stranger)
    await remembered(world, 1, 4)
    assert await delete(world, mine) == "The picture is deleted."
    assert [stands(world, message) for message in (mine, theirs, other, grid)] == [False, False, True, True]
    assert labels(world.now(grid)) == ["U1", "U3", "U4", "🔄", "V1", "V3", "V4", "📋", "🗑️"]
    assert world.bytes_of(world.now(grid)) != before
    assert [image.index for image in await images_of(world, 1)] == [0, 2, 3]
    # What is left can still be used, by its number.
    assert "picture 3" in (await picked(world, grid, "U3")).content


async def test_the_last_picture_of_a_grid_takes_its_message_along(world: World) -> None:
    grid = await world.drawn("a boat --n 2")
    await world.all_told()
    one, two = await picked(world, grid, "U1"), await picked(world, grid, "U2")
    await remembered(world, 1, 3)
    await delete(world, one)
    assert labels(world.now(grid))[:2] == ["Upscale (Subtle)", "Upscale (Creative)"]  # one picture is left in it
    await delete(world, two)
    assert not stands(world, grid)


async def test_all_of_a_grid_can_be_deleted_at_once(world: World) -> None:
    grid = await world.drawn("a boat")
    assert labels(grid) == GRID
    await world.all_told()
    one = await picked(world, grid, "U1", by=world.stranger)
    await remembered(world, 1, 2)
    question = told(await world.press(grid, "🗑️"))
    assert "all 4 pictures" in question.content
    assert await answer(world, question, "Delete") == "4 pictures are deleted."
    assert not stands(world, grid)
    assert not stands(world, one)
    assert [file for file in (world.folder / "files").rglob("*") if file.is_file()] == []


async def test_what_was_made_from_it_lives_on(world: World) -> None:
    first = await world.drawn("a boat --n 1")
    second = await world.finished(public(await world.press(first, "Vary (Subtle)", by=world.stranger)))
    await world.all_told()
    await delete(world, first)
    made = await images_of(world, 2)
    assert len(made) == 4
    assert {image.parent_image_id for image in made} == {None}
    assert "Drawn here" not in private(await world.press(second, "📋"))  # of a grid, the first is told of
    await picked(world, second, "U1")
    assert "began with is not here any more" in private(await world.press(second, "🔄", by=world.stranger))


async def test_a_double_press_deletes_once(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    question = told(await world.press(message, "🗑️"))
    world.clock.stopped_at = world.clock.monotonic() + 10
    await world.member.click(question, label="Delete")
    stale = {"components": [row.to_dict() for row in question.components]}
    world.env.backend.edit_message(world.channel.id, question.id, stale)
    again = await world.member.click(question, label="Delete")
    assert [said.content for said in (again.response, *again.followups) if said] == [
        "You pressed that button twice. It counts once."
    ]
    world.clock.stopped_at, world.clock.ahead = None, world.clock.ahead + 20
    assert "not here any more" in await answer(world, question, "Delete")


async def test_a_message_that_is_gone_already_is_no_trouble(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    question = told(await world.press(message, "🗑️"))
    await message.delete()
    assert await answer(world, question, "Delete") == "The picture is deleted."


async def test_where_the_message_cannot_be_removed_it_is_said_and_can_be_done_later(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    await world.all_told()
    question = told(await world.press(message, "🗑️"))
    world.env.inject_error("DELETE", "/channels/*/messages/*", status=403, code=50001)
    said = await answer(world, question, "Delete")
    assert "The picture is deleted." in said
    assert "I could not remove" in said
    assert await images_of(world, 1) == []
    # The picture's own button knows no owner any more; a moderator can still take the message away.
    assert "not here any more" in private(await world.press(message, "🗑️"))
    asked = told(await world.moderator.context_menu(world.channel, "Remove", message))
    assert "nothing is kept" in asked.content
    assert "The message is gone" in await answer(world, asked, "Delete", by=world.moderator)
    assert not stands(world, message)
    log = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    assert [entry.action for entry in log] == ["picture.remove"]


async def test_a_message_that_nobody_remembered_goes_too_when_its_own_button_is_pressed(world: World) -> None:
    grid = await world.drawn("a boat --n 2")
    await world.all_told()
    message = await picked(world, grid, "U1")
    await remembered(world, 1, 2)
    await world.app.services.storage.showings.forget(message.id)  # as those of an older version
    assert await delete(world, message) == "The picture is deleted."
    assert not stands(world, message)
    assert stands(world, grid)


async def test_where_a_grid_cannot_be_changed_it_is_said(world: World) -> None:
    grid = await world.drawn("a boat --n 3")
    await world.all_told()
    message = await picked(world, grid, "U1")
    await remembered(world, 1, 2)
    question = told(await world.press(message, "🗑️"))
    world.env.inject_error("PATCH", f"/channels/{world.channel.id}/messages/{grid.id}", status=403, code=50001)
    assert "I could not remove" in await answer(world, question, "Delete")
    assert not stands(world, message)
    assert labels(world.now(grid)) == ["U1", "U2", "U3", "🔄", "V1", "V2", "V3", "📋", "🗑️"]
    assert "not here any more" in private(await world.press(grid, "U1"))
    # The next deletion makes up for it.
    await delete(world, await picked(world, grid, "U2"))
    assert not {"U1", "U2"} & set(labels(world.now(grid)))


async def test_a_grid_of_which_nothing_is_left_can_still_be_taken_away_by_its_owner(world: World) -> None:
    grid = await world.drawn("a boat --n 2")
    await world.all_told()
    await world.app.services.storage.deletion.delete_images([1, 2], by=world.member.id)
    for label in ("U1", "V2", "📋"):
        assert "not here any more" in private(await world.press(grid, label))
    assert "Only the one who ordered it" in private(await world.press(grid, "🗑️", by=world.stranger))
    question = told(await world.press(grid, "🗑️"))
    assert "nothing is kept" in question.content
    assert "The message is gone" in await answer(world, question, "Delete")
    assert not stands(world, grid)


async def test_a_picture_with_the_same_bytes_keeps_its_file(world: World) -> None:
    first = await world.drawn("a boat --n 1 --seed 7")
    second = await world.drawn("a boat --n 1 --seed 7", by=world.stranger)
    await world.all_told()
    (one,), (other,) = await images_of(world, 1), await images_of(world, 2)
    assert one.digest == other.digest
    await delete(world, first)
    assert stands(world, second)
    await world.finished(public(await world.press(second, "Vary (Subtle)", by=world.stranger)))
    await delete(world, second, by=world.stranger)
    assert not await world.app.services.storage.files.exists(other.digest)


async def test_after_a_restart_question_and_buttons_still_work(world: World) -> None:
    grid = await world.drawn("a boat --n 2")
    await world.all_told()
    question = told(await world.press(grid, "🗑️"))
    await world.restart()
    assert await answer(world, question, "Delete") == "2 pictures are deleted."
    assert not stands(world, grid)


async def forge(world: World, custom_id: str, *, by: MemberActor | None = None) -> tuple[discord.Message, str]:
    """Press a button that somebody made up; the message that it stood in, and what was said."""
    channel = world.app.client.get_partial_messageable(world.channel.id, guild_id=world.guild.id)
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="forged", custom_id=custom_id))
    message = await channel.send("look", view=view)
    world.clock.ahead += 3
    result = await (by or world.member).click(message, custom_id=custom_id)
    said = [answer.content for answer in (result.response, *result.followups) if answer is not None]
    return message, said[-1] if said else world.now(message).content


@pytest.mark.parametrize(
    "action", ["delete_picture_now:1:{}", "delete_job_now:1:{}", "delete_picture:1", "delete_job:1"]
)
async def test_a_forged_yes_of_a_stranger_is_refused(world: World, action: str) -> None:
    message = await world.drawn("a boat --n 1")
    _, said = await forge(world, f"limner:{action.format(message.id)}", by=world.stranger)
    assert "Only the one who ordered it" in said
    assert len(await images_of(world, 1)) == 1


async def test_a_forged_yes_of_the_owner_takes_no_other_message_along(world: World) -> None:
    own = await world.drawn("a boat --n 1")
    others = await world.drawn("a house --n 1", by=world.stranger)
    note = await world.stranger.send(world.channel, "nothing to do with it")
    await world.all_told()
    for victim in (others, note):
        await forge(world, f"limner:delete_picture_now:1:{victim.id}")
        assert stands(world, victim)
    assert not stands(world, own)
    assert len(await images_of(world, 2)) == 1


async def test_a_forged_removal_is_for_moderators_and_for_messages_of_ours(world: World) -> None:
    picture = await world.drawn("a boat --n 1")
    note = await world.stranger.send(world.channel, "mine")
    assert "Only moderators" in (await forge(world, f"limner:remove_now:{picture.id}"))[1]
    assert "no message of mine" in (await forge(world, f"limner:remove_now:{note.id}", by=world.moderator))[1]
    assert "no message of mine" in (await forge(world, "limner:remove_now:5", by=world.moderator))[1]
    assert stands(world, picture)
    assert stands(world, note)


async def test_where_the_bot_may_not_read_a_removal_says_so(world: World) -> None:
    picture = await world.drawn("a boat --n 1")
    path = f"/channels/{world.channel.id}/messages/{picture.id}"
    world.env.inject_error("GET", path, status=403, code=50001, times=None)
    said = (await forge(world, f"limner:remove_now:{picture.id}", by=world.moderator))[1]
    assert "Read Message History" in said
    assert stands(world, picture)


@pytest.mark.parametrize(
    ("custom_id", "said"),
    [
        ("limner:delete_picture:999", "not here any more"),
        ("limner:delete_job:999", "not here any more"),
        ("limner:favourite:999", "not here any more"),
        ("limner:recipe:999", "not here any more"),
        ("limner:delete_picture_now:999:1", "not here any more"),
        ("limner:delete_picture_now:1", "another version"),
        ("limner:delete_picture:1:1", "another version"),
        ("limner:remove_now:-1", "another version"),
        ("limner:keep:1", "another version"),
    ],
)
async def test_made_up_ids_get_one_sentence(world: World, custom_id: str, said: str) -> None:
    assert said in (await forge(world, custom_id))[1]
    assert world.env.errors == []


async def test_a_moderator_of_another_server_may_not(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    mods = elsewhere.create_role("Mods", permissions=discord.Permissions(moderate_members=True))
    visitor = elsewhere.add_member(world.moderator.user, roles=[mods])
    target = world.app.client.get_partial_messageable(channel.id, guild_id=elsewhere.id)
    for action in ("delete_picture:1", "delete_job:1", f"delete_picture_now:1:{message.id}", "favourite:1", "recipe:1"):
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="forged", custom_id=f"limner:{action}"))
        forged = await target.send("look", view=view)
        result = await visitor.click(forged, custom_id=f"limner:{action}")
        said = [answer.content for answer in (result.response, *result.followups) if answer is not None]
        assert "not here any more" in said[-1]
    assert len(await images_of(world, 1)) == 1


async def test_remove_in_the_menu_is_for_moderators(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    menus = {
        command.name: command for command in world.app.client.tree.get_commands(type=discord.AppCommandType.message)
    }
    spoken = menus["Remove"].to_dict(world.app.client.tree)
    assert int(spoken["default_member_permissions"]) == discord.Permissions(moderate_members=True).value
    question = told(await world.moderator.context_menu(world.channel, "Remove", message))
    assert "Delete this picture" in question.content
    assert await answer(world, question, "Delete", by=world.moderator) == "The picture is deleted."
    assert not stands(world, message)
    (entry,) = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    assert entry.action == "picture.delete"


async def test_remove_takes_a_whole_grid_and_refuses_what_is_not_ours_or_not_over(world: World) -> None:
    grid = await world.drawn("a boat --n 2")
    question = told(await world.moderator.context_menu(world.channel, "Remove", grid))
    assert "all 2 pictures" in question.content
    assert await answer(world, question, "Delete", by=world.moderator) == "2 pictures are deleted."

    note = await world.stranger.send(world.channel, "mine")
    assert "no message of mine" in private(await world.moderator.context_menu(world.channel, "Remove", note))
    running = await world.imagine(f"a {world.held} boat --steps 60 --n 1")
    assert "Cancel it first" in private(await world.moderator.context_menu(world.channel, "Remove", running))
    await world.press(running, "Cancel")
    await world.until(lambda: "Cancelled" in world.now(running).content)
    asked = told(await world.moderator.context_menu(world.channel, "Remove", running))
    await answer(world, asked, "Delete", by=world.moderator)
    assert not stands(world, running)


async def test_in_direct_messages_the_person_deletes_their_own(world: World) -> None:
    message = public(await world.member.user.slash("imagine", prompt="a boat --n 1"))
    channel = world.member.user.dm_channel
    await world.until(lambda: "Done in" in world.messages(channel)[-1].content)
    await world.all_told()
    custom_id = next(id for id in custom_ids(world.messages(channel)[-1]) if "delete_picture" in id)
    question = told(await world.member.user.click(message, custom_id=custom_id))
    await world.member.user.click(question, label="Delete")
    assert message.id not in {found.id for found in world.messages(channel)}
    assert await images_of(world, 1) == []


async def test_a_picture_whose_file_is_gone_can_be_deleted_too(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    for file in (world.folder / "files").rglob("*"):
        if file.is_file():
            file.unlink()
    assert "not here any more" in private(await world.press(message, "❤️"))
    assert await delete(world, message) == "The picture is deleted."
    assert not stands(world, message)


async def test_a_queued_variation_of_a_deleted_picture_is_still_drawn(world: World) -> None:
    first = await world.drawn("a boat --n 1")
    await world.begun(await world.imagine(f"a {world.held} boat --steps 30", by=world.stranger))
    waiting = public(await world.press(first, "Vary (Subtle)", by=world.stranger))
    await delete(world, first)
    world.let_go()
    await world.finished(waiting)
    job = await world.app.services.storage.jobs.get(3)
    assert job is not None
    assert job.status is JobStatus.DONE
    assert job.parent_image_id is None


async def test_the_row_of_the_persons_own_buttons_is_the_last(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    assert labels(message)[-3:] == ["❤️", "📋", "🗑️"]
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    assert len(rows) == 5
    assert all(len(row.children) <= 5 for row in rows)
    assert len(buttons(message)) <= 25
