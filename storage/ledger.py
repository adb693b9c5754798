"""The credit ledger: what each movement of credits does, inside a transaction that the caller holds open.

Every movement is one row of `credit_entries` with two signed parts, and a balance is nothing but sums over them:

=======  ====================================  ================================================================
kind     parts                                 meaning
=======  ====================================  ================================================================
grant    granted +                             a moderator gave credits; they do not lapse
hold     allowance −, then granted −           a job was ordered
settle   none                                  the job is done: its hold is final
refund   the parts of the hold, turned round   the job failed or was cancelled
=======  ====================================  ================================================================

*Granted* is the sum of all granted parts. *Spent today* is minus the sum of the allowance parts of one UTC day **and**
one revision of the member's allowance: a moderator's `set` or `reset` begins a new revision, and so begins to count
anew. A refund carries the day and revision of its hold, so what comes back late raises no other day's allowance.

Who cannot run out (`allowance` None) is recorded like everyone else, all in the allowance part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from generation.job import price_of
from storage.errors import OutOfCredits
from storage.tables import AllowanceRow, CreditEntryRow, EntryKind, JobRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a member may spend now, in credits.

    `allowance` is per UTC day, None if unlimited (then so are `allowance_left` and `available`); `own` tells that a
    moderator set it for this member. `granted` credits come on top and do not lapse. `renews_at` is when the next day
    begins.
    """

    allowance: int | None
    spent_today: int
    allowance_left: int | None
    granted: int
    available: int | None
    renews_at: datetime
    own: bool


async def allowance_row(session: AsyncSession, user_id: int, guild_id: int | None) -> AllowanceRow | None:
    """What a moderator set for this member, or None."""
    return await session.scalar(
        select(AllowanceRow).where(AllowanceRow.user_id == user_id, AllowanceRow.guild_id == guild_id)
    )


async def balance(
    session: AsyncSession, user_id: int, guild_id: int | None, *, allowance: int | None, now: datetime
) -> Balance:
    """The member's balance at `now`. `allowance` is what holds if no moderator set one for this member."""
    own = await allowance_row(session, user_id, guild_id)
    return await _balance(session, user_id, guild_id, own=own, allowance=allowance, now=now)


async def afford(
    session: AsyncSession, user_id: int, guild_id: int | None, cost: int, *, allowance: int | None, now: datetime
) -> Balance:
    """The member's balance, if it holds that much. Raises `OutOfCredits`."""
    at_hand = await balance(session, user_id, guild_id, allowance=allowance, now=now)
    _check(at_hand, cost)
    return at_hand


async def hold(session: AsyncSession, jobs: Sequence[JobRow], *, allowance: int | None, now: datetime) -> None:
    """Take the price of these jobs from their one owner, today's allowance first. The owner's row must be locked.

    A relaxed job's hold is of nothing, so that every job has one.

    Raises `OutOfCredits` where all together cost too much; then nothing was taken.
    """
    user_id, guild_id = jobs[0].user_id, jobs[0].guild_id
    own = await allowance_row(session, user_id, guild_id)
    at_hand = await _balance(session, user_id, guild_id, own=own, allowance=allowance, now=now)
    prices = [price_of(job.cost, job.priority) for job in jobs]
    _check(at_hand, sum(prices))
    left = at_hand.allowance_left
    for job, price in zip(jobs, prices, strict=True):
        from_allowance = price if left is None else min(price, left)
        left = None if left is None else left - from_allowance
        session.add(
            CreditEntryRow(
                kind=EntryKind.HOLD,
                user_id=user_id,
                guild_id=guild_id,
                job_id=job.id,
                day=_day(now),
                allowance_revision=_revision(own),
                allowance_part=-from_allowance,
                granted_part=from_allowance - price,
                created_at=now,
            )
        )


async def settle(session: AsyncSession, job: JobRow, *, now: datetime) -> None:
    """Make the hold of a done job final."""
    held = await _hold_of(session, job)
    session.add(_ending(held, EntryKind.SETTLE, allowance_part=0, granted_part=0, now=now))


async def refund(session: AsyncSession, job: JobRow, *, now: datetime) -> None:
    """Give back what was held for a failed or cancelled job, in the parts in which it was taken."""
    held = await _hold_of(session, job)
    session.add(
        _ending(
            held,
            EntryKind.REFUND,
            allowance_part=-held.allowance_part,
            granted_part=-held.granted_part,
            now=now,
        )
    )


async def grant(session: AsyncSession, user_id: int, guild_id: int | None, credits: int, *, now: datetime) -> int:
    """Add credits that do not lapse; the granted balance after it."""
    session.add(
        CreditEntryRow(
            kind=EntryKind.GRANT,
            user_id=user_id,
            guild_id=guild_id,
            allowance_part=0,
            granted_part=credits,
            created_at=now,
        )
    )
    await session.flush()
    return (await balance(session, user_id, guild_id, allowance=None, now=now)).granted


def _check(at_hand: Balance, cost: int) -> None:
    if at_hand.available is not None and cost > at_hand.available:
        raise OutOfCredits(cost=cost, available=at_hand.available, renews_at=at_hand.renews_at)


def _day(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _revision(own: AllowanceRow | None) -> int:
    return 0 if own is None else own.revision


async def _balance(
    session: AsyncSession,
    user_id: int,
    guild_id: int | None,
    *,
    own: AllowanceRow | None,
    allowance: int | None,
    now: datetime,
) -> Balance:
    own_credits = None if own is None else own.credits
    if own_credits is not None:
        allowance = own_credits
    spent, granted = await _sums(session, user_id, guild_id, day=_day(now), revision=_revision(own))
    left = None if allowance is None else max(0, allowance - spent)
    return Balance(
        allowance=allowance,
        spent_today=spent,
        allowance_left=left,
        granted=granted,
        available=None if left is None else left + granted,
        renews_at=datetime.combine(_day(now) + timedelta(days=1), time(), UTC),
        own=own_credits is not None,
    )


async def _hold_of(session: AsyncSession, job: JobRow) -> CreditEntryRow:
    held = await session.scalars(
        select(CreditEntryRow).where(CreditEntryRow.job_id == job.id, CreditEntryRow.kind == EntryKind.HOLD)
    )
    return held.one()  # a job without one cannot be: both were written in one transaction


def _ending(
    held: CreditEntryRow, kind: EntryKind, *, allowance_part: int, granted_part: int, now: datetime
) -> CreditEntryRow:
    return CreditEntryRow(
        kind=kind,
        user_id=held.user_id,
        guild_id=held.guild_id,
        job_id=held.job_id,
        day=held.day,
        allowance_revision=held.allowance_revision,
        allowance_part=allowance_part,
        granted_part=granted_part,
        created_at=now,
    )


async def _sums(
    session: AsyncSession, user_id: int, guild_id: int | None, *, day: date, revision: int
) -> tuple[int, int]:
    """What was spent of that day's allowance, and the granted credits: in one round trip, for it is on every order."""
    of_member = (CreditEntryRow.user_id == user_id, CreditEntryRow.guild_id == guild_id)
    of_allowance = select(func.coalesce(-func.sum(CreditEntryRow.allowance_part), 0)).where(
        *of_member, CreditEntryRow.day == day, CreditEntryRow.allowance_revision == revision
    )
    # 0 is spelled as in the index and not sent as a value: only then is the partial index used.
    of_granted = select(func.coalesce(func.sum(CreditEntryRow.granted_part), 0)).where(
        *of_member, CreditEntryRow.granted_part != literal_column("0")
    )
    row = (await session.execute(select(of_allowance.scalar_subquery(), of_granted.scalar_subquery()))).one()
    return int(row[0]), int(row[1])
