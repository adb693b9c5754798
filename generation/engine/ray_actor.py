"""The worker on a node of a cluster: an actor around the same `Worker` that a child process is on one machine.

Its frames come as calls and go as a stream of results. Ray keeps the order of results but not of calls: it may bring a
small frame before a large one that was sent first, so each has its number. Nor does it interrupt a method that runs, so
a cancel is a frame too: the worker reads it while it paints, and its painter looks at the flag after each step.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from generation.engine.frames import LENGTH
from generation.engine.ray_versions import own_versions
from generation.engine.worker import Worker

# Frames of one stream. Ray remembers each result of a stream until the stream ends, and a worker may live for months.
STREAM_FRAMES = 1000
# The stream's last result where there will be no other stream.
NO_MORE = b""


class InOrder:
    """Gives frames out in the order in which they were sent, whatever the order in which they come."""

    def __init__(self) -> None:
        self._early: dict[int, bytes] = {}
        self._next = 0

    def take(self, number: int, frame: bytes) -> list[bytes]:
        """The frames whose turn it now is, of all that have come. `number` is how many were sent before this one."""
        self._early[number] = frame
        due = []
        while self._next in self._early:
            due.append(self._early.pop(self._next))
            self._next += 1
        return due


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Who the actor is: its process, the address of its node, and what `own_versions` says there."""

    pid: int
    node: str
    versions: dict[str, str]


class WorkerActor:
    """Runs on one event loop, beside which one thread paints for as long as the actor lives."""

    def __init__(self, painter: str) -> None:
        """`painter` names the class that paints as `module:Class`."""
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its hints on import are for programmers
        structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.LogfmtRenderer()])
        self._ours, self._theirs = socket.socketpair()
        self._serving: Future[int] | None = None
        self._painter = painter
        self._arriving = InOrder()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def meet(self) -> Meeting:
        """The first call: from here on frames are taken."""
        import ray

        self._reader, self._writer = await asyncio.open_connection(sock=self._ours)
        thread = ThreadPoolExecutor(1, thread_name_prefix="painter")
        worker = Worker(self._theirs, self._painter)
        self._serving = thread.submit(worker.serve)
        self._serving.add_done_callback(lambda _: worker.say_no_more())
        return Meeting(pid=os.getpid(), node=ray.util.get_node_ip_address(), versions=own_versions())

    async def take(self, number: int, frame: bytes) -> None:
        """A frame for the worker; `number` is how many were sent before it."""
        if self._writer is not None:
            self._writer.writelines(self._arriving.take(number, frame))

    async def frames(self) -> AsyncIterator[bytes]:
        """What the worker says, as pickled frames without their lengths; `NO_MORE` when it has ended.

        Raises what the worker raised unforeseen, such as a painter that cannot be imported.
        """
        if self._reader is None or self._serving is None:
            return
        for _ in range(STREAM_FRAMES):
            (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if size == 0:
                self._serving.result()
                yield NO_MORE
                return
            yield await self._reader.readexactly(size)
