"""The engine on this machine: a child process for each device. torch is loaded there and never here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

from generation.catalogue import ModelSpec
from generation.clock import Clock
from generation.engine.process import WorkerProcess
from generation.engine.protocol import Batch, Painted, Progress, WorkerInfo, WorkerState
from generation.engine.settings import EngineSettings, PainterSettings
from generation.errors import EngineDead


class LocalEngine:
    """An `Engine` of one worker process for each of `painters`, named f"{instance}/{device}".

    Processes are started anew when they die. `preload` is the model that each loads before it is idle for the first
    time.
    """

    def __init__(
        self,
        painters: Sequence[PainterSettings],
        *,
        instance: str,
        clock: Clock,
        preload: ModelSpec | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        self._workers = {
            name: WorkerProcess(
                name=name,
                painter=painter,
                preload=preload,
                settings=settings or EngineSettings(),
                clock=clock,
                changed=self._notify,
            )
            for name, painter in zip(_names(instance, painters), painters, strict=True)
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

    def cancel(self, worker: str) -> None:
        self._workers[worker].cancel()

    def pid(self, worker: str) -> int | None:
        """The worker's process, for `doctor` and for whoever wants to look at it; None between two processes."""
        return self._workers[worker].pid

    def _check_alive(self) -> None:
        """Raises `EngineDead`."""
        if all(worker.state is WorkerState.DEAD for worker in self._workers.values()):
            raise EngineDead(detail="; ".join(worker.last_words for worker in self._workers.values()))

    def _notify(self) -> None:
        """Wake those who wait for a change; the next to wait wait for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()


def _names(instance: str, painters: Sequence[PainterSettings]) -> list[str]:
    """One for each, unique: a second worker on the same device is numbered."""
    names: list[str] = []
    for painter in painters:
        name = f"{instance}/{painter.device}"
        same = sum(1 for taken in names if taken == name or taken.startswith(f"{name}#"))
        names.append(f"{name}#{same + 1}" if same else name)
    return names
