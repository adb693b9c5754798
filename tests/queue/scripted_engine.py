"""An engine without processes, for tests of the dispatcher: each batch ends as its prompts ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress, WorkerInfo, WorkerState
from generation.errors import (
    EngineDead,
    LoraRefused,
    ModelUnavailable,
    OutOfMemory,
    PaintingCancelled,
    WorkerError,
    WorkerLost,
)


@dataclass
class _Seat:
    info: WorkerInfo
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedEngine:
    """Implements `Engine`. Prompts: `wait` (until `release`), `lost`, `memory`, `unavailable`, `unfit`, `bug`.

    A picture has the score of its prompt, `score:0.5`.
    """

    def __init__(self, *workers: str) -> None:
        self.release = asyncio.Event()
        self.batches: list[Batch] = []  # as they were begun
        self.cancels: list[str] = []
        self.expected: list[tuple[str, str | None]] = []  # workers, and the models that they were told of
        self.asked = 0  # how often somebody began to wait for an idle worker
        self.dead = False
        self._seats = {
            name: _Seat(WorkerInfo(name=name, device="cpu", state=WorkerState.IDLE))
            for name in workers or ("here/cpu",)
        }
        self._changed = asyncio.Event()

    @property
    def begun(self) -> list[tuple[int, ...]]:
        """The jobs of each batch, in the order in which they were begun."""
        return [batch.job_ids for batch in self.batches]

    async def start(self) -> None:
        pass

    async def close(self, *, grace: float) -> None:
        pass

    def workers(self) -> Sequence[WorkerInfo]:
        return [seat.info for seat in self._seats.values()]

    async def idle(self) -> str:
        self.asked += 1
        while True:
            self._check_alive()
            for name, seat in self._seats.items():
                if seat.info.state is WorkerState.IDLE:
                    return name
            await self._changed.wait()

    async def death(self) -> NoReturn:
        while True:
            self._check_alive()
            await self._changed.wait()

    async def paint(self, worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        seat = self._seats[worker]
        if seat.info.state is not WorkerState.IDLE:
            raise WorkerLost(detail="not idle")
        seat.cancelled.clear()
        self._become(seat, WorkerState.BUSY)
        self.batches.append(batch)
        try:
            await self._work(seat, batch, on_progress)
        finally:
            loras = tuple(lora.name for lora in batch.tasks[0].recipe.loras)
            seat.info = replace(seat.info, model=batch.model.name, loras=loras)
            self._become(seat, WorkerState.IDLE)
        pictures = tuple(
            Picture(
                png=task.recipe.prompt.encode() + (task.source or b""),
                width=8,
                height=8,
                score=_score(task.recipe.prompt),
            )
            for task in batch.tasks
        )
        return Painted(pictures=pictures, seconds=0.5)

    def expect(self, worker: str, model: ModelSpec | None) -> None:
        self.expected.append((worker, None if model is None else model.name))

    def cancel(self, worker: str) -> None:
        self.cancels.append(worker)
        self._seats[worker].cancelled.set()

    def stand_still(self, state: WorkerState = WorkerState.STARTING) -> None:
        """The workers' processes died and are not there again yet; with `IDLE`, they are."""
        for seat in self._seats.values():
            self._become(seat, state)

    def die(self) -> None:
        """No worker will be idle again."""
        self.dead = True
        self._notify()

    async def _work(self, seat: _Seat, batch: Batch, on_progress: Callable[[Progress], None]) -> None:
        words = {word for task in batch.tasks for word in task.recipe.prompt.split()}
        previews = tuple(task.recipe.prompt.encode() for task in batch.tasks)
        on_progress(Progress(step=1, steps=2, previews=previews))
        if "wait" in words:
            released = asyncio.ensure_future(self.release.wait())
            cancelled = asyncio.ensure_future(seat.cancelled.wait())
            try:
                await asyncio.wait({released, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                released.cancel()
                cancelled.cancel()
        if seat.cancelled.is_set():
            raise PaintingCancelled
        errors: dict[str, type[WorkerError]] = {"lost": WorkerLost, "memory": OutOfMemory}
        for word, kind in errors.items():
            if word in words:
                raise kind(detail=word)
        if "unavailable" in words:
            raise ModelUnavailable(name=batch.model.name, reason="gone")
        if "unfit" in words:
            raise LoraRefused(name="neon", model=batch.model.name, reason="made for another architecture")
        if "bug" in words:
            raise RuntimeError("nobody foresaw this")
        on_progress(Progress(step=2, steps=2))

    def _check_alive(self) -> None:
        if self.dead:
            raise EngineDead(detail="scripted")

    def _become(self, seat: _Seat, state: WorkerState) -> None:
        seat.info = replace(seat.info, state=state)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _score(prompt: str) -> float | None:
    scores = [word.removeprefix("score:") for word in prompt.split() if word.startswith("score:")]
    return float(scores[0]) if scores else None
