"""A worker with nothing to do waits a little for company of the jobs that it could begin with.

Only where waiting delays nobody else: all that waits would be one batch, and there is room in it. The first of them
waits no longer for that than `QueueSettings.batch_wait_seconds` since it was ordered, so that what came while the
worker was busy is begun at once.
"""

from __future__ import annotations

from generation.clock import Clock
from generation.engine.protocol import WorkerInfo
from generation.queue.policy import FairQueue
from generation.queue.settings import QueueSettings


class Gathering:
    """Says how long to wait. `queue` is the dispatcher's own."""

    def __init__(self, *, queue: FairQueue, settings: QueueSettings, clock: Clock) -> None:
        self._queue = queue
        self._longest = settings.batch_wait_seconds
        self._clock = clock
        self._came: dict[int, float] = {}  # job → seconds of the monotonic clock

    def came(self, job_id: int) -> None:
        """A job of the queue was ordered this moment. Others there count as old: they are begun at once."""
        if self._longest > 0:
            self._came[job_id] = self._clock.monotonic()
        if len(self._came) > len(self._queue):
            self._came = {waits: since for waits, since in self._came.items() if waits in self._queue}

    def seconds_left(self, worker: WorkerInfo) -> float:
        """How long that worker shall wait before it begins, if nothing else is ordered; 0: it shall begin."""
        if not self._came:
            return 0.0
        jobs = self._queue.unfilled_batch(worker)
        if not jobs or any(job.id not in self._came for job in jobs):
            return 0.0
        return max(0.0, min(self._came[job.id] for job in jobs) + self._longest - self._clock.monotonic())
