"""What is read often is read by an index, however long the history grows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from storage_databases import SERVER, Databases
from storage_samples import ANNA, HARBOUR, WORKER, Clock, order, pictures, recipe

from generation.job import JobStatus, Priority
from storage.made_up import make_up
from storage.migrations import migrate
from storage.relaxing import RelaxLimits
from storage.storage import Storage, open_storage

Verb = Callable[[Storage, Clock], Awaitable[Any]]


async def _settle(storage: Storage, clock: Clock) -> None:
    job = await storage.jobs.order(order(), allowance=10, max_queued=10_000)
    await storage.jobs.lease([job.id], worker=WORKER, seconds=60)
    assert await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    await storage.jobs.delivered(job.id)


async def _try_again(storage: Storage, clock: Clock) -> None:
    job = await storage.jobs.order(order(), allowance=10, max_queued=10_000)
    for verb in (storage.jobs.hand_back([job.id], worker=WORKER), storage.jobs.retry(job.id, worker=WORKER)):
        await storage.jobs.lease([job.id], worker=WORKER, seconds=60)
        await verb
    await storage.jobs.fail(job.id, error="error")


VERBS: dict[str, Verb] = {
    "waiting": lambda storage, clock: storage.jobs.waiting(),
    "lease": lambda storage, clock: storage.jobs.lease([1, 2, 3], worker=WORKER, seconds=0),
    "renew": lambda storage, clock: storage.jobs.renew([1, 2, 3], worker=WORKER, seconds=0),
    "take_back_expired": lambda storage, clock: storage.jobs.take_back_expired(clock()),
    "take_back_from": lambda storage, clock: storage.jobs.take_back_from("host-a"),
    "undelivered": lambda storage, clock: storage.jobs.undelivered(),
    "undelivered ids": lambda storage, clock: storage.jobs.undelivered_ids(),
    "of_user": lambda storage, clock: storage.jobs.of_user(ANNA, guild_id=HARBOUR, statuses=[JobStatus.QUEUED]),
    "of_user in messages": lambda storage, clock: storage.jobs.of_user(ANNA, guild_id=None, statuses=list(JobStatus)),
    "of_guild": lambda storage, clock: storage.jobs.of_guild(HARBOUR, statuses=[JobStatus.QUEUED, JobStatus.RUNNING]),
    "total of a member": lambda storage, clock: storage.totals.of_member(ANNA, HARBOUR),
    "pictures that are kept": lambda storage, clock: storage.totals.kept(ANNA, HARBOUR),
    "who draws most": lambda storage, clock: storage.totals.most(HARBOUR, limit=5),
    "messages of a job": lambda storage, clock: storage.showings.of_job(1),
    "forget a message": lambda storage, clock: storage.showings.forget(1),
    "favourite": lambda storage, clock: storage.favourites.toggle(ANNA, 1),
    "delete images": lambda storage, clock: storage.deletion.delete_images([1, 2], by=ANNA),
    "settle": _settle,
    "try again": _try_again,
    "those": lambda storage, clock: storage.jobs.those([1, 2, 3]),
    "waiting ids": lambda storage, clock: storage.jobs.waiting_ids(),
    "running": lambda storage, clock: storage.jobs.running(),
    "set message": lambda storage, clock: storage.jobs.set_message(1, 7),
    "token of the answer": lambda storage, clock: storage.jobs.answer_token(1),
    "counts": lambda storage, clock: storage.jobs.counts(ANNA, HARBOUR),
    "order": lambda storage, clock: storage.jobs.order(order(), allowance=10, max_queued=10_000, request_key="key"),
    "order relaxed": lambda storage, clock: storage.jobs.order_many(
        [order(priority=Priority.RELAX)], allowance=10, max_queued=10, relax=RelaxLimits(per_day=5, waiting=5)
    ),
    "cancel": lambda storage, clock: storage.jobs.cancel(1),
    "balance": lambda storage, clock: storage.credits.balance(ANNA, HARBOUR, allowance=10),
    "balance in messages": lambda storage, clock: storage.credits.balance(ANNA, None, allowance=10),
    "images of a job": lambda storage, clock: storage.images.of_job(1),
    "image by file": lambda storage, clock: storage.images.by_file("ab" * 32, user_id=ANNA, guild_id=HARBOUR),
    "image by recipe": lambda storage, clock: storage.images.by_recipe(recipe(), user_id=ANNA, guild_id=None),
    "moderator log": lambda storage, clock: storage.moderator_log.latest(HARBOUR, 20),
    "moderator log, older": lambda storage, clock: storage.moderator_log.older(HARBOUR, 5, 20),
    "moderator log, newer": lambda storage, clock: storage.moderator_log.newer(HARBOUR, 5, 20),
    "moderator log, counted": lambda storage, clock: storage.moderator_log.count(HARBOUR),
    "ban": lambda storage, clock: storage.bans.check(ANNA, HARBOUR),
    "bans of a server": lambda storage, clock: storage.bans.in_server(HARBOUR),
    "rules of a server": lambda storage, clock: storage.rulebook.of(HARBOUR),
    "paused servers": lambda storage, clock: storage.rulebook.paused(),
}

IN_ORDER = {"waiting", "undelivered", "moderator log", "moderator log, older", "moderator log, newer"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
async def test_nothing_is_searched_from_end_to_end(database: str, storage: Storage, clock: Clock, verb: str) -> None:
    await storage.jobs.order(order(), allowance=10, max_queued=10)  # so that `cancel` has something to give back
    with statements_of() as statements:
        await VERBS[verb](storage, clock)
    assert statements
    with sqlite3.connect(str(make_url(database).database)) as connection:
        for statement, values in statements:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            assert not [step for step in plan if step.startswith("SCAN") and step != "SCAN CONSTANT ROW"], (
                statement,
                plan,
            )
            if verb in IN_ORDER:  # already in order, by the index
                assert not [step for step in plan if "TEMP B-TREE" in step], (statement, plan)
    connection.close()


# These are in the way of nothing: few rows, or read as a whole by what they are for.
WHOLE = {"ix_jobs_undelivered"}  # indexes of the very rows that are looked for
SMALL = {"alembic_version", "deleted_files", "guilds"}


@pytest.fixture(scope="module")
def crowded(databases: Databases) -> str:
    """A database on PostgreSQL with enough in it that its planner prefers indexes, and counts taken."""
    url = databases.empty()
    migrate(url)
    with ThreadPoolExecutor(max_workers=1) as thread:
        filled = make_up(url, ended=4_000, waiting=60, model="pocket", now=Clock()())
        thread.submit(asyncio.run, filled).result()
    return url


@pytest.fixture
async def crowd(crowded: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Storage]:
    async with open_storage(database=crowded, files=tmp_path / "files", clock=clock) as opened:
        yield opened


@pytest.mark.parametrize("verb", VERBS if SERVER else [])
@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_postgresql_searches_nothing_from_end_to_end_either(
    crowded: str, crowd: Storage, clock: Clock, verb: str
) -> None:
    with statements_of() as statements:
        await VERBS[verb](crowd, clock)
    assert statements
    connection = await asyncpg.connect(make_url(crowded).set(drivername="postgresql").render_as_string())
    try:
        for statement, values in statements:
            for indexes_only in (False, True):  # as it is, and then whether an index could do it for small tables too
                await connection.execute(f"SET enable_seqscan = {'off' if indexes_only else 'on'}")
                [plan] = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values))
                for step in steps_of(plan["Plan"]):
                    if step["Node Type"] == "Seq Scan":
                        large = step["Relation Name"] in ("jobs", "images", "credit_entries")
                        assert not large, (statement, plan)
                        assert not indexes_only or step["Relation Name"] in SMALL, (statement, plan)
                    if step["Node Type"] in ("Index Scan", "Index Only Scan") and not indexes_only:
                        assert "Index Cond" in step or step.get("Index Name") in WHOLE, (statement, plan)
    finally:
        await connection.close()


def steps_of(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A step of a plan and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from steps_of(below)


@contextmanager
def statements_of() -> Iterator[list[tuple[str, Any]]]:
    """Whatever reads, changes or deletes rows while the block runs, with its values."""
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and "FROM pg_catalog" not in statement:
            statements.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)
