"""What a worker process and its parent say to each other, over a socket that only the two of them hold.

A frame is a length of four bytes, big-endian, and that many bytes of pickle. Pickle is safe here and nowhere else: both
ends are our own processes, and the socket has no name. On a cluster the same frames go as calls and results of Ray,
which pickles too: whoever is let in there can run programs anyway.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import TypeAlias

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Progress
from generation.engine.settings import PainterSettings
from generation.errors import LimnerError

LENGTH = struct.Struct(">I")


# From the parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first frame: make the painter, and load a model if one is named."""

    settings: PainterSettings
    preload: ModelSpec | None
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """Paint a batch. `number` tells this batch from others that the worker gets."""

    number: int
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Abandon the batch of that number at its next step."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """This model will probably be needed next; None: no other than the one at work."""

    model: ModelSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Abandon everything and end the process."""


# From the worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The painter is made and works on `device`. `model` is the one that was loaded, if any."""

    device: str
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """The painter cannot be made on this machine; another try would end the same."""

    error: LimnerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The process lives, whatever its painter does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The batch of that number is so far."""

    number: int
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """The batch of that number keeps nobody waiting any more: another may come. `Done` or `Failed` follows."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The batch of that number is painted."""

    number: int
    painted: Painted


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The batch of that number ended otherwise; also when it was cancelled. `last`: the process ends with it."""

    number: int
    error: LimnerError
    last: bool = False


FromParent: TypeAlias = Start | Paint | Cancel | Expect | End
FromWorker: TypeAlias = Ready | Unfit | Heartbeat | Step | Free | Done | Failed


def encode(frame: FromParent | FromWorker) -> bytes:
    """A frame as it goes over the socket."""
    body = pickle.dumps(frame, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def portable(error: LimnerError) -> LimnerError:
    """The error as the parent can unpickle it without torch: of a kind in `generation.errors`, with plain fields."""
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == LimnerError.__module__)
    fields = {
        name: value if isinstance(value, str | int | float | None) else str(value)
        for name, value in error.fields.items()
    }
    portable_error: LimnerError = kind(**fields)
    return portable_error


async def read_frame(reader: asyncio.StreamReader) -> FromWorker | None:
    """The next frame from a worker; None when its end is closed."""
    try:
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        frame: FromWorker = pickle.loads(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return frame


def receive(connection: socket.socket) -> FromParent | None:
    """The next frame, waiting for it in this thread; None when the parent is gone."""
    head = _exactly(connection, LENGTH.size)
    if head is None:
        return None
    body = _exactly(connection, LENGTH.unpack(head)[0])
    if body is None:
        return None
    frame: FromParent = pickle.loads(body)
    return frame


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = connection.recv(min(size - len(parts), 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
