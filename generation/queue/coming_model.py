"""Tells the worker that will be idle first which model it will need next, so that it can be read while it still draws.

That is the model of the fair choice: whatever else a worker picks, it picks because it holds the model already. One
worker is told at a time, because only one will draw the fair choice; the others are told when their turn is nearer.
"""

from __future__ import annotations

from collections.abc import Sequence

from generation.catalogue import Catalogue, ModelSpec
from generation.clock import Clock
from generation.engine.protocol import Engine, WorkerState
from generation.errors import UnknownName
from generation.queue.policy import FairQueue
from generation.queue.running import RunningBatch


class ComingModel:
    """`queue` and `running` are the dispatcher's own, as they are at any moment."""

    def __init__(
        self,
        *,
        queue: FairQueue,
        running: Sequence[RunningBatch],
        engine: Engine,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._running = running
        self._engine = engine
        self._catalogue = catalogue
        self._clock = clock

    def tell(self) -> None:
        """Something came, went or ended."""
        painting = {running.worker.name: running for running in self._running if running.painting}
        if not painting or any(worker.state is WorkerState.IDLE for worker in self._engine.workers()):
            return  # an idle one begins with it at once
        now = self._clock.monotonic()
        soonest = min(painting.values(), key=lambda running: running.seconds_left(now))
        self._engine.expect(soonest.worker.name, self._beside(soonest))

    def _beside(self, running: RunningBatch) -> ModelSpec | None:
        """The model of the fair choice, unless it is the one that is painted with or nobody knows it any more."""
        first = self._queue.first()
        if first is None or any(first.model == job.model for job in running.picked.values()):
            return None
        try:
            return self._catalogue.model(first.model)
        except UnknownName:
            return None
