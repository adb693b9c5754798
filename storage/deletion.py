"""Deletion of pictures: their rows, who liked them, their files. What was made from them stays, without a parent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.errors import FilesUnavailable, FilesUnwritable
from storage.file_needs import AT_ONCE, BULK, files_at_work, pictured
from storage.files import Files
from storage.images import Image, image_of
from storage.inserting import insert_all_new
from storage.job_rows import lock_jobs
from storage.moderator_log import write_down
from storage.tables import DeletedFileRow, FavouriteRow, ImageRow, JobRow
from storage.uninterrupted import uninterrupted

# So many files in a row that cannot be removed are the storage's failure and not theirs: each more would wait as long
# as a request may, and somebody waits for the answer.
_FAILURES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Pictures that are gone."""

    images: tuple[Image, ...] = ()

    @property
    def digests(self) -> frozenset[str]:
        """The files that the pictures were kept in; other pictures may be kept in them too."""
        return frozenset(image.digest for image in self.images)


@uninterrupted
class Deletion:
    """Deletes pictures: first the rows, in one transaction, then the files; after a crash between, nothing names those.

    A file stays while another picture is kept in it, or something unfinished starts from it. It is remembered as that
    of a deleted picture, so that it goes when a job that started from it ends, or with `Retention.clear_files`.
    """

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files

    async def delete_images(self, image_ids: Collection[int], *, by: int) -> Deleted:
        """Delete pictures with their files; those that are gone already are passed over.

        `by` is who did it: where that is not the owner, it goes into the server's moderator log.
        """
        async with self._database.writing() as session:
            deleted = await forget_images(session, image_ids)
            of_others = [image for image in deleted.images if image.user_id != by]
            await _write_down(session, of_others, by, self._database.now())
        await self.drop_files(deleted.digests)
        return deleted

    async def drop_files(self, digests: Collection[str]) -> None:
        """Remove those of the files that nothing needs (any more). What cannot be removed now is logged."""
        # A picture with the same bytes may be finished in this moment. Its file is written once more when its row is
        # there, so that either the row is seen here, or the file is younger than this.
        asked_at = datetime.now(UTC)  # as files are stamped, and not as rows are
        async with self._database.reading() as session:
            needed = await pictured(session, digests) | await files_at_work(session, self._database.now())
        gone = await remove_files(self._files, set(digests) - needed, asked_at=asked_at)
        if gone:
            async with self._database.writing() as session:
                await forget_files(session, gone)

    async def drop_left(self, digests: Collection[str]) -> None:
        """After the end of what started from these files: remove those of deleted pictures that nothing needs any more.

        Never raises, for the end stands: what cannot be removed now goes with `Retention.clear_files`.
        """
        if not digests:
            return
        with suppress(SQLAlchemyError):
            async with self._database.reading() as session:
                left = set(digests) & await files_of_deleted(session)
            if left:
                await self.drop_files(left)

    async def note_removal(self, guild_id: int, *, by: int, message_id: int) -> None:
        """Write down that a moderator removed a message of ours whose pictures were gone already, or never came."""
        async with self._database.writing() as session:
            details = {"message": str(message_id)}  # as text: JSON's numbers do not hold all of Discord's ids
            await write_down(session, guild_id, by, "picture.remove", None, details, now=self._database.now())


async def forget_images(session: AsyncSession, image_ids: Collection[int]) -> Deleted:
    """Delete the rows of pictures inside of a transaction; `Deletion.drop_files` comes after its end.

    What was made from them loses its parent, and they are nobody's favourites any more.
    """
    ids, images = sorted(set(image_ids)), list[Image]()
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        await lock_jobs(session, JobRow.parent_image_id.in_(some))  # jobs before images, as where a job is finished
        rows = await session.scalars(
            select(ImageRow).where(ImageRow.id.in_(some)).order_by(ImageRow.id).with_for_update()
        )
        images += [image_of(row) for row in rows]
        for table in (JobRow, ImageRow):
            await session.execute(
                update(table).where(table.parent_image_id.in_(some)).values(parent_image_id=None),
                execution_options=BULK,
            )
        await session.execute(delete(FavouriteRow).where(FavouriteRow.image_id.in_(some)), execution_options=BULK)
        await session.execute(delete(ImageRow).where(ImageRow.id.in_(some)), execution_options=BULK)
    digests = sorted({image.digest for image in images})  # in one order, so that two transactions cannot deadlock
    for start in range(0, len(digests), AT_ONCE):
        await insert_all_new(session, DeletedFileRow, [{"digest": name} for name in digests[start : start + AT_ONCE]])
    return Deleted(images=tuple(images))


async def remove_files(files: Files, digests: Collection[str], *, asked_at: datetime) -> list[str]:
    """Remove these files, unless their bytes may have been written again since; those that are gone now.

    The others are to stay remembered: they are too young, or another program has begun to remove them, and may have
    died, or the storage fails. That is logged and not raised: the rows are gone, and what follows from it must follow.
    """
    before = asked_at - files.clocks_differ
    gone = list[str]()
    failures = 0  # in a row
    for tried, digest in enumerate(digests, start=1):
        try:
            if await files.remove(digest, before=before) or not await files.exists(digest):
                gone.append(digest)
        except (FilesUnavailable, FilesUnwritable) as error:
            failures += 1
            untried = len(digests) - tried if failures == _FAILURES else 0
            structlog.get_logger(__name__).error("files_failed", digest=digest, untried=untried, error=str(error))
            if failures == _FAILURES:
                break
        else:
            failures = 0
    return gone


async def files_of_deleted(session: AsyncSession) -> set[str]:
    """The digests of files that deleted pictures were kept in and that may be there yet: few, or none."""
    return set(await session.scalars(select(DeletedFileRow.digest)))


async def forget_files(session: AsyncSession, digests: Collection[str]) -> None:
    """These files are gone: they need not be remembered as those of deleted pictures any more."""
    names = sorted(digests)
    for start in range(0, len(names), AT_ONCE):
        some = DeletedFileRow.digest.in_(names[start : start + AT_ONCE])
        await session.execute(delete(DeletedFileRow).where(some), execution_options=BULK)


async def _write_down(session: AsyncSession, images: Sequence[Image], by: int, now: datetime) -> None:
    """One entry for each job whose pictures were taken away."""
    for job_id in dict.fromkeys(image.job_id for image in images):
        of_job = [image for image in images if image.job_id == job_id]
        first = of_job[0]
        if first.guild_id is not None:
            details = {"job": job_id, "pictures": [image.index + 1 for image in of_job]}
            await write_down(session, first.guild_id, by, "picture.delete", first.user_id, details, now=now)
