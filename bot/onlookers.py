"""Messages that tell a place in the queue: which of them look again when something moved there.

Something moves with every order and every batch, and a hundred thousand may look on. So a movement wakes only those
whose pause between two edits is over, and of these a few at a time.
"""

from __future__ import annotations

import asyncio
from itertools import islice

from bot.followed_job import FollowedJob
from generation.job import JobStatus

POSITION_EDITS_PER_SECOND = 4.0  # that all waiting jobs together may make
WOKEN = 16  # at once; the others follow at that rate


class Onlookers:
    """To be used on one event loop. Each verb takes the same time, however many look on."""

    def __init__(self) -> None:
        self._moves = 0
        self._queued: set[int] = set()
        self._idle: dict[int, FollowedJob] = {}  # who has nothing new to show, those who waited longest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many tell a place in the queue."""
        return len(self._queued)

    def moved(self) -> None:
        """Something came into the queue, or left it."""
        self._moves += 1
        if self._timer is None:
            self._wake()

    async def news(self, followed: FollowedJob) -> None:
        """Wait until a job has something new to show: of its own or, while it waits, of its place."""
        job_id = followed.job.id
        if followed.job.status is not JobStatus.QUEUED:
            self._queued.discard(job_id)
            await followed.changed.wait()
        else:
            self._queued.add(job_id)
            if followed.moves == self._moves:
                self._idle[job_id] = followed
                try:
                    await followed.changed.wait()
                finally:
                    self._idle.pop(job_id, None)
        followed.moves = self._moves

    def leave(self, job_id: int) -> None:
        """The job is told to its end."""
        self._queued.discard(job_id)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        self._timer = None
        woken = list(islice(self._idle, WOKEN))
        for job_id in woken:
            self._idle.pop(job_id).changed.set()
        if self._idle:
            seconds = len(woken) / POSITION_EDITS_PER_SECOND
            self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)
