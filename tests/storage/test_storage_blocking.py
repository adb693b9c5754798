"""A job whose pictures must not be seen: no picture, no charge, and a line in the moderators' log, all at once."""

from __future__ import annotations

from storage_samples import ANNA, HARBOUR, WORKER, Clock, leased, ordered, pictures

from generation.job import JobStatus
from generation.safety import PICTURE_BLOCKED
from storage.storage import Storage


async def test_a_blocked_job_gives_its_credits_back_and_tells_the_moderators(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    before = await storage.credits.balance(ANNA, HARBOUR, allowance=10)
    assert await storage.jobs.block(job.id, worker=WORKER, score=0.98765)
    blocked = await storage.jobs.get(job.id)
    assert blocked is not None
    assert (blocked.status, blocked.error, blocked.finished_at) == (JobStatus.FAILED, PICTURE_BLOCKED, clock())
    after = await storage.credits.balance(ANNA, HARBOUR, allowance=10)
    assert after.available == before.available + job.price
    assert await storage.images.of_job(job.id) == []
    [entry] = await storage.moderator_log.latest(HARBOUR, 5)
    assert (entry.action, entry.moderator_id, entry.target_id) == ("safety.blocked", None, ANNA)
    assert entry.details == {"job": job.id, "place": job.channel_id, "score": 0.988}


async def test_it_is_blocked_once(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock)
    assert await storage.jobs.block(job.id, worker=WORKER, score=1)
    assert not await storage.jobs.block(job.id, worker=WORKER, score=1)
    assert await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures()) is None
    assert await storage.moderator_log.count(HARBOUR) == 1


async def test_only_the_worker_that_holds_the_lease_may_block(storage: Storage, clock: Clock) -> None:
    running, waiting = await leased(storage, clock), await ordered(storage)
    assert not await storage.jobs.block(running.id, worker="another", score=1)
    assert not await storage.jobs.block(waiting.id, worker=WORKER, score=1)
    assert not await storage.jobs.block(waiting.id + 1, worker=WORKER, score=1)
    assert await storage.moderator_log.count(HARBOUR) == 0


async def test_direct_messages_have_no_moderators(storage: Storage, clock: Clock) -> None:
    job = await leased(storage, clock, guild_id=None)
    assert await storage.jobs.block(job.id, worker=WORKER, score=1)
    assert await storage.moderator_log.count(HARBOUR) == 0


async def test_a_job_that_is_done_behind_a_spoiler_stays_so(storage: Storage, clock: Clock) -> None:
    hidden, shown, asked = [await leased(storage, clock, spoiler=spoiler) for spoiler in (False, False, True)]
    for job, spoiler in ((hidden, True), (shown, False), (asked, False)):
        done = await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures(), spoiler=spoiler)
        assert done == await storage.jobs.get(job.id)
    told = [await storage.jobs.get(job.id) for job in (hidden, shown, asked)]
    assert [job.spoiler for job in told if job] == [True, False, True]
