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
        gathering = {worker.name: self._gathering(worker) for worker in workers if worker.state is WorkerState.IDLE}
        until_begin = gathering | starting | busy
        return [(worker, until_begin.get(worker.name, 0.0)) for worker in workers]
