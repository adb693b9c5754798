"""The books: what the ledger says of each job, beside how it ended; and how its order's answer can be found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from storage_samples import WORKER, Clock, leased, order, ordered, pictures

from generation.job import JobStatus, Priority
from storage.database import Database
from storage.storage import Storage, open_storage
from storage.tables import CreditEntryRow


async def test_no_job_drifts_whatever_becomes_of_it(storage: Storage) -> None:
    clock = Clock()
    done, failed = await leased(storage, clock), await leased(storage, clock)
    cancelled, waiting = await ordered(storage), await ordered(storage)
    relaxed = await leased(storage, clock, priority=Priority.RELAX)
    await storage.jobs.finish(done.id, worker=WORKER, pictures=pictures())
    await storage.jobs.finish(relaxed.id, worker=WORKER, pictures=pictures())
    await storage.jobs.fail(failed.id, error="worker_lost")
    await storage.jobs.cancel(cancelled.id)

    accounts = await storage.books.accounts()

    assert [account.job.id for account in accounts] == [done.id, failed.id, cancelled.id, waiting.id, relaxed.id]
    assert [account.taken for account in accounts] == [2, 0, 0, 2, 0]
    assert [account.pictures for account in accounts] == [2, 0, 0, 0, 2]
    assert [account.drift for account in accounts] == [0] * 5


async def test_a_credit_too_many_or_too_few_is_seen(database: str, tmp_path: Path) -> None:
    async with open_storage(database=database, files=tmp_path) as storage, Database.open(database) as opened:
        job = await ordered(storage)  # for two credits
        for taken, drift in ((1, -1), (5, 3)):
            async with opened.writing() as session:
                held = (await session.scalars(select(CreditEntryRow).where(CreditEntryRow.job_id == job.id))).one()
                held.allowance_part = -taken
            assert [account.drift for account in await storage.books.accounts()] == [drift]


async def test_an_answers_token_is_kept_until_the_job_is_delivered(storage: Storage) -> None:
    [job] = await storage.jobs.order_many([order()], allowance=None, max_queued=9, answer_token="token")
    other = await ordered(storage)
    assert await storage.jobs.answer_token(job.id) == "token"
    assert await storage.jobs.answer_token(other.id) is None
    await storage.jobs.lease([job.id], worker=WORKER, seconds=0)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    assert await storage.jobs.answer_token(job.id) == "token"
    await storage.jobs.delivered(job.id)
    assert await storage.jobs.answer_token(job.id) is None
    ended = await storage.jobs.get(job.id)
    assert ended is not None
    assert ended.status is JobStatus.DONE


async def test_a_token_is_of_one_job(storage: Storage) -> None:
    with pytest.raises(ValueError, match="too many values"):
        await storage.jobs.order_many([order(), order()], allowance=None, max_queued=9, answer_token="token")
    assert await storage.books.accounts() == []
