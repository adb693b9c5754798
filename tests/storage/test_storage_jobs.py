"""What happens to a job between the order and the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from storage_samples import (
    ANNA,
    BEN,
    CLEO,
    HARBOUR,
    ORCHARD,
    WORKER,
    Clock,
    leased,
    order,
    ordered,
    pictures,
    recipe,
    rich_recipe,
)

from generation.engine.protocol import Picture
from generation.job import MAX_ATTEMPTS, TRANSITIONS, Job, JobKind, JobStatus, Priority, may_become
from storage.errors import BannedForGood, OutOfCredits, TooManyJobs, TooManyNewJobs
from storage.job_rows import become, job_row
from storage.jobs import JobCounts
from storage.storage import Storage, open_storage


async def test_an_order_comes_back_as_it_was_given(storage: Storage, clock: Clock) -> None:
    new = order(
        kind=JobKind.VARY_STRONG,
        recipes=(rich_recipe(), recipe()),
        style="ink",
        user_id=CLEO,
        guild_id=None,
        priority=Priority.RELAX,
    )
    job = await storage.jobs.order(new, allowance=10, max_queued=1)
    assert job.status is JobStatus.QUEUED
    assert job.created_at == clock()
    assert job.attempt == 0
    assert (job.recipes, job.kind, job.style, job.priority) == (new.recipes, new.kind, "ink", Priority.RELAX)
    assert await storage.jobs.get(job.id) == job
    assert job.created_at.utcoffset() == timedelta(0)
    assert await storage.jobs.get(job.id + 1) is None


async def test_jobs_wait_in_the_order_in_which_they_came(storage: Storage, clock: Clock) -> None:
    jobs = []
    for user_id in (ANNA, BEN, ANNA):
        jobs.append(await ordered(storage, user_id=user_id))
        clock.tick(seconds=1)
    assert await storage.jobs.waiting() == jobs


async def test_an_interaction_that_is_sent_twice_orders_once(storage: Storage) -> None:
    first = await storage.jobs.order(order(), allowance=10, max_queued=1, request_key="interaction 1")
    again = await storage.jobs.order(order(), allowance=10, max_queued=1, request_key="interaction 1")
    assert again == first
    balance = await storage.credits.balance(ANNA, HARBOUR, allowance=10)
    assert balance.spent_today == first.cost


async def test_more_unfinished_jobs_than_allowed_are_refused(storage: Storage, clock: Clock) -> None:
    for _ in range(2):
        await storage.jobs.order(order(), allowance=10, max_queued=2)
    await leased(storage, clock, user_id=BEN)  # somebody else's do not count
    with pytest.raises(TooManyJobs) as refusal:
        await storage.jobs.order(order(), allowance=10, max_queued=2)
    assert refusal.value.fields == {"queued": 2, "limit": 2}
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=10)).spent_today == 4
    await storage.jobs.order(order(guild_id=ORCHARD), allowance=10, max_queued=2)  # nor do those in another server


async def test_several_jobs_are_ordered_at_once_and_held_one_by_one(storage: Storage) -> None:
    await storage.credits.grant(ANNA, HARBOUR, 5, by=BEN)
    new = [order(cost=cost, request=str(cost)) for cost in (3, 4, 2)]
    jobs = await storage.jobs.order_many(new, allowance=5, max_queued=3)
    assert [(job.request, job.cost, job.status) for job in jobs] == [(str(c), c, JobStatus.QUEUED) for c in (3, 4, 2)]
    assert await storage.jobs.waiting() == jobs
    balance = await storage.credits.balance(ANNA, HARBOUR, allowance=5)
    assert (balance.allowance_left, balance.granted, balance.available) == (0, 1, 1)
    for job in jobs:
        await storage.jobs.cancel(job.id)
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=5)).available == 10


async def test_several_jobs_that_cost_too_much_together_are_not_ordered_at_all(storage: Storage) -> None:
    with pytest.raises(OutOfCredits) as refusal:
        await storage.jobs.order_many([order(cost=4), order(cost=4)], allowance=7, max_queued=9)
    assert (refusal.value.fields["cost"], refusal.value.fields["available"]) == (8, 7)
    assert await storage.jobs.waiting() == []
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=7)).available == 7


async def test_more_jobs_than_there_is_room_for_are_not_ordered_at_all(storage: Storage) -> None:
    await ordered(storage)
    with pytest.raises(TooManyNewJobs) as refusal:
        await storage.jobs.order_many([order(), order()], allowance=None, max_queued=2)
    assert refusal.value.fields == {"wanted": 2, "queued": 1, "limit": 2}
    assert len(await storage.jobs.waiting()) == 1
    assert len(await storage.jobs.order_many([order(), order()], allowance=None, max_queued=3)) == 2


async def test_several_jobs_that_are_ordered_twice_are_ordered_once(storage: Storage) -> None:
    keys = ["question 1/1", "question 1/2"]

    async def once() -> Sequence[Job]:
        return await storage.jobs.order_many([order(), order()], allowance=9, max_queued=2, request_keys=keys)

    first, second = await asyncio.gather(once(), once())
    assert first == second
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=9)).spent_today == 4


async def test_whether_an_order_would_be_taken_can_be_asked_before(storage: Storage) -> None:
    await ordered(storage)

    async def asked(jobs: int, cost: int, allowance: int | None = 10) -> int | None:
        new = [order(cost=cost if number == 0 else 0) for number in range(jobs)]
        return await storage.jobs.check_order(new, allowance=allowance, max_queued=3)

    assert await asked(2, 8) == 0
    assert await asked(2, 800, None) is None
    with pytest.raises(OutOfCredits):
        await asked(2, 9)
    with pytest.raises(TooManyNewJobs):
        await asked(3, 1)
    assert len(await storage.jobs.waiting()) == 1
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=None, by=BEN)
    with pytest.raises(BannedForGood):
        await asked(1, 1)


async def test_a_running_job_counts_as_unfinished_and_a_done_one_does_not(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    with pytest.raises(TooManyJobs):
        await storage.jobs.order(order(), allowance=None, max_queued=1)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    await storage.jobs.order(order(), allowance=None, max_queued=1)
    assert await storage.jobs.counts(ANNA, HARBOUR) == JobCounts(queued=1, running=0)


async def test_a_lease_starts_the_job_and_names_the_worker(storage: Storage, clock: Clock) -> None:
    job = await ordered(storage)
    clock.tick(seconds=5)
    [running] = await storage.jobs.lease([job.id], worker=WORKER, seconds=30)
    assert (running.status, running.worker) == (JobStatus.RUNNING, WORKER)
    assert running.lease_until == clock() + timedelta(seconds=30)
    assert (running.attempt, running.started_at) == (1, clock())
    assert await storage.jobs.get(job.id) == running
    assert await storage.jobs.waiting() == []


async def test_what_was_cancelled_or_leased_meanwhile_is_not_leased(storage: Storage, clock: Clock) -> None:
    jobs = [await ordered(storage) for _ in range(4)]
    await storage.jobs.cancel(jobs[1].id)
    await storage.jobs.lease([jobs[2].id], worker="host-b/cpu", seconds=0)
    wanted = [jobs[3].id, jobs[2].id, jobs[1].id, jobs[0].id, 999]
    got = await storage.jobs.lease(wanted, worker=WORKER, seconds=0)
    assert [job.id for job in got] == [jobs[3].id, jobs[0].id]


async def test_a_renewed_lease_is_not_taken_back(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    await storage.jobs.renew([job.id], worker="host-b/cpu", seconds=86_400)  # not theirs
    await storage.jobs.renew([job.id], worker=WORKER, seconds=300)
    assert await storage.jobs.take_back_expired(clock.tick(minutes=5)) == []
    [back] = await storage.jobs.take_back_expired(clock.tick(seconds=1))
    assert (back.status, back.worker, back.lease_until, back.started_at) == (JobStatus.QUEUED, None, None, None)
    assert back.attempt == 1


async def test_the_third_lost_attempt_fails_with_a_refund(storage: Storage, clock: Clock) -> None:
    await storage.credits.set_allowance(ANNA, HARBOUR, 10)
    job = await ordered(storage)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        [running] = await storage.jobs.lease([job.id], worker=WORKER, seconds=0)
        assert running.attempt == attempt
        assert (await storage.credits.balance(ANNA, HARBOUR, allowance=None)).available == 8
        [job] = await storage.jobs.take_back_expired(clock.tick(seconds=1))
    assert (job.status, job.error, job.finished_at) == (JobStatus.FAILED, "worker_lost", clock())
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=None)).available == 10
    assert await storage.jobs.take_back_expired(clock.tick(days=1)) == []
    assert await storage.jobs.undelivered() == [job]


async def test_a_program_that_starts_takes_back_what_its_own_workers_ran(storage: Storage, clock: Clock) -> None:
    mine = [await leased(storage, clock, worker="host_a/cuda:0"), await leased(storage, clock, worker="host_a/cuda:1")]
    for other in ("host_ab/cuda:0", "hostxa/cuda:0", "HOST_A/cuda:0"):
        await leased(storage, clock, worker=other)
    back = await storage.jobs.take_back_from("host_a")
    assert [(job.id, job.status, job.attempt) for job in back] == [(job.id, JobStatus.QUEUED, 1) for job in mine]
    assert await storage.jobs.take_back_from("host_a") == []


async def test_a_job_handed_back_loses_no_attempt_and_a_retried_one_does(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    await storage.jobs.hand_back([job.id], worker="host-b/cpu")
    assert (await storage.jobs.get(job.id)) == job  # not theirs
    await storage.jobs.hand_back([job.id], worker=WORKER)
    [waiting] = await storage.jobs.waiting()
    assert (waiting.attempt, waiting.worker) == (0, None)
    await storage.jobs.lease([job.id], worker=WORKER, seconds=0)
    assert not await storage.jobs.retry(job.id, worker="host-b/cpu")
    assert await storage.jobs.retry(job.id, worker=WORKER)
    assert not await storage.jobs.retry(job.id, worker=WORKER)
    [waiting] = await storage.jobs.waiting()
    assert waiting.attempt == 1


async def test_finish_keeps_pictures_and_settles(storage: Storage, clock: Clock) -> None:
    parent = await leased(storage, clock)
    await storage.jobs.finish(parent.id, worker=WORKER, pictures=pictures())
    [source, _] = await storage.images.of_job(parent.id)
    job = await leased(storage, clock, parent_image_id=source.id, recipes=(rich_recipe(), recipe()))
    clock.tick(seconds=3)

    done = await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())

    assert done is not None
    assert await storage.jobs.get(job.id) == done
    assert (done.status, done.finished_at, done.worker, done.error) == (JobStatus.DONE, clock(), None, None)
    images = await storage.images.of_job(job.id)
    assert [(image.index, image.recipe) for image in images] == list(enumerate(job.recipes))
    for image, picture in zip(images, pictures(), strict=True):
        assert (image.job_id, image.user_id, image.guild_id) == (job.id, ANNA, HARBOUR)
        assert (image.parent_image_id, image.width, image.height) == (source.id, 128, 96)
        assert image.created_at == clock()
        assert await storage.images.get(image.id) == image
        assert await storage.images.png(image) == picture.png
        assert await storage.jobs.source(image.digest) == picture.png
    assert await storage.images.get(999) is None


async def test_a_job_that_is_not_ours_any_more_is_not_finished(storage: Storage, clock: Clock) -> None:
    cancelled, lost, other = [await leased(storage, clock) for _ in range(3)]
    await storage.jobs.cancel(cancelled.id)
    await storage.jobs.take_back_expired(clock.tick(minutes=2))
    await storage.jobs.lease([other.id], worker="host-b/cpu", seconds=0)
    for job in (cancelled, lost, other):
        before = await storage.jobs.get(job.id)
        assert not await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
        assert await storage.jobs.get(job.id) == before
        assert await storage.images.of_job(job.id) == []
    assert not await storage.jobs.finish(999, worker=WORKER, pictures=pictures())


async def test_pictures_must_be_as_many_as_recipes(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    with pytest.raises(ValueError, match="shorter"):
        await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures(1))
    assert await storage.jobs.get(job.id) == job
    assert await storage.images.of_job(job.id) == []


async def test_one_picture_drawn_twice_is_one_file_and_two_images(storage: Storage, clock: Clock) -> None:
    same = Picture(png=b"same", width=8, height=8)
    job = await leased(storage, clock)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=[same, same])
    first, second = await storage.images.of_job(job.id)
    assert first.id != second.id
    assert first.digest == second.digest


async def test_a_queued_job_may_fail_without_running(storage: Storage) -> None:
    job = await ordered(storage)
    assert await storage.jobs.fail(job.id, error="model_unavailable")
    failed = await storage.jobs.get(job.id)
    assert failed is not None
    assert (failed.status, failed.error, failed.attempt) == (JobStatus.FAILED, "model_unavailable", 0)
    assert not await storage.jobs.fail(job.id, error="again")
    assert not await storage.jobs.fail(999, error="nothing")


async def test_a_worker_fails_only_what_it_runs(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    assert not await storage.jobs.fail(job.id, error="out_of_memory", worker="host-b/cpu")
    assert await storage.jobs.get(job.id) == job
    assert await storage.jobs.fail(job.id, error="out_of_memory", worker=WORKER)


async def test_cancel_ends_queued_and_running_jobs_once(storage: Storage, clock: Clock) -> None:
    for job in (await ordered(storage), await leased(storage, clock)):
        assert await storage.jobs.cancel(job.id)
        assert not await storage.jobs.cancel(job.id)
        cancelled = await storage.jobs.get(job.id)
        assert cancelled is not None
        assert (cancelled.status, cancelled.worker, cancelled.finished_at) == (JobStatus.CANCELLED, None, clock())
    assert not await storage.jobs.cancel(999)


async def test_an_ending_is_owed_until_it_is_delivered(storage: Storage, clock: Clock) -> None:
    first, second, running = [await leased(storage, clock) for _ in range(3)]
    await storage.jobs.finish(second.id, worker=WORKER, pictures=pictures())
    clock.tick(seconds=1)
    await storage.jobs.cancel(first.id)
    assert [job.id for job in await storage.jobs.undelivered()] == [second.id, first.id]
    assert await storage.jobs.undelivered_ids() == {first.id, second.id}
    await storage.jobs.delivered(second.id)
    told = clock()
    clock.tick(seconds=1)
    await storage.jobs.delivered(second.id)
    await storage.jobs.delivered(running.id)  # too early: it has no ending
    assert [job.id for job in await storage.jobs.undelivered()] == [first.id]
    assert await storage.jobs.undelivered_ids() == {first.id}
    assert _known(await storage.jobs.get(second.id)).delivered_at == told
    assert await storage.jobs.get(running.id) == running


async def test_the_status_message_is_remembered(storage: Storage) -> None:
    job = await ordered(storage)
    await storage.jobs.set_message(job.id, 2**60)
    assert _known(await storage.jobs.get(job.id)).message_id == 2**60


async def test_a_member_sees_their_own_jobs_of_this_server(storage: Storage, clock: Clock) -> None:
    running, queued = await leased(storage, clock), await ordered(storage)
    direct = await ordered(storage, guild_id=None)
    await ordered(storage, user_id=BEN)
    await storage.jobs.cancel((await ordered(storage)).id)
    unfinished = (JobStatus.QUEUED, JobStatus.RUNNING)
    assert await storage.jobs.of_user(ANNA, guild_id=HARBOUR, statuses=unfinished) == [running, queued]
    assert await storage.jobs.of_user(ANNA, guild_id=HARBOUR, statuses={JobStatus.RUNNING}) == [running]
    assert await storage.jobs.of_user(ANNA, guild_id=None, statuses=unfinished) == [direct]
    assert await storage.jobs.counts(ANNA, HARBOUR) == JobCounts(queued=1, running=1)


@pytest.mark.parametrize("current", JobStatus)
@pytest.mark.parametrize("wanted", JobStatus)
def test_a_status_changes_only_as_the_table_allows(current: JobStatus, wanted: JobStatus, clock: Clock) -> None:
    row = job_row(order(), request_key=None, now=clock())
    row.status = current
    assert become(row, wanted, now=clock(), worker=WORKER, lease_until=clock()) == may_become(current, wanted)
    assert row.status == (wanted if wanted in TRANSITIONS[current] else current)


async def test_what_was_remembered_outlives_the_program(
    database: str, storage: Storage, tmp_path: Path, clock: Clock
) -> None:
    job = await leased(storage, clock)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    async with open_storage(database=database, files=tmp_path / "files") as later:
        assert await later.jobs.get(job.id) == await storage.jobs.get(job.id)
        [image, _] = await later.images.of_job(job.id)
        assert await later.images.png(image) == pictures()[0].png


def _known(job: Job | None) -> Job:
    assert job is not None
    return job
