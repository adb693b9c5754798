"""What waiting people are told, forecast once for all of them and kept until something moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from generation.clock import Clock
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.queue.estimate import Outlook, Speeds, forecast
from generation.queue.headway import Headway
from generation.queue.policy import FairQueue
from generation.queue.running import RunningBatch

# From the start of a worker's process until it can load a model: PyTorch takes its time to be imported.
START_SECONDS = 5.0
# A forecast is made anew after so many seconds even if nothing changed: a batch may take longer than it should.
FORECAST_AGE = 5.0
# One that took long, because very many wait, is kept for so many times as long whatever moves: forecasting shall not
# take more than a twentieth of the program's time. Shorter ones are no burden.
KEPT_TIMES, BURDEN = 20.0, 0.02


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
    ) -> None:
        self._queue = queue
        self._running = running
        self._workers = workers
        self._speeds = speeds
        self._clock = clock
        self._headway = Headway()
        self._made: Mapping[int, Outlook] = {}
        self._good_until = self._kept_until = float("-inf")

    def of(self, job_id: int) -> Outlook | None:
        """Place and times of a job that waits; None for any other, and for a new one until the next forecast is due."""
        now = self._clock.monotonic()
        if now >= self._good_until and now >= self._kept_until:
            self._made = self._forecast(now)
            took = self._clock.monotonic() - now
            self._good_until = now + FORECAST_AGE
            self._kept_until = now + KEPT_TIMES * took if took > BURDEN else now
        return self._made.get(job_id) if job_id in self._queue else None

    def forget(self) -> None:
        """Something came, went or ended."""
        self._good_until = float("-inf")

    def _forecast(self, now: float) -> Mapping[int, Outlook]:
        seats = self._seats(now)
        told = forecast(self._queue, seats, self._speeds)
        classes = {job.id: job.priority for job in self._queue.waiting()}
        self._headway.see(now, {job_id: (classes[job_id], outlook.wait_seconds) for job_id, outlook in told.items()})
        if len(told) < len(self._queue):
            once_resumed = forecast(self._queue.resumed(), seats, self._speeds)
            told |= {
                job_id: replace(outlook, paused=True)
                for job_id, outlook in once_resumed.items()
                if self._queue.paused(job_id)
            }
        return {
            job_id: replace(outlook, wait_seconds=self._headway.stretched(classes[job_id], outlook.wait_seconds))
            for job_id, outlook in told.items()
        }

    def _seats(self, now: float) -> list[tuple[WorkerInfo, float]]:
        """The workers that may take jobs, each with the seconds until it is idle."""
        workers = [worker for worker in self._workers() if worker.state is not WorkerState.DEAD]
        if not workers:  # none has started yet: suppose one
            workers = [WorkerInfo(name="", device="auto", state=WorkerState.STARTING)]
        busy = {running.worker.name: running.seconds_left(now) for running in self._running}
        starting = {worker.name: START_SECONDS for worker in workers if worker.state is WorkerState.STARTING}
        return [(worker, busy.get(worker.name, starting.get(worker.name, 0.0))) for worker in workers]
