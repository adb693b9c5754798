"""Another bot may start or end a job before its order has come back to the bot that took it: one answer still."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from generation.job import Job, JobStatus
from tests.bot.world import World


@pytest.mark.parametrize("ended", [False, True])
async def test_news_of_a_job_that_come_before_its_order_do_not_take_its_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    jobs, relay = world.app.services.storage.jobs, world.app.relay
    order_many = jobs.order_many

    async def heard_first(*args: Any, **options: Any) -> Sequence[Job]:
        ordered = await order_many(*args, **options)
        for job in ordered:
            if ended:
                assert await jobs.cancel(job.id)
                now = await jobs.get(job.id)
                assert now is not None
            else:
                now = replace(job, status=JobStatus.RUNNING, attempt=1, worker="there/cpu")
            relay.changed_elsewhere(now)
            relay.changed_elsewhere(now)
        await asyncio.sleep(0.1)  # the courier has seen it
        return ordered

    monkeypatch.setattr(jobs, "order_many", heard_first)
    message = await world.imagine("a boat --n 1")
    end = "Cancelled" if ended else "Done in"
    await world.until(lambda: end in world.now(message).content, about=lambda: world.now(message).content)
    await world.all_told()
    await world.until(lambda: world.app.services.courier.following == 0)
    assert [found.id for found in world.messages()] == [message.id]
    assert message.interaction_metadata is not None  # the answer itself
    late = await jobs.get(1)
    assert late is not None
    relay.changed_elsewhere(replace(late, delivered_at=None))  # seen before it was delivered, and told after
    assert world.app.services.courier.undelivered() == 0
    assert len(world.messages()) == 1
