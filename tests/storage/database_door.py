"""A way to the server of a database that may be shut, or fall silent, as networks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import make_url


class Door:
    """What comes through is passed on, both ways, until it is told otherwise. `url` is the database behind it.

    `silent_from`: from the first connection on whose program sends that, nothing is passed on any more.
    """

    url = ""

    def __init__(self, host: str, port: int) -> None:
        self._behind = host, port
        self._shut = False
        self._silent = False
        self.silent_from: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turned_away = asyncio.Semaphore(0)

    def shut(self) -> None:
        """End what goes through, and send away whoever comes."""
        self._shut = True
        for writer in self._writers:
            writer.close()

    def open(self) -> None:
        """Let them in again."""
        self._shut = False

    async def turned_away(self) -> None:
        """Wait until one more was."""
        await self._turned_away.acquire()

    def come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._shut:
            writer.close()
            self._turned_away.release()
        else:
            self._tasks.add(asyncio.create_task(self._let_through(reader, writer)))

    async def close(self) -> None:
        self.shut()
        await asyncio.gather(*self._tasks)

    async def _let_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader_behind, writer_behind = await asyncio.open_connection(*self._behind)
        self._writers |= {writer, writer_behind}
        await asyncio.gather(self._pass_on(reader, writer_behind), self._pass_on(reader_behind, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                self._silent = self._silent or (self.silent_from is not None and self.silent_from in data)
                if not self._silent:
                    writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def door_to(database: str) -> AsyncIterator[Door]:
    """A door to that database, open."""
    url = make_url(database)
    assert url.host is not None
    assert url.port is not None
    door = Door(url.host, url.port)
    server = await asyncio.start_server(door.come, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    door.url = url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    try:
        yield door
    finally:
        door.shut()
        # Whoever came before us has been seen too when we are sent away: nobody is left on the threshold, unclosed.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        writer.close()
        server.close()
        await door.close()
        await server.wait_closed()
