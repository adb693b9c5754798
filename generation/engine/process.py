"""The parent's side of one worker: has it started, talks to it, and has it started anew when it dies.

Where a worker lives is a `Life`'s to know: in a child process here, or in an actor on a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from generation.catalogue import ModelSpec
from generation.clock import Clock
from generation.engine.frames import (
    Cancel,
    Done,
    End,
    Expect,
    Failed,
    Free,
    FromParent,
    Paint,
    Ready,
    Start,
    Step,
    Unfit,
)
from generation.engine.life import Life
from generation.engine.protocol import Batch, Painted, Progress, WorkerInfo, WorkerState
from generation.engine.settings import EngineSettings, PainterSettings
from generation.errors import ModelUnavailable, WorkerLost

# How long an interpreter may take to its first word, on a slow disk and a busy machine.
FIRST_WORD_SECONDS = 120.0


@dataclass(slots=True)
class _InWork:
    """A batch that was given to the process, and who waits for it."""

    number: int
    batch: Batch
    on_progress: Callable[[Progress], None]
    answer: asyncio.Future[Painted]
    last_sign: float  # of the painter, about this batch


class WorkerProcess:
    """One worker through all its lives. `live` runs it; `changed` is called whenever its state may be another.

    `start` begins a life, or raises `OSError`. Everything is called on one event loop, in a thread that stays until the
    program ends (see `ChildProcess`).
    """

    def __init__(
        self,
        *,
        name: str,
        painter: PainterSettings,
        preload: ModelSpec | None,
        settings: EngineSettings,
        clock: Clock,
        changed: Callable[[], None],
        start: Callable[[], Life],
    ) -> None:
        self.name = name
        self.state = WorkerState.STARTING
        self.last_words = ""  # why the latest process died
        self._painter = painter
        self._preload = preload
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._start = start
        self._log = structlog.get_logger(__name__).bind(worker=name)
        self._life: Life | None = None
        # By number, in order: the one that is painted, and before it perhaps one that is only finished.
        self._in_work: dict[int, _InWork] = {}
        self._number = 0
        self._device = painter.device  # until a process has said what it found
        self._model: str | None = None
        self._loras: tuple[str, ...] = ()
        self._expected: ModelSpec | None = None  # as the process was told
        self._deaths = 0  # in a row, without a finished batch
        self._restarts = 0
        self._closing = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process that runs now, on whatever machine."""
        return None if self._life is None else self._life.pid

    def info(self) -> WorkerInfo:
        """The worker as the queue sees it."""
        return WorkerInfo(
            name=self.name,
            device=self._device,
            state=self.state,
            model=self._model,
            loras=self._loras,
            restarts=self._restarts,
        )

    async def paint(self, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        """See `Engine.paint`. If the caller is cancelled, so is the batch; the worker is idle again once it stopped."""
        if self.state is not WorkerState.IDLE or self._life is None:
            raise WorkerLost(detail=f"{self.name} is {self.state}")
        self._number += 1
        answer: asyncio.Future[Painted] = asyncio.get_running_loop().create_future()
        number = self._number
        self._in_work[number] = _InWork(number, batch, on_progress, answer, self._clock.monotonic())
        self._become(WorkerState.BUSY)
        self._send(Paint(number=number, batch=batch))
        if self._expected == batch.model:
            self._expected = None
        try:
            return await answer
        except asyncio.CancelledError:
            if number in self._in_work:
                self._send(Cancel(number=number))
            raise

    def expect(self, model: ModelSpec | None) -> None:
        """Tell the process which model it will probably need next (None: no other), unless it was told so before."""
        if self.state is not WorkerState.STARTING and model != self._expected:
            self._expected = model
            self._send(Expect(model=model))

    def cancel(self) -> None:
        """Ask for the batch that came last, if it is still in work, to be abandoned."""
        if self._number in self._in_work:
            self._send(Cancel(number=self._number))

    async def live(self) -> None:
        """Start the process, and another one each time that it dies, until `close` or until it dies too often."""
        try:
            while not self._closing.is_set():
                self._become(WorkerState.STARTING)
                worth_another = await self._one_life()
                if self._closing.is_set():
                    return
                self._deaths += 1
                self._log.warning("worker_died", deaths=self._deaths, detail=self.last_words)
                if not worth_another or self._deaths >= self._settings.max_deaths:
                    self._log.error("worker_given_up", detail=self.last_words)
                    return
                self._restarts += 1
                await self._pause()
        finally:
            self._become(WorkerState.DEAD)

    async def close(self, living: asyncio.Task[None], *, grace: float) -> None:
        """Ask the process to end, kill it after `grace` seconds, and wait for `living`, the task that runs `live`."""
        self._closing.set()
        self._send(End())
        await asyncio.wait({living}, timeout=grace)
        self._kill()
        await living

    # One process

    async def _one_life(self) -> bool:
        """From the start of a process to its burial. False: another one would end the same."""
        try:
            life = self._start()
        except OSError as error:  # no memory or no process to be had
            self.last_words = str(error)
            return True
        self._life = life
        self._expected = None
        worth_another = True
        try:
            await life.begin()
            self._send(
                Start(
                    settings=self._painter,
                    preload=self._preload,
                    heartbeat_seconds=self._settings.heartbeat_seconds,
                )
            )
            worth_another = await self._listen(life)
        finally:
            self._model, self._loras = None, ()
            self._become(WorkerState.STARTING)  # idle or not, from here on it takes nothing
            ending = await life.bury()
            self._life = None
            self.last_words = " | ".join(filter(None, [self.last_words, ending]))
            for lost in self._in_work.values():
                if not lost.answer.done():
                    lost.answer.set_exception(WorkerLost(detail=self.last_words))
            self._in_work = {}
        return worth_another

    async def _listen(self, life: Life) -> bool:
        """Take in frames until the process is gone or has to be killed."""
        self.last_words = ""
        patience = FIRST_WORD_SECONDS
        while True:
            try:
                async with asyncio.timeout(patience):
                    frame = await life.receive()
            except TimeoutError:
                self.last_words = "gave no sign in time"
                self._kill()
                return True
            match frame:
                case None:
                    return True
                case Unfit(error=error):
                    # In the words of the painter, which a person is to read: "cuda:1: this machine has no …".
                    self.last_words = ": ".join(str(value) for value in error.fields.values())
                    return False
                case Ready(device=device, model=model):
                    self._device, self._model = device, model
                    self._become(WorkerState.IDLE)
                case Step() | Free() | Done() | Failed():
                    self._take(frame)
            patience = self._patience()

    def _take(self, frame: Step | Free | Done | Failed) -> None:
        """A sign of the painter, about a batch in work."""
        batch = self._in_work.get(frame.number)
        if batch is None:
            return
        batch.last_sign = self._clock.monotonic()
        if isinstance(frame, Step):
            if not batch.answer.done():
                # On a turn of its own: should it raise, the loop's handler is told and this worker goes on.
                asyncio.get_running_loop().call_soon(batch.on_progress, frame.progress)
            return
        if isinstance(frame, Free):
            # After a death each batch has the process to itself until one is done: who kills it shall not do so in
            # another's time, and take its attempts.
            if self._deaths == 0:
                self._holds(batch.batch)
                self._become(WorkerState.IDLE)
            return
        del self._in_work[frame.number]
        if isinstance(frame, Done):
            self._deaths = 0
        if isinstance(frame, Failed) and frame.last:
            self._become(WorkerState.STARTING)  # what it was given now would be lost
        elif not self._in_work or self._number == frame.number:
            if isinstance(frame, Done):
                self._holds(batch.batch)
            elif isinstance(frame.error, ModelUnavailable):
                self._model, self._loras = None, ()
            self._become(WorkerState.IDLE)
        if batch.answer.done():  # whoever asked has left
            return
        if isinstance(frame, Done):
            batch.answer.set_result(frame.painted)
        else:
            batch.answer.set_exception(frame.error)

    def _holds(self, batch: Batch) -> None:
        self._model = batch.model.name
        # Of pictures with different LoRAs in one batch nobody knows which were in the weights last.
        used = {task.recipe.loras for task in batch.tasks}
        self._loras = tuple(lora.name for lora in used.pop()) if len(used) == 1 else ()

    def _patience(self) -> float:
        """How long the next frame may take: the heartbeat's while idle, the painter's too during a batch."""
        now = self._clock.monotonic()
        hanging = [self._settings.hang_seconds - (now - batch.last_sign) for batch in self._in_work.values()]
        return min([self._settings.silence_seconds, *hanging])

    # Small things

    def _become(self, state: WorkerState) -> None:
        self.state = state
        self._changed()

    def _send(self, frame: FromParent) -> None:
        if self._life is not None:
            self._life.send(frame)

    def _kill(self) -> None:
        if self._life is not None:
            self._life.kill()

    async def _pause(self) -> None:
        """Between a death and the next start; a close ends it."""
        seconds = 0.0
        if self._deaths > 1:
            seconds = min(self._settings.first_pause * 2 ** (self._deaths - 2), self._settings.longest_pause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
