"""How much was drawn: by a member in all their time, and by whom in a server lately."""

from __future__ import annotations

from storage_samples import ANNA, BEN, CLEO, HARBOUR, ORCHARD, WORKER, Clock, leased, ordered, pictures

from storage.storage import Storage
from storage.totals import LATELY, Total


async def drawn(storage: Storage, clock: Clock, **changes: object) -> int:
    job = await leased(storage, clock, **changes)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    return job.id


async def test_a_members_total_is_that_of_one_server_and_of_what_was_finished(storage: Storage, clock: Clock) -> None:
    for cost in (2, 5):
        await drawn(storage, clock, cost=cost)
    await drawn(storage, clock, guild_id=ORCHARD)
    await drawn(storage, clock, guild_id=None, cost=9)
    await drawn(storage, clock, user_id=BEN)
    failed = await leased(storage, clock)
    await storage.jobs.fail(failed.id, error="painting_failed")
    await ordered(storage)
    assert await storage.totals.of_member(ANNA, HARBOUR) == Total(user_id=ANNA, jobs=2, work=7)
    assert await storage.totals.of_member(ANNA, None) == Total(user_id=ANNA, jobs=1, work=9)
    assert await storage.totals.of_member(CLEO, HARBOUR) == Total(user_id=CLEO, jobs=0, work=0)


async def test_what_was_deleted_is_not_kept_and_still_counts(storage: Storage, clock: Clock) -> None:
    job_id = await drawn(storage, clock)
    first, _ = await storage.images.of_job(job_id)
    assert await storage.totals.kept(ANNA, HARBOUR) == 2
    await storage.deletion.delete_images([first.id], by=ANNA)
    assert await storage.totals.kept(ANNA, HARBOUR) == 1
    assert (await storage.totals.of_member(ANNA, HARBOUR)).jobs == 1


async def test_who_drew_most_lately_comes_first_and_no_other_server_counts(storage: Storage, clock: Clock) -> None:
    await drawn(storage, clock, user_id=CLEO, cost=50)
    clock.tick(days=LATELY.days, seconds=1)
    await drawn(storage, clock, user_id=ANNA, cost=3)
    for _ in range(2):
        await drawn(storage, clock, user_id=BEN, cost=2)
    await drawn(storage, clock, user_id=CLEO, guild_id=ORCHARD, cost=40)
    ranking = [Total(user_id=BEN, jobs=2, work=4), Total(user_id=ANNA, jobs=1, work=3)]
    assert await storage.totals.most(HARBOUR, limit=5) == ranking
    assert await storage.totals.most(HARBOUR, limit=1) == ranking[:1]
    assert await storage.totals.most(HARBOUR + 1, limit=5) == []
