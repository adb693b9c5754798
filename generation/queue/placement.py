"""Which of several idle workers gets the next job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from generation.engine.protocol import WorkerInfo
from generation.queue.queued import QueuedJob


def closeness(job: QueuedJob, worker: WorkerInfo) -> int:
    """0: another model, 1: the worker holds the model, 2: and the LoRAs too."""
    if job.model != worker.model:
        return 0
    return 2 if job.loras == worker.loras else 1


def best_placed(job: QueuedJob, idle: Sequence[WorkerInfo]) -> WorkerInfo:
    """Of these workers, at least one, that which holds the most of what a job needs; the first of equals.

    Where a model has to be loaded, it is loaded where there is none yet, or in the place of one that most of the others
    hold as well: so the models that are asked for spread over the workers, instead of driving each other out of one.
    """
    held = Counter(worker.model for worker in idle)

    def fitness(worker: WorkerInfo) -> tuple[int, bool, int]:
        close = closeness(job, worker)
        return (close, False, 0) if close else (0, worker.model is None, held[worker.model])

    return max(idle, key=fitness)
