"""What waiting people are told, forecast once for all of them and kept until something moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from generation.clock import Clock
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.queue.estimate import Outlook, Speeds
from generation.queue.foresight import Foresight
from generation.queue.headway import Headway
from generation.queue.policy import FairQueue
from generation.queue.running import RunningBatch

# From the start of a worker's process until it can load a model: PyTorch takes its time to be imported.
START_SECONDS = 5.0
# A forecast is made anew after so many seconds even if nothing changed: a batch may take longer than it should.
FORECAST_AGE = 5.0
# For so many jobs it is made at once, when somebody asks after something moved: that takes two milliseconds. For more
# it is made in pieces of as many, between which the program does other things for so many times as long. So an order
# costs the same however many wait, and nobody is kept waiting for a hundred thousand others.
PIECE, PAUSE_TIMES = 100, 19.0
# Between two looks whether there is anything to forecast.
IDLE_SECONDS = 0.25


class Outlooks:
    """The latest forecast. `queue` and `running` are the dispatcher's own, as they are at any moment."""

    def __init__(
        self,
        *,
        queue: FairQueue,
        running: Sequence[RunningBatch],
        workers: Callable[[], Sequence[WorkerInfo]],
        speeds: Speeds,
        clock: Clock,
        gathering: Callable[[WorkerInfo], float] = lambda worker: 0.0,
    ) -> None:
        """`gathering` says for how many seconds an idle worker waits for company of what it could begin with."""
        self._queue = queue
        self._running = running
        self._workers = workers
        self._speeds = speeds
        self._clock = clock
        self._gathering = gathering
        self._headway = Headway()
        self._latest: Foresight | None = None
        self._coming: Foresight | None = None  # that is being made
        self._asked = False  # since the latest was made
        self._good_until = self._began = -math.inf

    def of(self, job_id: int) -> Outlook | None:
        """Place and times of a job that waits; None for any other, and for one too far back to be told of yet.

        Where more than `PIECE` wait, whoever came since the forecast is told what others in that place are.
        """
        job = self._queue.find(job_id)
        if job is None:
            return None
        self._asked = True
        if self._clock.monotonic() >= self._good_until and len(self._queue) <= PIECE:
            self.catch_up()
        # The one that is being made begins with those next in turn, and knows better about them.
        known = [each for each in (self._coming, self._latest) if each is not None]
        told = (each.told.get(job_id) for each in known)
        outlook = next(filter(None, told), None) or next(filter(None, (each.guess(job) for each in known)), None)
        if outlook is None:
            return None
        wait = self._headway.stretched(job.priority, outlook.wait_seconds)
        paused = self._queue.paused(job_id)
        return replace(outlook, wait_seconds=wait, paused=paused)

    def forget(self) -> None:
        """Something came, went or ended."""
        self._good_until = -math.inf

    def catch_up(self) -> None:
        """Forecast for all, however many wait, and however long it takes."""
        now = self._clock.monotonic()
        self._coming = self._begin(now)
        self._go_on(math.inf)

    def go_on(self) -> float:
        """Forecast one piece more, if somebody wants to know; seconds until this is to be called again."""
        started = self._clock.monotonic()
        if self._coming is None:
            if not self._asked or started < self._good_until or len(self._queue) <= PIECE:
                return IDLE_SECONDS
            self._coming = self._begin(started)
        self._go_on(PIECE)
        return PAUSE_TIMES * (self._clock.monotonic() - started)

    def _begin(self, now: float) -> Foresight:
        self._asked = False
        self._began = now
        self._good_until = now + FORECAST_AGE
        return Foresight(self._queue, self._seats(now), self._speeds)

    def _go_on(self, jobs: float) -> None:
        if self._coming is not None:
            self._coming.go_on(jobs)
            if self._coming.over:
                self._headway.see(self._began, self._coming.compared)
                self._latest, self._coming = self._coming, None

    def _seats(self, now: float) -> list[tuple[WorkerInfo, float]]:
        """The workers that may take jobs, each with the seconds until it begins."""
        workers = [worker for worker in self._workers() if worker.state is not WorkerState.DEAD]
        if not workers:  # none has started yet: suppose one
            workers = [WorkerInfo(name="", device="auto", state=WorkerState.STARTING)]
        names = [worker.name for worker in workers]
        busy = {running.worker.name: running.seconds_left(now) for running in self._running}
        starting = {worker.name: START_SECONDS for worker in workers if worker.state is WorkerState.STARTING}
        gathering = {worker.name: self._gathering(worker) for worker in workers if worker.state is WorkerState.IDLE}
        # One that is idle again while its batch is only finished may gather for the next: then the longer wait counts.
        until_begin = [max(gathering.get(name, 0.0), (starting | busy).get(name, 0.0)) for name in names]
        return list(zip(workers, until_begin, strict=True))
