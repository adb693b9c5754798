"""Whatever happens in whatever order, over midnight too: the ledger explains each balance, nobody falls below nothing,
and each job is charged once and ends once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select
from storage_databases import Databases
from storage_samples import ANNA, BEN, HARBOUR, WORKER, Clock, order, pictures

from generation.job import MAX_ATTEMPTS, JobStatus
from storage.database import Database
from storage.errors import OutOfCredits
from storage.storage import open_storage
from storage.tables import CreditEntryRow, EntryKind

T = TypeVar("T")

MEMBERS = [(ANNA, HARBOUR), (ANNA, None), (BEN, HARBOUR)]
members = st.sampled_from(MEMBERS)
amounts = st.integers(0, 12)
defaults = st.sampled_from([None, 0, 5, 10])
picks = st.integers(0, 99)


@dataclass
class Member:
    """What a member should have, told without a ledger: a purse of granted credits and one of the day."""

    own: int | None = None
    granted: int = 0
    spent: Counter[tuple[date, int]] = field(default_factory=Counter)  # by day and setting of the allowance
    setting: int = 0


@dataclass
class Charge:
    """What a job took, and from which purses."""

    member: Member
    counted_in: tuple[date, int]
    from_allowance: int
    from_granted: int
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0


class Ledger(RuleBasedStateMachine):
    """Storage beside a model of it that fits on a page."""

    def __init__(self, database: str, files: Path) -> None:
        super().__init__()
        self.clock = Clock()
        self.members = {member: Member() for member in MEMBERS}
        self.charges: dict[int, Charge] = {}
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        storage = open_storage(database=database, files=files, clock=self.clock)
        self.storage = self.do(self.opened.enter_async_context(storage))
        self.database = self.do(self.opened.enter_async_context(Database.open(database)))

    def teardown(self) -> None:
        self.do(self.opened.aclose())
        self.runner.close()

    def do(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    def pick(self, number: int) -> tuple[int, Charge]:
        return list(self.charges.items())[number % len(self.charges)]

    def give_back(self, charge: Charge, status: JobStatus) -> None:
        charge.status = status
        charge.member.granted += charge.from_granted
        charge.member.spent[charge.counted_in] -= charge.from_allowance

    @rule(who=members, cost=amounts, default=defaults)
    def order(self, who: tuple[int, int | None], cost: int, default: int | None) -> None:
        member = self.members[who]
        counted_in = (self.clock().date(), member.setting)
        allowance = default if member.own is None else member.own
        work = self.storage.jobs.order(
            order(user_id=who[0], guild_id=who[1], cost=cost), allowance=default, max_queued=10_000
        )
        if allowance is not None and cost > (available := left_of(member, allowance, counted_in)):
            with pytest.raises(OutOfCredits) as refusal:
                self.do(work)
            assert refusal.value.fields["available"] == available
            return
        job = self.do(work)
        from_allowance = cost if allowance is None else min(cost, max(0, allowance - member.spent[counted_in]))
        charge = Charge(member, counted_in, from_allowance, cost - from_allowance)
        member.spent[counted_in] += charge.from_allowance
        member.granted -= charge.from_granted
        self.charges[job.id] = charge

    @precondition(lambda self: self.charges)
    @rule(number=picks)
    def lease(self, number: int) -> None:
        job_id, charge = self.pick(number)
        leased = self.do(self.storage.jobs.lease([job_id], worker=WORKER, seconds=60))
        assert bool(leased) == (charge.status is JobStatus.QUEUED)
        if leased:
            charge.status, charge.attempt = JobStatus.RUNNING, charge.attempt + 1

    @precondition(lambda self: self.charges)
    @rule(number=picks)
    def finish(self, number: int) -> None:
        job_id, charge = self.pick(number)
        finished = self.do(self.storage.jobs.finish(job_id, worker=WORKER, pictures=pictures()))
        assert (finished is not None) == (charge.status is JobStatus.RUNNING)
        if finished:
            charge.status = JobStatus.DONE

    @precondition(lambda self: self.charges)
    @rule(number=picks, ending=st.sampled_from([JobStatus.FAILED, JobStatus.CANCELLED]))
    def end_without_pictures(self, number: int, ending: JobStatus) -> None:
        job_id, charge = self.pick(number)
        jobs = self.storage.jobs
        ended = self.do(jobs.cancel(job_id) if ending is JobStatus.CANCELLED else jobs.fail(job_id, error="x"))
        assert ended == (not charge.status.terminal)
        if ended:
            self.give_back(charge, ending)

    @rule()
    def lose_the_worker(self) -> None:
        back = self.do(self.storage.jobs.take_back_expired(self.clock.tick(minutes=2)))
        assert [job.id for job in back] == [i for i, c in self.charges.items() if c.status is JobStatus.RUNNING]
        for job in back:
            charge = self.charges[job.id]
            if charge.attempt < MAX_ATTEMPTS:
                charge.status = JobStatus.QUEUED
            else:
                self.give_back(charge, JobStatus.FAILED)

    @rule(who=members, credits=amounts)
    def set_allowance(self, who: tuple[int, int | None], credits: int) -> None:
        self.do(self.storage.credits.set_allowance(*who, credits))
        self.members[who].own, self.members[who].setting = credits, self.members[who].setting + 1

    @rule(who=members)
    def clear_allowance(self, who: tuple[int, int | None]) -> None:
        self.do(self.storage.credits.clear_allowance(*who))
        self.members[who].own, self.members[who].setting = None, self.members[who].setting + 1

    @rule(who=members, credits=st.integers(1, 12))
    def grant(self, who: tuple[int, int | None], credits: int) -> None:
        self.members[who].granted += credits
        assert self.do(self.storage.credits.grant(*who, credits)) == self.members[who].granted

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.clock.tick(hours=hours)

    @invariant()
    def balances_are_right_and_never_negative(self) -> None:
        for who, member in self.members.items():
            balance = self.do(self.storage.credits.balance(*who, allowance=10))
            counted_in = (self.clock().date(), member.setting)
            assert balance.spent_today == member.spent[counted_in] >= 0
            assert balance.granted == member.granted >= 0
            assert balance.available == left_of(member, 10 if member.own is None else member.own, counted_in)
            assert balance.own == (member.own is not None)

    @invariant()
    def each_job_is_charged_once_and_ends_once(self) -> None:
        entries = self.do(self.entries())
        for job_id, charge in self.charges.items():
            kinds = [entry.kind for entry in entries if entry.job_id == job_id]
            ending = {JobStatus.DONE: [EntryKind.SETTLE], JobStatus.QUEUED: [], JobStatus.RUNNING: []}
            assert kinds == [EntryKind.HOLD, *ending.get(charge.status, [EntryKind.REFUND])]
            moved = sum(entry.allowance_part + entry.granted_part for entry in entries if entry.job_id == job_id)
            refunded = charge.status in (JobStatus.FAILED, JobStatus.CANCELLED)
            assert moved == (0 if refunded else -charge.from_allowance - charge.from_granted)

    async def entries(self) -> list[CreditEntryRow]:
        async with self.database.reading() as session:
            return list(await session.scalars(select(CreditEntryRow).order_by(CreditEntryRow.id)))


def left_of(member: Member, allowance: int, counted_in: tuple[date, int]) -> int:
    return max(0, allowance - member.spent[counted_in]) + member.granted


def test_the_ledger_explains_every_balance(databases: Databases, tmp_path: Path) -> None:
    def machine() -> Any:
        return Ledger(databases.migrated(), tmp_path)

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    )
