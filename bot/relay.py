"""Between queue and courier where several bots share the work: people are told by the bot whose shard has their server.

What our workers do for servers of ours goes to the courier. What they do for others' is told to the other bots by
wake-ups: progress, latest wins, at most once a second for each job; starts and ends are told by the database itself.
What others did to jobs of servers of ours goes to the courier too. All bots tell each other which workers they have.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from bot.other_workers import TOLD_EVERY, OtherWorkers, read_workers, write_workers
from generation.queue.listener import JobProgress
from generation.queue.waiting import comes_within

if TYPE_CHECKING:
    from bot.delivery import Courier
    from bot.shards import Shards
    from generation.engine.protocol import WorkerInfo
    from generation.job import Job
    from storage.wakeups import Wakeups

BETWEEN = 1.0  # seconds from one progress of a job to the next that other bots are told
PAUSES = "pauses"


class Relay:
    """Implements `generation.queue.listener.QueueListener` and `storage.wakeups.Hearer`. All on one event loop.

    `others` are other bots' workers, `workers()` our own. `moved(job_ids)` is the queue's: these jobs were changed
    elsewhere. `pauses_changed()`: servers were paused or resumed, in storage.
    """

    def __init__(
        self,
        *,
        courier: Courier,
        shards: Shards,
        wakeups: Wakeups,
        others: OtherWorkers,
        workers: Callable[[], Sequence[WorkerInfo]],
        moved: Callable[[Collection[int] | None], None],
        pauses_changed: Callable[[], None],
    ) -> None:
        self._courier = courier
        self._shards = shards
        self._wakeups = wakeups
        self._other_workers = others
        self._workers = workers
        self._moved = moved
        self._pauses_changed = pauses_changed
        self._others: set[int] = set()  # jobs that we draw for other bots' servers
        self._latest: dict[int, JobProgress] = {}
        self._new = asyncio.Event()

    # What the queue tells.

    def job_started(self, job: Job) -> None:
        if self._shards.hold(job.guild_id):
            self._courier.job_started(job)
        else:
            self._others.add(job.id)

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        if job_id in self._others:
            self._latest[job_id] = progress
            self._new.set()
        else:
            self._courier.job_progress(job_id, progress)

    def job_ended(self, job: Job) -> None:
        self._others.discard(job.id)
        self._latest.pop(job.id, None)
        if self._shards.hold(job.guild_id):
            self._courier.job_ended(job)

    def queue_changed(self) -> None:
        self._courier.queue_changed()

    def changed_elsewhere(self, job: Job) -> None:
        """Another bot started or ended a job."""
        self._others.discard(job.id)
        if self._shards.hold(job.guild_id):
            self._courier.heard(job)

    # What other bots tell.

    def jobs_moved(self, job_ids: Collection[int] | None) -> None:
        self._moved(job_ids)
        if job_ids is None:
            self._pauses_changed()

    def was_told(self, text: str) -> None:
        if text == PAUSES:
            self._pauses_changed()
            return
        try:
            told = json.loads(text)
            if isinstance(told, dict):
                self._other_workers.hear(read_workers(told))
            else:
                self._courier.job_progress(*read_progress(told))
        except (ValueError, TypeError, OverflowError):  # another version of us has something else to tell
            structlog.get_logger(__name__).debug("not_understood", length=len(text))

    # Its own life.

    async def run(self) -> None:
        """Tell other bots how far their jobs are and what workers we have, until cancelled."""
        if not self._wakeups.shared:
            return
        told_at = float("-inf")
        while True:
            if time.perf_counter() - told_at >= TOLD_EVERY:
                told_at = time.perf_counter()
                await self._wakeups.tell(write_workers(self._workers()))
            await comes_within(TOLD_EVERY, self._new)
            self._new.clear()
            latest, self._latest = self._latest, {}
            for job_id, progress in latest.items():
                await self._wakeups.tell(write_progress(job_id, progress))
            await asyncio.sleep(BETWEEN)


def write_progress(job_id: int, progress: JobProgress) -> str:
    """As other bots are told it: ASCII."""
    previews = [base64.b64encode(preview).decode() for preview in progress.previews]
    return json.dumps([job_id, progress.step, progress.steps, round(progress.seconds_left, 1), previews])


def read_progress(told: Sequence[Any]) -> tuple[int, JobProgress]:
    """A job and how far it is.

    Raises `ValueError`, `TypeError` or `OverflowError` for what another version of us has told.
    """
    job_id, step, steps, seconds_left, previews = told
    progress = JobProgress(
        step=int(step),
        steps=int(steps),
        previews=tuple(base64.b64decode(preview, validate=True) for preview in previews),
        seconds_left=float(seconds_left),
    )
    return int(job_id), progress
