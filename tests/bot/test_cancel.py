"""✖: whose job it is may take it back, and moderators may."""

from __future__ import annotations

import pytest

from generation.job import JobStatus
from tests.bot.world import World, labels, private


async def status(world: World, job_id: int) -> JobStatus:
    job = await world.app.services.storage.jobs.get(job_id)
    assert job is not None
    return job.status


async def test_the_owner_cancels_a_waiting_job_and_gets_the_credits_back(world: World) -> None:
    await world.begun(await world.imagine(f"a {world.held} boat --steps 60", by=world.stranger))
    message = await world.imagine("a house --steps 9")
    assert "2 credits were given back" in private(await world.press(message, "Cancel"))
    await world.until(lambda: "Cancelled" in world.now(message).content)
    assert "given back" in world.now(message).content
    assert labels(world.now(message)) == []
    assert await status(world, 2) is JobStatus.CANCELLED
    assert await world.credits() == 100


async def test_the_owner_cancels_a_running_job(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 60")
    await world.begun(message)
    private(await world.press(message, "Cancel"))
    await world.until(lambda: "Cancelled" in world.now(message).content)
    assert world.now(message).attachments == []
    assert await world.credits() == 100
    # The worker is free again at once.
    await world.drawn("a house --n 1", by=world.stranger)


async def test_strangers_may_not(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 20 --n 1")
    assert "Only the one who ordered it" in private(await world.press(message, "Cancel", by=world.stranger))
    world.let_go()
    await world.finished(message)


async def test_moderators_may(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 60")
    private(await world.press(message, "Cancel", by=world.moderator))
    await world.until(lambda: "Cancelled" in world.now(message).content)
    assert await world.credits() == 100
    [entry] = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    assert (entry.action, entry.moderator_id, entry.target_id, entry.details) == (
        "job.cancel", world.moderator.id, world.member.id, {"job": 1},
    )  # fmt: skip


async def test_an_own_job_that_a_moderator_cancels_is_nothing_for_the_log(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 60", by=world.moderator)
    private(await world.press(message, "Cancel", by=world.moderator))
    await world.until(lambda: "Cancelled" in world.now(message).content)
    assert await world.app.services.storage.moderator_log.latest(world.guild.id, 5) == []


@pytest.mark.parametrize("how", ["cancelled", "done"])
async def test_what_has_ended_cannot_be_cancelled(world: World, how: str) -> None:
    message = await world.imagine(f"a {world.held} boat --n 1 --steps 5")
    stale = world.now(message)
    if how == "cancelled":
        await world.press(message, "Cancel")
    else:
        world.let_go()
    await world.until(lambda: labels(world.now(message)) != ["Cancel"])
    world.env.backend.edit_message(
        world.channel.id, message.id, {"components": [row.to_dict() for row in stale.components]}
    )
    assert "already ended" in private(await world.press(message, "Cancel"))
