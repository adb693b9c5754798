"""Retention: once a day, what is older than the settings say is forgotten, and files that nothing names go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import structlog

from bot.background import attempted
from bot.config_sections import RetentionSection
from storage.storage import Storage

FIRST_SECONDS = 60.0  # after a start, which has more urgent things to do
SWEEP_SECONDS = 24 * 60 * 60.0
# A file that nothing names may be a picture that somebody is about to order from: a question waits for an hour.
UNNAMED_FILES = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep forgot: pictures, the words of jobs, entries of moderator logs, questions and bans that had run
    out, and files besides."""

    pictures: int
    jobs: int
    log_entries: int
    expired: int
    files: int


async def sweep(storage: Storage, limits: RetentionSection) -> Swept:
    """Forget what is too old, a little at a time: orders come in between.

    Raises `FilesUnavailable` or `FilesUnwritable`.
    """
    retention = storage.retention
    now = retention.now()

    def before(days: int) -> datetime | None:
        return now - timedelta(days=days) if days else None

    pictures = await _all_of(retention.forget_pictures, before(limits.pictures_days))
    return Swept(
        pictures=pictures,
        # After the pictures: as long as a job has one, its words are kept.
        jobs=await _all_of(retention.forget_jobs, before(limits.jobs_days)),
        log_entries=await _all_of(retention.forget_log, before(limits.log_days)),
        expired=await retention.forget_expired(),
        files=await retention.clear_files(unneeded=now - UNNAMED_FILES, uploads=before(limits.uploads_days)),
    )


async def _all_of(forget: Callable[[datetime], Awaitable[int]], before: datetime | None) -> int:
    """Forget portion after portion until nothing is left; without a limit, nothing is."""
    if before is None:
        return 0
    total = 0
    while count := await forget(before):
        total += count
    return total


class Sweeper:
    """Sweeps every day. What fails is tried again the day after."""

    def __init__(self, storage: Storage, limits: RetentionSection) -> None:
        self._storage = storage
        self._limits = limits

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await attempted("sweep", self._sweep())
            await asyncio.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> None:
        swept = await sweep(self._storage, self._limits)
        structlog.get_logger(__name__).info("swept", **asdict(swept))
