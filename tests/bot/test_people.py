"""❤️ and 📋 under pictures, /show, /queue and /info: what people find again, and what they see of others."""

from __future__ import annotations

import discord
import pytest
from simcord.results import InteractionResult

from generation.picture import read_recipe
from tests.bot.world import World, custom_ids, labels, private, public


def shown(result: InteractionResult) -> discord.Message:
    """The answer that only the person saw, as a message."""
    private(result)
    (said,) = [message for message in (result.response, *result.followups) if message is not None]
    return said.message


async def who_like(world: World, image_id: int) -> list[int]:
    """Of the member and the stranger."""
    people = [world.member.id, world.stranger.id]
    told = [await world.app.services.storage.personal_data.told(user_id) for user_id in people]
    return [one["user_id"] for one in told if image_id in [liked["image_id"] for liked in one["favourites"]]]


async def test_a_heart_is_given_and_taken_back_by_everyone_for_themselves(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    assert "one of your favourites now" in private(await world.press(message, "❤️"))
    assert "one of your favourites now" in private(await world.press(message, "❤️", by=world.stranger))
    assert await who_like(world, 1) == [world.member.id, world.stranger.id]
    await world.restart()
    assert "none of your favourites any more" in private(await world.press(message, "❤️"))
    assert await who_like(world, 1) == [world.stranger.id]


async def test_a_heart_pressed_twice_at_once_counts_once(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    world.clock.stopped_at = world.clock.monotonic()
    await world.press_at_once(message, "❤️")
    assert "counts once" in private(await world.press_at_once(message, "❤️"))
    assert await who_like(world, 1) == [world.member.id]


async def test_the_recipe_is_told_to_the_presser_alone(world: World) -> None:
    grid = await world.drawn("a boat --seed 7")
    said = shown(await world.press(grid, "📋", by=world.stranger))
    assert "picture 1 of job 1" in said.content
    assert "`a boat" in said.content
    assert labels(said) == ["Draw again (1 credit)"]
    picked = public(await world.press(grid, "U3"))
    await world.until(lambda: world.now(picked).attachments)
    said = shown(await world.press(picked, "📋"))
    assert said.content.startswith("Drawn here")
    assert "picture 3 of job 1" in said.content
    assert "Seed: 9" in said.content


async def show(world: World, job_id: int, **by: object) -> InteractionResult:
    return await by.get("by", world.member).slash(by.get("where", world.channel), "show", id=job_id)  # type: ignore[attr-defined]


async def test_a_job_is_shown_again_with_its_buttons_when_its_message_is_gone(world: World) -> None:
    grid = await world.drawn("a boat --seed 7")
    await world.all_told()
    before, buttons = world.bytes_of(grid), custom_ids(grid)
    await world.now(grid).delete()
    again = public(await show(world, 1, by=world.stranger))
    await world.until(lambda: world.now(again).attachments)
    again = world.now(again)
    assert world.bytes_of(again) == before
    assert custom_ids(again) == buttons
    assert "`a boat --seed 7`" in again.content
    assert f"<@{world.member.id}>" in again.content
    assert "job 1" in again.content
    assert await world.credits(world.stranger) == 100
    await world.restart()
    public(await world.press(again, "U2"))


async def test_another_servers_jobs_are_not_shown(world: World) -> None:
    await world.drawn("a boat --n 1")
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    visitor = elsewhere.add_member(world.member.user)
    assert "not here any more" in private(await visitor.slash(channel, "show", id=1))
    assert "not here any more" in private(await world.member.user.slash("show", id=1))
    assert "not here any more" in private(await show(world, 999))


async def test_jobs_of_a_channel_that_one_cannot_read_are_not_shown(world: World) -> None:
    everyone = world.guild.default_role
    secret = world.guild.create_text_channel(
        "secret",
        overwrites={
            everyone: discord.PermissionOverwrite(view_channel=False),
            world.member: discord.PermissionOverwrite(view_channel=True),
        },
    )
    await world.member.slash(secret, "imagine", prompt="a boat --n 1")
    await world.until(lambda: "Done in" in world.messages(secret)[-1].content)
    assert "not here any more" in private(await show(world, 1, by=world.stranger))
    public(await show(world, 1))
    public(await show(world, 1, by=world.moderator))


async def test_what_was_drawn_behind_an_age_restriction_is_shown_behind_one(world: World) -> None:
    night = world.guild.create_text_channel("night")
    channel = world.app.client.get_channel(night.id)
    assert isinstance(channel, discord.TextChannel)
    channel.nsfw = True  # as the bot knows it: this Discord has no other way
    await world.member.slash(night, "imagine", prompt="a boat --n 1")
    await world.until(lambda: "Done in" in world.messages(night)[-1].content)
    assert "age-restricted" in private(await show(world, 1))
    public(await show(world, 1, where=night))


async def test_a_job_that_is_not_over_is_told_of_with_its_button(world: World) -> None:
    message = await world.imagine(f"a boat {world.held} --n 1")
    said = shown(await show(world, 1))
    assert "a boat" in said.content
    assert labels(said) == ["Cancel"]
    assert labels(shown(await show(world, 1, by=world.stranger))) == []
    assert labels(shown(await show(world, 1, by=world.moderator))) == ["Cancel"]
    await world.press(message, "Cancel")
    await world.until(lambda: "Cancelled" in world.now(message).content)
    assert "Cancelled" in private(await show(world, 1))


async def test_a_job_whose_pictures_are_gone_says_so(world: World) -> None:
    await world.drawn("a boat --n 1")
    await world.app.services.storage.deletion.delete_images([1], by=world.member.id)
    assert "not there any more" in private(await show(world, 1))


async def test_who_may_not_write_gets_nothing_shown(world: World) -> None:
    await world.drawn("a boat --n 1")
    readers = world.guild.create_role("Readers")
    quiet = world.guild.create_text_channel(
        "quiet", overwrites={readers: discord.PermissionOverwrite(send_messages=False)}
    )
    visitor = world.guild.add_member(world.env.create_user("vi"), roles=[readers])
    assert "may not write" in private(await visitor.slash(quiet, "show", id=1))


async def test_a_shown_job_goes_with_its_pictures(world: World) -> None:
    await world.drawn("a boat --n 2")
    await world.all_told()
    again = public(await show(world, 1, by=world.stranger))
    await world.until(lambda: world.now(again).attachments)
    question = shown(await world.press(again, "🗑️"))
    world.clock.ahead += 3
    await world.member.click(question, label="Delete")
    assert world.messages() == []


# Spoilers.


async def test_everything_of_a_spoiler_is_behind_one(world: World) -> None:
    message = await world.imagine(f"a boat {world.held} --spoiler")
    await world.until(lambda: world.now(message).attachments)
    names = {world.now(message).attachments[0].filename}
    world.let_go()
    grid = await world.finished(message)
    names.add(grid.attachments[0].filename)
    picked = public(await world.press(grid, "U1", by=world.stranger))
    await world.until(lambda: world.now(picked).attachments)
    names.add(world.now(picked).attachments[0].filename)
    again = public(await show(world, 1))
    await world.until(lambda: world.now(again).attachments)
    names.add(world.now(again).attachments[0].filename)
    for source, label in ((grid, "V2"), (picked, "Upscale (Subtle)"), (picked, "Zoom Out 2x"), (grid, "🔄")):
        made = await world.finished(public(await world.press(source, label, by=world.stranger)))
        names.add(made.attachments[0].filename)
    redraw = shown(await world.press(picked, "📋"))
    made = await world.finished(public(await world.member.click(redraw, label="Draw again (1 credit)")))
    names.add(made.attachments[0].filename)
    assert len(names) >= 6
    assert all(name.startswith("SPOILER_") for name in names), names
    assert read_recipe(world.bytes_of(made)) is not None


async def test_nothing_else_is(world: World) -> None:
    grid = await world.drawn("a boat")
    assert not grid.attachments[0].is_spoiler()


async def test_the_cells_of_a_spoiler_are_behind_one(world: World) -> None:
    message = await world.drawn("a boat --n 1 --spoiler")
    result = await world.press(message, "Vary (Region)")
    (said,) = [answer for answer in (result.response, *result.followups) if answer is not None and answer.attachments]
    assert said.message.attachments[0].is_spoiler()


# /queue and /info.


async def test_moderators_see_all_jobs_of_their_server_and_cancel_any(world: World) -> None:
    drawn = await world.imagine(f"a boat {world.held}")
    await world.begun(drawn)  # and so it stands before what waits
    waiting = await world.imagine("a house", by=world.stranger)
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    await elsewhere.add_member(world.env.create_user("eve")).slash(channel, "imagine", prompt="a secret")
    listed = shown(await world.moderator.slash(world.channel, "queue"))
    assert "a boat" in listed.content
    assert f"<@{world.stranger.id}>" in listed.content
    assert "a secret" not in listed.content
    assert labels(listed) == ["1", "2", "Pause the server"]
    await world.moderator.click(listed, label="2")
    await world.until(lambda: "Cancelled" in world.now(waiting).content)


async def test_a_moderator_without_anything_in_the_queue_may_pause_it(world: World) -> None:
    listed = shown(await world.moderator.slash(world.channel, "queue"))
    assert "Nobody here" in listed.content
    assert labels(listed) == ["Pause the server"]
    await world.moderator.click(listed, label="Pause the server")
    assert (await world.app.services.storage.rulebook.of(world.guild.id)).paused
    (now,) = [one for one in world.channel.history(viewer=world.moderator) if one.id == listed.id]
    assert "paused" in now.content
    assert labels(now) == ["Resume the server"]
    world.clock.ahead += 3
    await world.moderator.click(now, label="Resume the server")
    assert not (await world.app.services.storage.rulebook.of(world.guild.id)).paused
    log = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    assert [entry.action for entry in log] == ["pause.end", "pause.begin"]


@pytest.mark.parametrize("action", ["pause_queue", "resume_queue"])
async def test_a_forged_pause_is_refused(world: World, action: str) -> None:
    channel = world.app.client.get_partial_messageable(world.channel.id, guild_id=world.guild.id)
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="forged", custom_id=f"limner:{action}"))
    message = await channel.send("look", view=view)
    assert "Only moderators" in private(await world.stranger.click(message, label="forged"))
    assert not (await world.app.services.storage.rulebook.of(world.guild.id)).paused


async def test_a_long_queue_has_pages_also_after_a_restart(world: World) -> None:
    await world.app.services.pauses.pause(world.guild.id, by=world.moderator.id)
    await world.app.services.pauses.resume(world.guild.id, by=world.moderator.id)
    world.app.services.dispatcher.pause(None)
    for number in range(15):
        await world.imagine(f"boat {number} --n 1", by=(world.member, world.stranger)[number % 2])
    listed = shown(await world.moderator.slash(world.channel, "queue"))
    assert "15, page 1 of 2" in listed.content
    assert labels(listed) == [*(str(number) for number in range(1, 13)), "▶️", "Pause the server"]
    await world.moderator.click(listed, label=None, custom_id="limner:queue_page:2")
    (now,) = [one for one in world.channel.history(viewer=world.moderator) if one.id == listed.id]
    assert labels(now) == ["13", "14", "15", "◀️", "Pause the server"]
    assert len(now.content) < 2000
    # The same button in a member's hands is about that member's own jobs.
    own = shown(await world.member.slash(world.channel, "queue"))
    assert "8, page 1 of 1" in own.content
    assert "boat 1 " not in own.content


async def test_info_tells_what_one_drew_and_who_draws_most(world: World) -> None:
    await world.drawn("a boat")
    await world.drawn("a house --n 1", by=world.stranger)
    told = private(await world.member.slash(world.channel, "info"))
    assert "Finished so far: 1, worth 4 credits" in told
    assert "kept: 4" in told
    ranking = told.splitlines()[-2:]
    assert f"<@{world.member.id}>: 1 job, worth 4 credits" in ranking[0]
    assert f"<@{world.stranger.id}>" in ranking[1]
    assert "drew most" not in private(await world.member.user.slash("info"))


async def test_info_knows_nothing_of_other_servers(world: World) -> None:
    await world.drawn("a boat")
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    visitor = elsewhere.add_member(world.member.user)
    told = private(await visitor.slash(channel, "info"))
    assert "Finished so far: 0" in told
    assert "drew most" not in told
