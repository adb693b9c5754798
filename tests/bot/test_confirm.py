"""Several jobs from one prompt: asked about first, then all of them at once or none."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import discord
import pytest
from PIL import Image
from simcord.actors import MemberActor
from simcord.results import InteractionResult

from generation.job import Job, JobStatus
from tests.bot.world import World, custom_ids, labels, open_world, private

BOATS = "a {red, blue} boat --n 1 --repeat 2"


async def asked(world: World, prompt: str, **options: object) -> discord.Message:
    """Order several jobs; the question that only the person sees."""
    return question_of(await world.member.slash(world.channel, "imagine", prompt=prompt, **options))


def question_of(result: InteractionResult) -> discord.Message:
    private(result)
    (said,) = [message for message in (result.response, *result.followups) if message is not None]
    assert len(labels(said.message)) == 2, said.content
    return said.message


async def answer(
    world: World, question: discord.Message, label: str, *, by: MemberActor | None = None, pause: float = 3
) -> InteractionResult:
    """Press one of the buttons of the question, which they had still before them."""
    world.clock.ahead += pause
    shown = {"components": [row.to_dict() for row in question.components]}
    world.env.backend.edit_message(world.channel.id, question.id, shown)
    custom_id = dict(zip(labels(question), custom_ids(question), strict=True))[label]
    return await (by or world.member).click(question, custom_id=custom_id)


def refusal(result: InteractionResult) -> str:
    (said,) = result.followups
    assert said.ephemeral
    return said.content


def question_now(world: World, question: discord.Message) -> discord.Message:
    """The question as its person sees it now."""
    return next(found for found in world.channel.history(viewer=world.member) if found.id == question.id)


async def jobs(world: World) -> list[Job]:
    found = [await world.app.services.storage.jobs.get(number) for number in range(1, 50)]
    return [job for job in found if job is not None]


async def test_braces_and_repeat_ask_how_many_and_for_what_price_before_anything_is_queued(world: World) -> None:
    question = await asked(world, BOATS)
    for words in ("4 jobs", "`a red boat --n 1`", "`a blue boat --n 1`", "4 credits", "96 credits would be left"):
        assert words in question.content
    assert labels(question) == ["Draw 4 jobs", "Cancel"]
    assert await jobs(world) == []
    assert world.messages() == []
    assert await world.credits() == 100


async def test_one_press_draws_them_all_each_with_a_message_of_its_own(world: World) -> None:
    question = await asked(world, BOATS)
    await answer(world, question, "Draw 4 jobs")
    now = question_now(world, question)
    assert "4 jobs are queued: 4 credits" in now.content
    assert labels(now) == []
    ordered = await jobs(world)
    assert [job.request for job in ordered] == ["a red boat --n 1"] * 2 + ["a blue boat --n 1"] * 2
    assert len({job.recipes[0].seed for job in ordered}) == 4
    await world.until(lambda: sum("Done in" in message.content for message in world.messages()) == 4)
    await world.all_told()
    assert sorted(message.content.partition("**")[2].partition("**")[0] for message in world.messages()) == [
        "`a blue boat --n 1`", "`a blue boat --n 1`", "`a red boat --n 1`", "`a red boat --n 1`",
    ]  # fmt: skip
    assert {job.message_id for job in await jobs(world)} == {message.id for message in world.messages()}
    assert await world.credits() == 96


async def test_each_job_shows_its_place_and_can_be_cancelled_by_itself(world: World) -> None:
    await answer(world, await asked(world, f"a {world.held} {{red, blue}} boat --n 1 --steps 60"), "Draw 2 jobs")
    await world.until(lambda: len(world.messages()) == 2)
    second = world.messages()[1]
    await world.press(second, "Cancel")
    await world.until(lambda: "Cancelled" in world.now(second).content)
    assert [job.status for job in await jobs(world)].count(JobStatus.CANCELLED) == 1


async def test_a_second_press_draws_nothing_more(world: World) -> None:
    question = await asked(world, BOATS)
    world.clock.stopped_at = world.clock.monotonic()  # a busy machine shall not make it two slow clicks
    await answer(world, question, "Draw 4 jobs")
    assert "You pressed that button twice" in private(await answer(world, question, "Draw 4 jobs", pause=0))
    world.clock.stopped_at = None
    assert "answered already" in refusal(await answer(world, question, "Draw 4 jobs"))
    assert "answered already" in refusal(await answer(world, question, "Cancel"))
    assert len(await jobs(world)) == 4
    assert await world.credits() == 96


async def test_cancel_queues_nothing(world: World) -> None:
    question = await asked(world, BOATS)
    await answer(world, question, "Cancel")
    assert question_now(world, question).content == "Nothing was queued and nothing charged."
    assert "answered already" in refusal(await answer(world, question, "Draw 4 jobs"))
    assert await jobs(world) == []


async def test_nobody_else_can_answer(world: World) -> None:
    question = await asked(world, BOATS)
    world.env.backend.get_message(world.channel.id, question.id).flags = 0  # or could they see it at all
    for label in ("Draw 4 jobs", "Cancel"):
        for other in (world.stranger, world.moderator):
            assert "Only the one who was asked" in refusal(await answer(world, question, label, by=other))
    assert await jobs(world) == []
    await answer(world, question, "Draw 4 jobs")
    assert len(await jobs(world)) == 4


async def test_the_question_outlives_a_restart(world: World) -> None:
    question = await asked(world, BOATS)
    await world.restart()
    await answer(world, question, "Draw 4 jobs")
    await world.until(lambda: sum("Done in" in message.content for message in world.messages()) == 4)
    await world.restart()
    assert "answered already" in refusal(await answer(world, question, "Draw 4 jobs"))
    assert len(await jobs(world)) == 4


async def test_a_question_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.series_orders.LIFETIME", timedelta(0))
    question = await asked(world, BOATS)
    assert "too old" in refusal(await answer(world, question, "Draw 4 jobs"))
    assert await jobs(world) == []


async def test_too_few_credits_are_told_before_the_question(world: World) -> None:
    await world.app.services.storage.credits.set_allowance(world.member.id, world.guild.id, 3, by=world.moderator.id)
    assert "this costs 4 and you have 3 left" in await world.refused(BOATS)


async def test_credits_that_went_elsewhere_meanwhile_order_none_and_the_question_stays(world: World) -> None:
    credits = world.app.services.storage.credits
    question = await asked(world, BOATS)
    await credits.set_allowance(world.member.id, world.guild.id, 3, by=world.moderator.id)
    assert "this costs 4 and you have 3 left" in refusal(await answer(world, question, "Draw 4 jobs"))
    assert await jobs(world) == []
    await credits.set_allowance(world.member.id, world.guild.id, 4, by=world.moderator.id)
    await answer(world, question, "Draw 4 jobs")
    assert len(await jobs(world)) == 4
    assert (await credits.balance(world.member.id, world.guild.id, allowance=None)).available == 0


async def test_a_price_that_changed_is_not_charged(world: World) -> None:
    question = await asked(world, "a {red, blue} boat --n 1 --steps 20")
    assert "2 credits" in question.content
    await world.stop()
    settings = world.folder / "config.toml"
    settings.write_text(settings.read_text() + "\n[models.pocket]\nnum_inference_steps = 10\n")
    await world.start()
    assert "cost 4 credits now, not 2" in refusal(await answer(world, question, "Draw 2 jobs"))
    assert await jobs(world) == []
    assert await world.credits() == 100


async def test_more_jobs_than_a_member_may_have_are_refused_at_once(world: World) -> None:
    assert "That would be 11 jobs, and you may have 10 at a time (0 of yours" in await world.refused("a boat --r 11")
    assert "make 42 jobs; 40 at a time" in await world.refused("a {red, blue} boat --r 21")
    question = await asked(world, "a boat --n 1 --steps 9 --r 10")
    await world.imagine(f"a {world.held} house --n 1 --steps 9")
    assert "That would be 10 jobs" in refusal(await answer(world, question, "Draw 10 jobs"))
    assert len(await jobs(world)) == 1


async def test_what_is_wrong_with_one_of_them_is_told_before_the_question(world: World) -> None:
    assert "`--ar` does not take `9:1`" in await world.refused("a boat --ar {1:1, 9:1}")
    assert "no style `inc`" in await world.refused("a boat --style {ink, inc}")
    assert "`(boat:9)`" not in await world.refused("a {(boat:9), ship}")


async def test_flags_options_and_defaults_hold_for_each_of_them(world: World) -> None:
    await world.app.services.orders.defaults.change(world.member.id, aspect="3:2")
    question = await asked(world, "a boat --seed 7 --style {ink, raw} --r 2", count=2)
    await answer(world, question, "Draw 4 jobs")
    recipes = [job.recipes for job in await jobs(world)]
    assert [[recipe.seed for recipe in one] for one in recipes] == [[7, 8], [9, 10]] * 2
    assert {(recipe.width, recipe.height) for one in recipes for recipe in one} == {(152, 104)}
    assert ["ink" in one[0].prompt for one in recipes] == [True, True, False, False]


async def test_all_of_them_start_from_the_picture_that_was_attached(world: World) -> None:
    file = io.BytesIO()
    Image.new("RGB", (96, 64), "red").save(file, "PNG")
    question = await asked(world, "--strength {0.3, 0.8} --n 1", image=("sea.png", file.getvalue()))
    await world.restart()
    await answer(world, question, "Draw 2 jobs")
    sources = [job.recipes[0].source for job in await jobs(world)]
    assert [source.strength for source in sources if source] == [0.3, 0.8]
    assert len({source.digest for source in sources if source}) == 1
    await world.until(lambda: sum("Done in" in message.content for message in world.messages()) == 2)


async def test_where_a_person_may_not_write_nothing_is_asked(world: World) -> None:
    reader = world.guild.create_role("Readers")
    readonly = world.guild.create_text_channel(
        "gallery", overwrites={reader: discord.PermissionOverwrite(send_messages=False)}
    )
    visitor = world.guild.add_member(world.env.create_user("vi"), roles=[reader])
    assert "may not write in this channel" in private(await visitor.slash(readonly, "imagine", prompt=BOATS))


async def test_where_the_bot_may_not_write_the_results_come_as_direct_messages(world: World) -> None:
    assert world.app.client.user is not None
    hidden = discord.PermissionOverwrite(view_channel=False)
    closed = world.guild.create_text_channel("closed", overwrites={world.app.client.user: hidden})
    asked_there = await world.member.slash(closed, "imagine", prompt="a {red, blue} boat --n 1")
    await world.member.click(question_of(asked_there), label="Draw 2 jobs")
    direct = world.member.user.dm_channel
    await world.until(lambda: len(world.messages(direct)) == 2)
    assert all("Done in" in message.content for message in world.messages(direct))
    assert world.messages(closed) == []


async def test_a_queue_that_stands_still_orders_all_the_same(tmp_path: Path) -> None:
    async with open_world(tmp_path, working=False) as world:
        await answer(world, await asked(world, BOATS), "Draw 4 jobs")
        assert [job.status for job in await jobs(world)] == [JobStatus.QUEUED] * 4
