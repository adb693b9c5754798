"""What engines have in common: workers that are minded one by one, and what they are together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NoReturn

from generation.catalogue import ModelSpec
from generation.clock import Clock
from generation.engine.life import Life
from generation.engine.process import WorkerProcess
from generation.engine.protocol import Batch, Painted, Progress, WorkerInfo, WorkerState
from generation.engine.settings import EngineSettings, PainterSettings
from generation.errors import EngineDead


class Crew:
    """An `Engine` of one worker for each of `painters`, by unique names.

    `begin` starts a life of the worker of that name. It is started anew when it ends. `preload` is the model that each
    loads before it is idle for the first time.
    """

    def __init__(
        self,
        painters: Iterable[tuple[str, PainterSettings]],
        *,
        begin: Callable[[str], Life],
        clock: Clock,
        preload: ModelSpec | None,
        settings: EngineSettings,
    ) -> None:
        self._workers = {
            name: WorkerProcess(
                name=name,
                painter=painter,
                preload=preload,
                settings=settings,
                clock=clock,
                changed=self._notify,
                start=partial(begin, name),
            )
            for name, painter in painters
        }
        self._living: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    async def start(self) -> None:
        for name, worker in self._workers.items():
            self._living[name] = asyncio.create_task(worker.live(), name=f"worker {name}")

    async def close(self, *, grace: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, living in self._living.items():
                tasks.create_task(self._workers[name].close(living, grace=grace))
        self._living = {}

    def workers(self) -> Sequence[WorkerInfo]:
        return [worker.info() for worker in self._workers.values()]

    async def idle(self) -> str:
        while True:
            for name, worker in self._workers.items():
                if worker.state is WorkerState.IDLE:
                    return name
            self._check_alive()
            await self._changed.wait()

    async def death(self) -> NoReturn:
        while True:
            self._check_alive()
            await self._changed.wait()

    async def paint(self, worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        return await self._workers[worker].paint(batch, on_progress)

    def expect(self, worker: str, model: ModelSpec | None) -> None:
        self._workers[worker].expect(model)

    def cancel(self, worker: str) -> None:
        self._workers[worker].cancel()

    def pid(self, worker: str) -> int | None:
        """The worker's process, for whoever wants to look at it; None between two processes."""
        return self._workers[worker].pid

    def _check_alive(self) -> None:
        """Raises `EngineDead`."""
        if all(worker.state is WorkerState.DEAD for worker in self._workers.values()):
            raise EngineDead(detail="; ".join(worker.last_words for worker in self._workers.values()))

    def _notify(self) -> None:
        """Wake those who wait for a change; the next to wait wait for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()
