"""What waiting people are told, forecast once for all of them and kept until something moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from generation.clock import Clock
from generation.engine.protocol import Engine, WorkerInfo, WorkerState
from generation.queue.estimate import Outlook, Speeds, forecast
from generation.queue.policy import FairQueue
from generation.queue.running import RunningBatch

# From the start of a worker's process until it can load a model: PyTorch takes its time to be imported.
START_SECONDS = 5.0
# A forecast is made anew after so many seconds even if nothing changed: a batch may take longer than it should.
FORECAST_AGE = 5.0


class Outlooks:
    """The latest forecast. `queue` and `running` are the dispatcher's own, as they are at any moment."""

    def __init__(
        self, *, queue: FairQueue, running: Sequence[RunningBatch], engine: Engine, speeds: Speeds, clock: Clock
    ) -> None:
        self._queue = queue
        self._running = running
        self._engine = engine
        self._speeds = speeds
        self._clock = clock
        self._made: tuple[float, dict[int, Outlook]] | None = None

    def of(self, job_id: int) -> Outlook | None:
        """Place and times of a job that waits; None for any other."""
        now = self._clock.monotonic()
        if self._made is None or now - self._made[0] > FORECAST_AGE:
            self._made = (now, self._forecast(now))
        return self._made[1].get(job_id)

    def forget(self) -> None:
        """Something came, went or ended."""
        self._made = None

    def _forecast(self, now: float) -> dict[int, Outlook]:
        seats = self._seats(now)
        told = forecast(self._queue, seats, self._speeds)
        if len(told) < len(self._queue):
            once_resumed = forecast(self._queue.resumed(), seats, self._speeds)
            told |= {
                job_id: replace(outlook, paused=True)
                for job_id, outlook in once_resumed.items()
                if self._queue.paused(job_id)
            }
        return told

    def _seats(self, now: float) -> list[tuple[WorkerInfo, float]]:
        """The workers that may take jobs, each with the seconds until it is idle."""
        workers = [worker for worker in self._engine.workers() if worker.state is not WorkerState.DEAD]
        if not workers:  # none has started yet: suppose one
            workers = [WorkerInfo(name="", device="auto", state=WorkerState.STARTING)]
        busy = {running.worker.name: running.seconds_left(now) for running in self._running}
        starting = {worker.name: START_SECONDS for worker in workers if worker.state is WorkerState.STARTING}
        return [(worker, busy.get(worker.name, starting.get(worker.name, 0.0))) for worker in workers]
