"""The worker process: one painter, fed over an inherited socket. `python -m generation.engine.worker --socket FD …`

Four threads: the main one paints, because torch and its kernels want it; one finishes batches whose pictures are only
to be decoded and written to files, where the painter leaves that; one reads, so that a cancel arrives while a batch is
painted; one beats, so that the parent can tell a long step from a dead process. (A painter may have others, to read
what will be needed next.) The process ends when its parent asks, and at once when the parent is gone. The parent alone
ends it: signals from a terminal or a service manager that mean the whole program are left to the parent, which lets
the batch finish or hands it back.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

import structlog

from generation.engine.frames import (
    LENGTH,
    Cancel,
    Done,
    End,
    Expect,
    Failed,
    Free,
    FromWorker,
    Heartbeat,
    Paint,
    Ready,
    Start,
    Step,
    Unfit,
    encode,
    portable,
    receive,
)
from generation.engine.painting import ForesightedPainter, OverlappingPainter, Painter
from generation.engine.protocol import Painted, Progress
from generation.engine.settings import PainterSettings
from generation.errors import LimnerError, ModelUnavailable, OutOfMemory, PaintingFailed

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# From a terminal or a service manager, and meant for the whole program. They are blocked when a worker is begun, so
# that none meets it before it can ignore them.
LEFT_TO_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Worker:
    """Serves one connection to the parent until it ends."""

    def __init__(self, connection: socket.socket, painter_path: str) -> None:
        self._connection = connection
        self._painter_path = painter_path
        self._painter: Painter | None = None
        self._sending = threading.Lock()
        self._batches: queue.SimpleQueue[Paint | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._ending = threading.Event()
        self._finishing: threading.Thread | None = None
        self._log = structlog.get_logger(__name__)

    def serve(self) -> int:
        """Until the parent says so; the process's exit status."""
        start = receive(self._connection)
        if not isinstance(start, Start):
            return 1
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        threading.Thread(target=self._beat, args=(start.heartbeat_seconds,), name="heartbeat", daemon=True).start()
        try:
            painter = self._painter = self._make_painter(start.settings)
        except LimnerError as error:
            self._send(Unfit(error=portable(error)))
            return 1
        self._send(Ready(device=painter.device, model=self._preload(painter, start)))
        while (paint := self._batches.get()) is not None:
            if not self._paint(painter, paint):
                return 1
        self._wait_for_finishing()
        return 0

    def say_no_more(self) -> None:
        """Send an empty frame, for a parent who does not see that `serve` has returned: heartbeats may follow it."""
        with self._sending:
            self._connection.sendall(LENGTH.pack(0))

    def _make_painter(self, settings: PainterSettings) -> Painter:
        module, _, name = self._painter_path.partition(":")
        make: Callable[[PainterSettings], Painter] = getattr(importlib.import_module(module), name)
        return make(settings)

    def _preload(self, painter: Painter, start: Start) -> str | None:
        """Load the model that most will want. A failure here is told again, to a person, by the first job."""
        if start.preload is None:
            return None
        try:
            painter.load(start.preload)
        except ModelUnavailable as error:
            self._log.warning("model_not_preloaded", error=str(error))
            return None
        return start.preload.name

    def _paint(self, painter: Painter, paint: Paint) -> bool:
        """Paint a batch and answer, or leave its end to another thread. False: the process is of no use any more."""

        def on_progress(progress: Progress) -> None:
            self._send(Step(number=paint.number, progress=progress))

        def cancelled() -> bool:
            return paint.number in self._cancelled or self._ending.is_set()

        def work() -> Painted | Callable[[], Painted]:
            begin = painter.begin if isinstance(painter, OverlappingPainter) else painter.paint
            return begin(paint.batch, on_progress=on_progress, cancelled=cancelled)

        return self._answer(paint, work)

    def _answer(self, paint: Paint, work: Callable[[], Painted | Callable[[], Painted]]) -> bool:
        """Do the work and tell how it ended. False: the process is of no use any more."""
        error: LimnerError
        try:
            painted = work()
        except LimnerError as raised:
            error, lost = portable(raised), _device_is_lost(raised)
        except MemoryError as raised:
            error, lost = OutOfMemory(detail=str(raised) or "host memory"), False
        except Exception as raised:  # noqa: BLE001 - the worker's loop: whatever it was, the parent and the next batch wait
            self._log.exception("painting_failed", job_ids=paint.batch.job_ids)
            last_line = traceback.format_exception_only(raised)[-1].strip()
            error, lost = PaintingFailed(detail=last_line), _device_is_lost(raised)
        else:
            if isinstance(painted, Painted):
                self._cancelled.discard(paint.number)
                self._send(Done(number=paint.number, painted=painted))
            else:
                self._finish(paint, painted)
            return True
        self._cancelled.discard(paint.number)
        self._send(Failed(number=paint.number, error=error, last=lost))
        return not lost

    def _finish(self, paint: Paint, finish: Callable[[], Painted]) -> None:
        """Let another thread do what is left of a batch, and ask for the next. One is left at a time, and no more."""

        def answer() -> None:
            if not self._answer(paint, finish):
                os._exit(1)  # as after any other batch: the one that is painted now would fail too

        self._wait_for_finishing()
        self._send(Free(number=paint.number))
        self._finishing = threading.Thread(target=answer, name="finishing", daemon=True)
        self._finishing.start()

    def _wait_for_finishing(self) -> None:
        if self._finishing is not None:
            self._finishing.join()

    def _read(self) -> None:
        while True:
            match receive(self._connection):
                case Paint() as paint:
                    self._batches.put(paint)
                case Cancel(number=number):
                    self._cancelled.add(number)
                case Expect(model=model):
                    if isinstance(self._painter, ForesightedPainter):
                        self._painter.expect(model)
                case End():
                    self._ending.set()
                    self._batches.put(None)
                case None:
                    os._exit(1)  # the parent is gone, and with it everyone who could want a result

    def _beat(self, seconds: float) -> None:
        self._send(Heartbeat())
        while not self._ending.wait(seconds):
            self._send(Heartbeat())

    def _send(self, frame: FromWorker) -> None:
        data = encode(frame)
        try:
            with self._sending:
                self._connection.sendall(data)
        except ConnectionError:
            os._exit(1)


def _device_is_lost(error: BaseException) -> bool:
    """After an error of its kernels a CUDA context fails at everything; only a new process gets a new one."""
    return "CUDA error" in str(error)


def _die_with_parent(parent: int) -> None:
    """On Linux also the kernel sees to it, should a lock keep this process from noticing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="generation.engine.worker")
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of the inherited socket")
    parser.add_argument("--parent", type=int, required=True, help="process id of the parent")
    parser.add_argument("--name", required=True, help="the worker's name, for logs and process lists")
    parser.add_argument("--painter", required=True, help="module:class of the painter")
    options = parser.parse_args(arguments)
    for ignored in LEFT_TO_PARENT:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_PARENT)
    _die_with_parent(options.parent)
    os.set_inheritable(options.socket, False)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its hints on import are for programmers
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()])
    with socket.socket(fileno=options.socket) as connection:
        status = Worker(connection, options.painter).serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without torch's and the threads' farewells, which may hang


if __name__ == "__main__":
    main()
