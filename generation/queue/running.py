"""A batch while a worker paints it: whose pictures are where in it, and how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from generation.engine.protocol import Batch, Painted, Picture, Progress, WorkerInfo
from generation.job import Job
from generation.queue.estimate import Speeds
from generation.queue.listener import JobProgress
from generation.queue.policy import QueuedJob


class RunningBatch:
    """The jobs that were picked for a worker, from the pick until the last of them is settled.

    `jobs` are those that were really leased and can be painted; `cancelled` the ids that were called off, or failed
    meanwhile because their lease ran out. `now` is seconds of a monotonic clock throughout.
    """

    def __init__(self, worker: WorkerInfo, picked: Sequence[QueuedJob], *, expected_seconds: float, now: float) -> None:
        self.worker = worker
        self.picked = {job.id: job for job in picked}
        self.jobs: dict[int, Job] = {}
        self.cancelled: set[int] = set()
        self.task: asyncio.Task[None] | None = None
        self.painting = False
        self._expected_seconds = expected_seconds
        self._started = now
        self._first_step: tuple[float, Progress] | None = None
        self._latest: Progress | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """The picked jobs that nobody called off."""
        return tuple(job_id for job_id in self.picked if job_id not in self.cancelled)

    def wanted_jobs(self) -> list[Job]:
        """The leased jobs that nobody called off, as they are now."""
        return [job for job in self.jobs.values() if job.id not in self.cancelled]

    def seconds_left(self, now: float) -> float:
        """From its steps where they show a speed, else from what batches like it took."""
        if self._first_step is not None and self._latest is not None:
            since, first = self._first_step
            if self._latest.step > first.step:
                seconds_a_step = (now - since) / (self._latest.step - first.step)
                return seconds_a_step * (self._latest.steps - self._latest.step)
        return max(0.0, self._expected_seconds - (now - self._started))

    def advance(self, batch: Batch, progress: Progress, now: float) -> dict[int, JobProgress]:
        """Take in a step; what each job's owner may be told about it."""
        if self._first_step is None:
            self._first_step = (now, progress)
        self._latest = progress
        left = self.seconds_left(now)
        return {
            job_id: JobProgress(
                step=progress.step,
                steps=progress.steps,
                previews=progress.previews[self.places(batch, job_id)],
                seconds_left=left,
            )
            for job_id in batch.job_ids
            if job_id not in self.cancelled
        }

    def places(self, batch: Batch, job_id: int) -> slice:
        """Where a job's pictures are among the batch's."""
        places = [place for place, task in enumerate(batch.tasks) if task.job_id == job_id]
        return slice(places[0], places[-1] + 1)

    def pictures(self, batch: Batch, painted: Painted, job_id: int) -> tuple[Picture, ...]:
        """The pictures of one job."""
        return painted.pictures[self.places(batch, job_id)]

    def teach(self, speeds: Speeds, batch: Batch, painted: Painted, now: float) -> None:
        """Let the speeds learn from a batch that is done. If it began with loading, its steps tell the two apart."""
        model, device = batch.model.name, self.worker.device
        work = sum(
            task.recipe.work(native_size=batch.model.native_size, default_steps=batch.model.num_inference_steps)
            for task in batch.tasks
        )
        if self.worker.model == model:
            speeds.learn_painting(device, model, work=work, seconds=painted.seconds)
        elif self._first_step is not None and self._first_step[1].steps > 1:
            since, first = self._first_step
            seconds = (now - since) * first.steps / (first.steps - first.step) if first.step < first.steps else 0.0
            speeds.learn_painting(device, model, work=work, seconds=seconds)
            speeds.learn_loading(device, model, seconds=max(0.0, now - self._started - seconds))
