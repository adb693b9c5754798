"""What is remembered about one person: told whole, or deleted as far as it may be."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Text, delete, func, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncSession

from generation.job import UNFINISHED, Job, JobStatus, Priority
from storage.database import Database
from storage.deletion import Deleted, forget_files, forget_images, remove_files
from storage.file_needs import (
    AT_ONCE,
    BULK,
    NO_RECIPES,
    RECIPES_TEXT,
    files_at_work,
    files_of_jobs,
    files_of_questions,
    pictured,
)
from storage.files import Files
from storage.job_rows import end, job_of, lock_jobs
from storage.kept import settings_changed
from storage.moderator_log import WORDS_REFUSED
from storage.showings import Showing, showings_of
from storage.tables import (
    AllowanceRow,
    BanRow,
    ConfirmationRow,
    CreditEntryRow,
    FavouriteRow,
    ImageRow,
    JobRow,
    ModeratorLogRow,
    SettingRow,
    ShowingRow,
    Table,
    UserRow,
)
from storage.uninterrupted import uninterrupted
from storage.users import lock_user

_RECIPES = {"recipes", "recipe"}  # columns of recipes
# What is told of each table, by the name that it has there. Other people's ids are not: they are their data.
_TOLD: Final[Mapping[str, tuple[type[Table], tuple[str, ...]]]] = {
    "jobs": (
        JobRow,
        ("id", "guild_id", "channel_id", "message_id", "kind", "request", "style", "cost", "priority", "status",
         "spoiler", "age_restricted", "error", "parent_image_id", "created_at", "started_at", "finished_at",
         "delivered_at", "recipes"),
    ),
    "images": (
        ImageRow,
        ("id", "job_id", "index", "guild_id", "parent_image_id", "digest", "width", "height", "created_at", "recipe"),
    ),
    "favourites": (FavouriteRow, ("image_id", "created_at")),
    "credits": (
        CreditEntryRow, ("kind", "guild_id", "job_id", "day", "allowance_part", "granted_part", "created_at"),
    ),
    "allowances": (AllowanceRow, ("guild_id", "credits")),
    "open_questions": (
        ConfirmationRow, ("id", "guild_id", "channel_id", "requests", "picture", "cost", "expires_at"),
    ),
    "bans": (BanRow, ("guild_id", "reason", "until", "created_at")),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was deleted: how many pictures, the words of how many jobs, how many copies of pictures that were brought.

    `cancelled` are the jobs that had not ended, as they are now but with their words.
    """

    pictures: int
    jobs: int
    uploads: int
    cancelled: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What there was when a deletion began: jobs up to `last_job`, and the files that were brought for them."""

    cancelled: tuple[Job, ...]
    brought: frozenset[str]
    last_job: int


@uninterrupted
class PersonalData:
    """A person's data, in all servers and direct messages."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files

    async def told(self, user_id: int) -> Mapping[str, Any]:
        """All that is remembered about the person, as JSON-ready values."""
        async with self._database.reading() as session:
            known = await session.scalar(select(UserRow.created_at).where(UserRow.id == user_id))
            settings = await session.execute(
                select(SettingRow.key, SettingRow.value).where(
                    SettingRow.scope == "user", SettingRow.scope_id == user_id
                )
            )
            tables = {
                name: await _rows(session, table, columns, table.__table__.c.user_id == user_id)
                for name, (table, columns) in _TOLD.items()
            }
            entries = ("guild_id", "action", "details", "created_at")
            log = {
                name: await _rows(session, ModeratorLogRow, entries, column == user_id)
                for name, column in (
                    ("moderator_log_about_you", ModeratorLogRow.target_id),
                    ("moderator_log_by_you", ModeratorLogRow.moderator_id),
                )
            }
            # The recipes of a job are those of its pictures, where there are any.
            drawn = {image["job_id"] for image in tables["images"]}
            for job in tables["jobs"]:
                if job["id"] in drawn:
                    del job["recipes"]
            return {
                "user_id": user_id,
                "known_since": _plain(known),
                "told_at": _plain(self._database.now()),
                "settings": dict(settings.all()),
                **tables,
                **log,
            }

    async def unfinished(self, user_id: int) -> Sequence[int]:
        """The ids of the person's jobs that have not ended."""
        async with self._database.reading() as session:
            mine = select(JobRow.id).where(JobRow.user_id == user_id, JobRow.status.in_(UNFINISHED))
            return list(await session.scalars(mine.order_by(JobRow.id)))

    async def delete(self, user_id: int) -> Forgotten:
        """Delete pictures, files, favourites, settings, questions and the words of all jobs; what is left is cancelled.

        What stays: the bare jobs and the ledger, allowances and bans, and the moderator logs, without the prompts that
        were refused for a word. Pictures that others made from these live on as theirs, and copies of pictures that
        others brought too stay theirs. It takes several transactions, so that others need not wait for long; broken off
        by a crash, it can be asked for again.
        """
        begun = await self._begin(user_id)
        images: set[str] = set()
        pictures = jobs = 0
        while some := await self._forget_pictures(user_id, begun):
            pictures += len(some.images)
            images |= some.digests
        while count := await self._forget_words(user_id, begun):
            jobs += count
        await self._forget_refused_prompts(user_id)
        uploads = await self._remove_files(images, begun.brought - images)
        return Forgotten(pictures=pictures, jobs=jobs, uploads=uploads, cancelled=begun.cancelled)

    async def _begin(self, user_id: int) -> _Begun:
        """Cancel what has not ended, delete what is little, and note what else there is by now."""
        async with self._database.writing() as session:
            now = self._database.now()
            settings_changed(session)
            mine = SettingRow.scope == "user", SettingRow.scope_id == user_id
            await session.execute(delete(SettingRow).where(*mine), execution_options=BULK)
            if await session.get(UserRow, user_id) is not None:
                await lock_user(session, user_id, now)
            of_person = JobRow.user_id == user_id
            unfinished = await lock_jobs(session, of_person, JobRow.status.in_(UNFINISHED))
            for row in unfinished:
                await end(session, row, JobStatus.CANCELLED, now=now)
            await session.flush()
            brought = await files_of_jobs(session, of_person)
            brought |= await files_of_questions(session, ConfirmationRow.user_id == user_id)
            for table in (FavouriteRow, ConfirmationRow):
                await session.execute(delete(table).where(table.user_id == user_id), execution_options=BULK)
            return _Begun(
                cancelled=tuple(job_of(row) for row in unfinished),
                brought=frozenset(brought),
                last_job=await session.scalar(select(func.max(JobRow.id)).where(of_person)) or 0,
            )

    async def _forget_pictures(self, user_id: int, begun: _Begun) -> Deleted | None:
        """Delete some of the pictures; None when there are no more."""
        async with self._database.writing() as session:
            mine = select(ImageRow.id).where(ImageRow.user_id == user_id, ImageRow.job_id <= begun.last_job)
            ids = (await session.scalars(mine.limit(AT_ONCE))).all()
            return await forget_images(session, ids) if ids else None

    async def _forget_words(self, user_id: int, begun: _Begun) -> int:
        """Make bare rows of some of the jobs that have words; how many. Their messages can still be found."""
        async with self._database.writing() as session:
            worded = JobRow.user_id == user_id, JobRow.id <= begun.last_job, RECIPES_TEXT != NO_RECIPES
            rows = select(JobRow.id).where(*worded).order_by(JobRow.id).limit(AT_ONCE).with_for_update()
            ids = (await session.scalars(rows)).all()
            bare = {"recipes": (), "request": "", "style": None, "parent_image_id": None}
            await session.execute(update(JobRow).where(JobRow.id.in_(ids)).values(bare), execution_options=BULK)
            return len(ids)

    async def _forget_refused_prompts(self, user_id: int) -> None:
        """Take what the person typed out of the moderator logs; that it was refused, and for which word, stays."""
        refused = ModeratorLogRow.target_id == user_id, ModeratorLogRow.action == WORDS_REFUSED
        async with self._database.reading() as session:  # there is no index for it: no writer shall wait so long
            ids = (await session.scalars(select(ModeratorLogRow.id).where(*refused))).all()
        for first in range(0, len(ids), AT_ONCE):
            async with self._database.writing() as session:
                some = select(ModeratorLogRow).where(ModeratorLogRow.id.in_(ids[first : first + AT_ONCE]))
                for row in await session.scalars(some.order_by(ModeratorLogRow.id).with_for_update()):
                    row.details = {**row.details, "prompt": None}

    async def _remove_files(self, images: Set[str], uploads: Set[str]) -> int:
        """Remove the files that pictures were kept in, and those of copies that nobody else brought: how many copies.

        A job of somebody else that is to start from one of these pictures fails, and is paid back.
        """
        asked_at = datetime.now(UTC)  # as files are stamped; what is written from now on is somebody else's
        async with self._database.reading() as session:
            if uploads:
                uploads -= await files_of_jobs(session) | await files_at_work(session, self._database.now())
            kept = await pictured(session, images | uploads)
        gone = await remove_files(self._files, (images | uploads) - kept, asked_at=asked_at)
        async with self._database.writing() as session:
            await forget_files(session, gone)
        return len(uploads - kept)

    async def messages_left(self) -> Sequence[Showing]:
        """The messages of ours that show jobs of people who deleted their data: `Showings.forget` strikes one off.

        Only those that nothing will be written into any more.
        """
        bare = RECIPES_TEXT == NO_RECIPES, JobRow.delivered_at.is_not(None)
        told = select(JobRow.id).where(*bare, JobRow.message_id.is_not(None))
        shown = select(JobRow.id).where(*bare, JobRow.id.in_(select(ShowingRow.job_id)))
        async with self._database.reading() as session:
            jobs = {job for query in (told, shown) for job in await session.scalars(query)}
            return await showings_of(session, jobs)


async def _rows(
    session: AsyncSession, table: type[Table], columns: Sequence[str], condition: ColumnElement[bool]
) -> list[dict[str, Any]]:
    """Those of a table, in the order of their keys."""
    wanted = [getattr(table, name) for name in columns]
    wanted = [type_coerce(column, Text).label(column.key) if column.key in _RECIPES else column for column in wanted]
    query = select(*wanted).where(condition).order_by(*table.__table__.primary_key)
    found = await session.stream(query.execution_options(yield_per=AT_ONCE))
    rows: list[dict[str, Any]] = []
    async for some in found.mappings().partitions():
        rows += await asyncio.to_thread(_plain_rows, some)  # there may be very many recipes to be read
    return rows


def _plain_rows(rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    return [{key: _plain(value, recipe=key in _RECIPES) for key, value in row.items()} for row in rows]


def _plain(value: Any, *, recipe: bool = False) -> Any:
    """A column's value as JSON has it."""
    match value:
        case str() if recipe:
            return json.loads(value)
        case datetime() | date():
            return value.isoformat()
        case Priority():
            return value.name.lower()
        case enum.Enum():
            return value.value
        case _:
            return value
