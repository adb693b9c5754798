"""An engine whose batches are counted and timed on their way through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from bot.metrics import Metrics
from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Engine, Painted, Progress, WorkerInfo
from generation.errors import LimnerError, PaintingCancelled


class MeasuredEngine:
    """Implements `generation.engine.protocol.Engine` by another one."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics

    async def start(self) -> None:
        await self._engine.start()

    async def close(self, *, grace: float) -> None:
        await self._engine.close(grace=grace)

    def workers(self) -> Sequence[WorkerInfo]:
        return self._engine.workers()

    async def idle(self) -> str:
        return await self._engine.idle()

    async def death(self) -> NoReturn:
        await self._engine.death()

    async def paint(self, worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        try:
            painted = await self._engine.paint(worker, batch, on_progress)
        except PaintingCancelled:
            raise
        except LimnerError as error:
            self._metrics.batch_failed(error)
            raise
        self._metrics.batch_painted(batch, painted)
        return painted

    def expect(self, worker: str, model: ModelSpec | None) -> None:
        self._engine.expect(worker, model)

    def cancel(self, worker: str) -> None:
        self._engine.cancel(worker)
