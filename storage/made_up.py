"""A made-up past: very many jobs in a database, as the verbs would have written them, to measure and test with.

Nothing here runs while the bot does. Rows come in bulk, so that a hundred thousand jobs take seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, case, func, insert, literal, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession

from generation.job import JobKind, JobStatus, NewJob, Priority
from generation.recipe import LoraUse, Recipe
from storage import ledger
from storage.database import Database, create_engine
from storage.tables import CreditEntryRow, EntryKind, GuildRow, ImageRow, JobRow, Table, UserRow

Row: TypeAlias = dict[str, Any]

AT_ONCE = 5_000  # rows in one statement's list of values
DAYS = 365  # that the past goes back
HEAVY = 8  # members who ordered half of all that ever was
GUILD_ID = 1
FIRST_MEMBER = 1000
GRANTED = 1_000_000  # credits, to each of them
# What the jobs that wait ask for, in turn. They differ in what may share a forward pass, so that a pick has to look.
LORAS = ((), ("neon",), ("ink",), ("neon", "ink"))


def made_up_job(number: int, user_id: int, *, model: str) -> NewJob:
    """An order of a picture of 1024×1024."""
    recipe = Recipe(
        prompt=f"a red boat on the sea, number {number}, at dusk, painted with a broad brush",
        model=model,
        width=1024,
        height=1024,
        seed=number,
        num_inference_steps=30,
        guidance_scale=5.0,
        loras=tuple(LoraUse(name=name) for name in LORAS[number % len(LORAS)]),
    )
    return NewJob(
        kind=JobKind.IMAGINE,
        recipes=(recipe,),
        request=f"{recipe.prompt} --n 1 --seed {number}",
        style=None,
        user_id=user_id,
        guild_id=GUILD_ID,
        channel_id=5,
        cost=1,
        priority=Priority.RELAX if number % 10 == 9 else Priority.FAST,
    )


async def make_up(database: str, *, ended: int, waiting: int, model: str, now: datetime) -> list[int]:
    """Fill a migrated, empty database with jobs that have ended and been told, and others that wait.

    Those who wait have two jobs each. `HEAVY` members ordered half of what has ended, a tenth of that with granted
    credits; their ids come back.
    """
    engine = create_engine(database)
    try:
        opened = Database(engine, engine, lambda: now)
        members = max(HEAVY, waiting // 2)
        async with opened.writing() as session:
            await _people(session, members, now)
            await _jobs(session, _ended(ended, members, model, now))
            await _jobs(session, _waiting(waiting, members, model, now))
            await _pictures(session)
            await _credits(session, now)
        if engine.dialect.name == "postgresql":  # it does so by itself, once in a while
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.execute(text("VACUUM ANALYZE"))
    finally:
        await engine.dispose()
    return [FIRST_MEMBER + number for number in range(HEAVY)]


async def _people(session: AsyncSession, members: int, now: datetime) -> None:
    await session.execute(insert(GuildRow), [{"id": GUILD_ID, "created_at": now}])
    for some in _chunks(members):
        people = [{"id": FIRST_MEMBER + number, "created_at": now} for number in some]
        await session.execute(Table.metadata.tables[UserRow.__tablename__].insert(), people)


def _ended(count: int, members: int, model: str, now: datetime) -> Iterator[Row]:
    for number in range(count):
        # Every other job is one of the heavy members'.
        user_id = FIRST_MEMBER + (number // 2 % HEAVY if number % 2 else number % members)
        at = now - timedelta(days=1) - timedelta(days=DAYS) * (count - number) / count
        failed = number % 50 == 23
        yield _row(made_up_job(number, user_id, model=model), at) | {
            "request_key": f"past-{number}",
            "message_id": 10**17 + number,
            "status": JobStatus.FAILED if failed else JobStatus.DONE,
            "error": "worker_lost" if failed else None,
            "attempt": 1,
            "started_at": at,
            "finished_at": at,
            "delivered_at": at,
        }


def _waiting(count: int, members: int, model: str, now: datetime) -> Iterator[Row]:
    for number in range(count):
        at = now - timedelta(hours=1) + timedelta(hours=1) * number / count
        yield _row(made_up_job(number, FIRST_MEMBER + number % members, model=model), at) | {
            "request_key": f"now-{number}",
            "message_id": 2 * 10**17 + number,
        }


def _row(new: NewJob, now: datetime) -> Row:
    """A queued job without what a later verb gave it."""
    ordered = {field.name: getattr(new, field.name) for field in fields(NewJob)}
    absent = dict.fromkeys(column.name for column in JobRow.__table__.columns if column.name != "id")
    return absent | ordered | {"status": JobStatus.QUEUED, "attempt": 0, "created_at": now}


async def _jobs(session: AsyncSession, rows: Iterator[Row]) -> None:
    while some := list(islice(rows, AT_ONCE)):
        await session.execute(Table.metadata.tables[JobRow.__tablename__].insert(), some)


async def _pictures(session: AsyncSession) -> None:
    """One for each job that is done. Their files are not there."""
    of_job = (JobRow.id, JobRow.user_id, JobRow.guild_id, JobRow.recipes, JobRow.finished_at)
    done = select(*of_job).where(JobRow.status == JobStatus.DONE).order_by(JobRow.id)
    rows = await session.stream(done.execution_options(yield_per=AT_ONCE))
    async for some in rows.partitions():
        await session.execute(
            Table.metadata.tables[ImageRow.__tablename__].insert(),
            [
                {
                    "job_id": job_id,
                    "index": 0,
                    "user_id": user_id,
                    "guild_id": guild_id,
                    "recipe": recipes[0],
                    "digest": hashlib.sha256(str(job_id).encode()).hexdigest(),
                    "width": recipes[0].width,
                    "height": recipes[0].height,
                    "created_at": finished_at,
                    "recipe_digest": recipes[0].digest,
                }
                for job_id, user_id, guild_id, recipes, finished_at in some
            ],
        )


async def _credits(session: AsyncSession, now: datetime) -> None:
    """A hold for each job, and an ending for each that has ended."""
    names = [column.name for column in CreditEntryRow.__table__.columns if column.name != "id"]
    price = case((JobRow.priority == Priority.RELAX, 0), else_=JobRow.cost)
    granted = case((JobRow.id % 20 == 6, price), else_=0)
    none = literal(0)
    kinds: dict[EntryKind, tuple[JobStatus, ColumnElement[int], ColumnElement[int]]] = {
        EntryKind.SETTLE: (JobStatus.DONE, none, none),
        EntryKind.REFUND: (JobStatus.FAILED, price - granted, granted),
    }

    async def enter(
        kind: EntryKind, condition: ColumnElement[bool], allowance_part: ColumnElement[int], part: ColumnElement[int]
    ) -> None:
        of_job = select(
            literal(kind.value).label("kind"),
            JobRow.user_id,
            JobRow.guild_id,
            JobRow.id.label("job_id"),
            func.date(JobRow.created_at).label("day"),
            literal(0).label("allowance_revision"),
            allowance_part.label("allowance_part"),
            part.label("granted_part"),
            func.coalesce(JobRow.finished_at, JobRow.created_at).label("created_at"),
        ).where(condition)
        in_order = sorted(of_job.selected_columns, key=lambda column: names.index(column.name))
        await session.execute(insert(CreditEntryRow).from_select(names, of_job.with_only_columns(*in_order)))

    await enter(EntryKind.HOLD, true(), granted - price, -granted)
    for kind, (status, allowance_part, granted_part) in kinds.items():
        await enter(kind, JobRow.status == status, allowance_part, granted_part)
    for number in range(HEAVY):
        await ledger.grant(session, FIRST_MEMBER + number, GUILD_ID, GRANTED, now=now)


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE))
