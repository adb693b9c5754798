"""One process of a worker, from its start to its burial: its socket, what it prints, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from generation.clock import Clock
from generation.engine.frames import End, FromParent, FromWorker, encode, read_frame
from generation.engine.worker import LEFT_TO_PARENT
from generation.environment import without_secrets

ROOT = Path(__file__).parent.parent.parent  # where the packages lie: the child shall import these and no others
# How long a process whose socket is closed may take to be gone by itself.
FAREWELL_SECONDS = 2.0
REAP_EVERY = 0.01
# How long what it printed may still be read then: a process of its own making may keep the pipe open for ever.
LAST_OUTPUT_SECONDS = 1.0
KEPT_LINES = 3  # of what it printed last


class ChildProcess:
    """A worker's process, a `Life`. Its burial closes our end of the connection to it.

    Everything is called on one event loop, in a thread that stays until the program ends: Linux ends a child with the
    *thread* that started it (see `worker._die_with_parent`).
    """

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket, *, clock: Clock, log: Any) -> None:
        self._socket = connection
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._process = process
        self._clock = clock
        self._log = log
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._relay = asyncio.create_task(self._relay_output())

    @classmethod
    def start(cls, *, name: str, painter: str, clock: Clock, log: Any) -> Self:
        """A new process. `log` gets what it prints. Raises `OSError` where there is no memory or no process to be had.

        Not asyncio's subprocess: that would watch each process with a thread. The socket's end tells us as much.
        """
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-u", "-m", "generation.engine.worker"]
        command += ["--socket", str(theirs.fileno()), "--parent", str(os.getpid())]
        command += ["--name", name, "--painter", painter]
        search_path = [str(ROOT), os.getenv("PYTHONPATH", "")]
        with contextlib.ExitStack() as on_failure, theirs, _blocked(LEFT_TO_PARENT):
            on_failure.callback(ours.close)
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**without_secrets(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, search_path))},
            )
            on_failure.pop_all()
        log.info("worker_started", pid=process.pid)
        return cls(process, ours, clock=clock, log=log)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def begin(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)

    def send(self, frame: FromParent) -> None:
        if self._writer is not None:
            self._writer.write(encode(frame))
        elif isinstance(frame, End):  # it is only being begun, or gone as far as we know
            self.kill()

    async def receive(self) -> FromWorker | None:
        return None if self._reader is None else await read_frame(self._reader)

    def kill(self) -> None:
        self._process.kill()

    async def bury(self) -> str:
        self._socket.close() if self._writer is None else self._writer.close()
        self._writer = None
        until = self._clock.monotonic() + FAREWELL_SECONDS
        while self._process.poll() is None:
            if self._clock.monotonic() > until:
                self._process.kill()
            await asyncio.sleep(REAP_EVERY)
        await asyncio.wait({self._relay}, timeout=LAST_OUTPUT_SECONDS)
        self._relay.cancel()
        await asyncio.wait({self._relay})
        return " | ".join([_how_it_ended(self._process.returncode), *self._said])

    async def _relay_output(self) -> None:
        """What the process prints goes to our log, line by line, and the last lines are kept."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        rest = ""
        with contextlib.closing(transport):
            try:
                while chunk := await reader.read(1 << 16):
                    *lines, rest = (rest + chunk.decode(errors="replace")).splitlines(keepends=True)
                    if rest.endswith(("\n", "\r")) or len(rest) > 1 << 16:
                        lines, rest = [*lines, rest], ""
                    for line in lines:
                        self._hear(line)
            finally:
                self._hear(rest)  # a process that dies may not come to the end of its line

    def _hear(self, line: str) -> None:
        if line := line.strip():
            self._said.append(line)
            self._log.info("worker_output", line=line)


@contextlib.contextmanager
def _blocked(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """For this thread, and for the processes that it begins meanwhile, until they say otherwise."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how_it_ended(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
