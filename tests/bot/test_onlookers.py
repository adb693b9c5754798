"""Who looks again when the queue moves, and how many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot import onlookers as module
from bot.followed_job import FollowedJob
from bot.onlookers import WOKEN, Onlookers
from generation.job import JobStatus
from tests.bot.test_followed_job import JOB


def waiting(count: int) -> list[FollowedJob]:
    jobs = [FollowedJob(replace(JOB, id=number, status=JobStatus.QUEUED)) for number in range(1, count + 1)]
    for followed in jobs:
        followed.changed.clear()
    return jobs


async def looking(onlookers: Onlookers, jobs: list[FollowedJob]) -> dict[int, asyncio.Task[None]]:
    """Each waits for news in a task of its own."""
    tasks = {followed.job.id: asyncio.create_task(onlookers.news(followed)) for followed in jobs}
    await asyncio.sleep(0)
    return tasks


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_movement_wakes_who_waits_and_tells_who_looked_away() -> None:
    onlookers = Onlookers()
    first, second = waiting(2)
    tasks = await looking(onlookers, [first])
    onlookers.moved()
    await asyncio.wait_for(tasks[1], 60)
    assert len(onlookers) == 1
    await asyncio.wait_for(onlookers.news(second), 60)  # it was in its pause meanwhile
    assert len(onlookers) == 2
    first.changed.clear()
    [again] = (await looking(onlookers, [first])).values()
    assert not again.done()
    again.cancel()
    onlookers.leave(1)
    assert len(onlookers) == 1


async def test_of_very_many_a_movement_wakes_a_few_and_the_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    onlookers, jobs = Onlookers(), waiting(10 * WOKEN)
    tasks = await looking(onlookers, jobs)
    monkeypatch.setattr(module, "POSITION_EDITS_PER_SECOND", 1e-6)
    for _ in range(5):  # however much moves in that time
        onlookers.moved()
    assert sum(followed.changed.is_set() for followed in jobs) == WOKEN
    assert all(followed.changed.is_set() for followed in jobs[:WOKEN])
    onlookers.close()

    monkeypatch.setattr(module, "POSITION_EDITS_PER_SECOND", 1e6)
    onlookers._timer = None
    onlookers.moved()
    await until(lambda: all(task.done() for task in tasks.values()))
    onlookers.close()


async def test_a_job_that_is_drawn_does_not_look_at_the_queue() -> None:
    onlookers, followed = Onlookers(), FollowedJob(JOB)
    followed.changed.clear()
    [task] = (await looking(onlookers, [followed])).values()
    onlookers.moved()
    await asyncio.sleep(0)
    assert not task.done()
    followed.note(JOB)
    await asyncio.wait_for(task, 60)
    assert len(onlookers) == 0
