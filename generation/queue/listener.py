"""What the queue tells to whoever talks to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from generation.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a running job is: `step` of `steps` done, a small JPEG for each of its pictures or none, seconds left."""

    step: int
    steps: int
    previews: tuple[bytes, ...]
    seconds_left: float


class QueueListener(Protocol):
    """Called on the event loop, after what it tells is durable. Must return at once and must not raise."""

    def job_started(self, job: Job) -> None:
        """It runs now (again, perhaps: see `job.attempt`)."""

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        """Some step is done. May come often; only the latest matters."""

    def job_ended(self, job: Job) -> None:
        """It is done, failed or cancelled."""

    def queue_changed(self) -> None:
        """Positions and waiting times may be others now. A job that ran may wait again."""
