"""What is read often is read by an index, however long the history grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from storage_samples import ANNA, HARBOUR, WORKER, Clock, order, recipe

from generation.job import JobStatus, Priority
from storage.relaxing import RelaxLimits
from storage.storage import Storage

Verb = Callable[[Storage, Clock], Awaitable[Any]]

VERBS: dict[str, Verb] = {
    "waiting": lambda storage, clock: storage.jobs.waiting(),
    "lease": lambda storage, clock: storage.jobs.lease([1, 2, 3], worker=WORKER, seconds=0),
    "renew": lambda storage, clock: storage.jobs.renew([1, 2, 3], worker=WORKER, seconds=0),
    "take_back_expired": lambda storage, clock: storage.jobs.take_back_expired(clock()),
    "take_back_from": lambda storage, clock: storage.jobs.take_back_from("host-a"),
    "undelivered": lambda storage, clock: storage.jobs.undelivered(),
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
    "counts": lambda storage, clock: storage.jobs.counts(ANNA, HARBOUR),
    "order": lambda storage, clock: storage.jobs.order(order(), allowance=10, max_queued=10, request_key="key"),
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
    with selects() as statements:
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


@contextmanager
def selects() -> Iterator[list[tuple[str, Any]]]:
    """The SELECTs that are sent while the block runs, with their values."""
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)
