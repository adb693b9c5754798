"""Retention: what is old is forgotten, a few rows at a time, so that nobody waits for it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, exists, or_, select, update

from generation.job import JobStatus
from storage.database import Database
from storage.deletion import Deletion, files_of_deleted, forget_files, forget_images
from storage.file_needs import AT_ONCE, BULK, NO_RECIPES, RECIPES_TEXT, files_at_work, files_of_jobs, pictured
from storage.files import Files
from storage.tables import BanRow, ConfirmationRow, FavouriteRow, ImageRow, JobRow, ModeratorLogRow, ShowingRow
from storage.uninterrupted import uninterrupted

_ENDED = tuple(status for status in JobStatus if status.terminal)


@uninterrupted
class Retention:
    """Forgets what is older than a moment. Each verb does a part of the work, until it says that nothing was left."""

    def __init__(self, database: Database, files: Files, deletion: Deletion) -> None:
        self._database = database
        self._files = files
        self._deletion = deletion

    def now(self) -> datetime:
        """The time by which rows are stamped."""
        return self._database.now()

    async def forget_pictures(self, before: datetime) -> int:
        """Delete pictures made before that, rows and files, unless they are somebody's favourites; how many."""
        async with self._database.writing() as session:
            old = select(ImageRow.id).where(
                ImageRow.created_at < before, ~exists().where(FavouriteRow.image_id == ImageRow.id)
            )
            ids = list(await session.scalars(old.order_by(ImageRow.id).limit(AT_ONCE)))
            deleted = await forget_images(session, ids)
        await self._deletion.drop_files(deleted.digests)
        return len(ids)

    async def forget_jobs(self, before: datetime) -> int:
        """Forget what was typed for jobs that ended before that and of which no picture is left; how many.

        The bare rows stay: the ledger refers to them.
        """
        async with self._database.writing() as session:
            old = select(JobRow.id).where(
                JobRow.status.in_(_ENDED),
                JobRow.finished_at < before,
                JobRow.delivered_at.is_not(None),
                or_(RECIPES_TEXT != NO_RECIPES, JobRow.request != ""),
                ~exists().where(ImageRow.job_id == JobRow.id),
            )
            ids = list(await session.scalars(old.order_by(JobRow.id).limit(AT_ONCE)))
            # Without messages: what bare jobs still show is to be removed (`PersonalData`), and these may stand.
            forgotten = {"recipes": (), "request": "", "style": None, "message_id": None}
            await session.execute(update(JobRow).where(JobRow.id.in_(ids)).values(forgotten), execution_options=BULK)
            await session.execute(delete(ShowingRow).where(ShowingRow.job_id.in_(ids)), execution_options=BULK)
        return len(ids)

    async def forget_log(self, before: datetime) -> int:
        """Delete entries of the moderator logs that were made before that; how many."""
        async with self._database.writing() as session:
            old = select(ModeratorLogRow.id).where(ModeratorLogRow.created_at < before)
            ids = list(await session.scalars(old.order_by(ModeratorLogRow.id).limit(AT_ONCE)))
            await session.execute(delete(ModeratorLogRow).where(ModeratorLogRow.id.in_(ids)), execution_options=BULK)
        return len(ids)

    async def forget_expired(self) -> int:
        """Delete questions that are too old to be answered and bans that have run out; how many."""
        async with self._database.writing() as session:
            now = self._database.now()
            over = (
                delete(ConfirmationRow).where(ConfirmationRow.expires_at <= now).returning(ConfirmationRow.id),
                delete(BanRow).where(BanRow.until <= now).returning(BanRow.user_id),
            )
            return sum([len((await session.scalars(each, execution_options=BULK)).all()) for each in over])

    async def clear_files(self, *, unneeded: datetime, uploads: datetime | None) -> int:
        """Take away files that were last written before `unneeded` and that nothing names any more; how many.

        So too copies of pictures that people brought, and masks, last brought before `uploads`, unless a job that has
        not ended starts from them. None: what an ended job can be ordered again from stays, but no deleted picture.
        """
        await self._files.clear_unfinished(unneeded)
        old = await self._files.last_written(unneeded if uploads is None else max(unneeded, uploads))
        async with self._database.reading() as session:
            kept = await files_at_work(session, self._database.now())
            kept |= await pictured(session, old)
            deleted = await files_of_deleted(session)
            brought = await files_of_jobs(session, JobRow.status.in_(_ENDED)) - deleted
        removed = 0
        for digest in old:
            limit = uploads if digest in brought else unneeded
            if digest not in kept and limit is not None:
                # Asked for its age once more: its bytes may have been brought again, for a row that is not there yet.
                removed += await self._files.remove(digest, before=limit)
        if gone := [digest for digest in deleted if not await self._files.exists(digest)]:
            async with self._database.writing() as session:
                await forget_files(session, gone)
        return removed
