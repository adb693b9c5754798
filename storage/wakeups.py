"""Wake-ups: what programs that share a PostgreSQL database tell each other at once, by LISTEN and NOTIFY.

Nothing depends on them. They may be lost with a connection, and whoever hears of a job looks at its row; programs that
share nothing (SQLite) neither tell nor hear. https://www.postgresql.org/docs/current/sql-notify.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from generation.errors import LimnerError
from storage.database import CHANNEL, create_engine, explained
from storage.errors import StorageUnavailable
from storage.presence import PLACE_TAKEN, Presence, take_place

_PART = 7000  # bytes of text in one notification, of which a server takes fewer than 8,000
_MOST_PARTS = 32  # of one text: whatever is longer is no wake-up
_HALF_TOLD = 100  # texts of which parts are kept, for the rest to come
_PING_SECONDS = 10.0  # after which a connection that says nothing is asked whether it lives
_CONNECT_SECONDS = 30.0  # for a new one, with its place
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds, before a lost connection is made anew
# Longer than the server takes to see that a connection of ours is dead, which has our place until then.
_REFUSED_SECONDS = 45.0


class Hearer(Protocol):
    """Called on the event loop with what other programs told. Must return at once and must not raise."""

    def jobs_moved(self, job_ids: Collection[int] | None) -> None:
        """These jobs are new or have another status; None: whichever, for some time we heard nothing."""

    def was_told(self, text: str) -> None:
        """What another program gave to `Wakeups.tell`."""


class Wakeups:
    """A connection of its own to the database at `url`, which also holds the program's place among others.

    `origin` marks what comes from our own program and is passed over. `settings_changed()`: others changed what
    `storage.kept` keeps, or may have.
    """

    def __init__(self, url: str, *, origin: str, settings_changed: Callable[[], None]) -> None:
        self._url = url
        self._origin = origin
        self._settings_changed = settings_changed
        self.shared = url.startswith("postgresql")
        self._connection: AsyncConnection | None = None
        self._turn = asyncio.Lock()  # a connection does one thing at a time
        self._lost = asyncio.Event()
        self._notices: asyncio.Queue[str] = asyncio.Queue()
        self._half_told: dict[tuple[str, str], dict[int, str]] = {}
        self._told = 0
        self._engine: AsyncEngine | None = None
        self._presence: Presence | None = None

    @asynccontextmanager
    async def attending(self, presence: Presence) -> AsyncIterator[None]:
        """Be there under that name and with these shards until the end of the block; what comes is kept for `listen`.

        Raises `StorageUnavailable` and what `take_place` does. Where nothing is shared, nothing is done.
        """
        if not self.shared:
            yield
            return
        self._presence, self._engine = presence, create_engine(self._url)
        try:
            await self._connect()
            yield
        finally:
            await self._disconnect()
            await self._engine.dispose()

    async def listen(self, hearer: Hearer) -> None:
        """Tell what others did, within `attending`, until cancelled. A connection that is lost is made anew.

        Raises what `take_place` does when another program has had our place for `_REFUSED_SECONDS` by then: whatever
        both serve must be left to it.
        """
        if not self.shared:
            return
        both = [asyncio.create_task(work) for work in (self._keep_connected(hearer), self._pass_on(hearer))]
        try:
            ended, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def tell(self, text_: str) -> None:
        """Let all other programs on the database know this. It may be lost, also for being very long; never raises."""
        parts = [text_[start : start + _PART] for start in range(0, len(text_), _PART)] or [""]
        connection = self._connection
        if connection is None or len(parts) > _MOST_PARTS or not text_.isascii():
            return
        self._told += 1
        try:
            async with self._turn, asyncio.timeout(_PING_SECONDS):
                for number, part in enumerate(parts, start=1):
                    payload = f"told {self._origin} {self._told} {number}/{len(parts)} {part}"
                    await connection.execute(select(func.pg_notify(CHANNEL, payload)))
        except (SQLAlchemyError, OSError, TimeoutError):
            self._lost.set()

    # The connection

    async def _connect(self) -> None:
        engine, presence = self._engine, self._presence
        assert engine is not None
        assert presence is not None
        with explained(engine):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    connection = await self._placed(engine, presence)
            except TimeoutError as error:
                raise TimeoutError(f"no answer within {_CONNECT_SECONDS:g} s") from error
        self._lost.clear()
        self._connection = connection

    async def _placed(self, engine: AsyncEngine, presence: Presence) -> AsyncConnection:
        """A connection that has the place and hears."""
        import asyncpg  # an extra, which is there where the database could be opened

        connection = await engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await take_place(connection, presence)
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            driver.add_termination_listener(self._on_end)
            await driver.add_listener(CHANNEL, self._on_notice)
        except BaseException as error:
            await connection.invalidate()
            await connection.close()
            if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
                url = engine.url.render_as_string(hide_password=True)
                raise StorageUnavailable(database=url, detail=str(error)) from error
            raise
        return connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            async with self._turn:
                # Not given back to a pool: its place and its listener go with it.
                await connection.invalidate()
                await connection.close()

    async def _keep_connected(self, hearer: Hearer) -> None:
        pause = _FIRST_PAUSE
        refused_at: float | None = None  # since when another has our place, without anything else in between
        while True:
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                await self._ping()
            if not self._lost.is_set():
                continue
            await self._disconnect()
            try:
                await self._connect()
            except LimnerError as error:
                if not isinstance(error, PLACE_TAKEN):
                    refused_at = None  # nobody knows who had our place while the database was away
                elif refused_at is None:
                    refused_at = time.monotonic()
                elif time.monotonic() - refused_at >= _REFUSED_SECONDS:
                    raise
                structlog.get_logger(__name__).warning("wakeups_lost", retry_in=pause, error=str(error))
                self._lost.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                pause, refused_at = _FIRST_PAUSE, None
                self._settings_changed()
                hearer.jobs_moved(None)

    async def _ping(self) -> None:
        """Whether the other end is still there: a host that vanished says nothing."""
        if self._connection is not None:
            try:
                async with self._turn, asyncio.timeout(_PING_SECONDS):
                    await self._connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError, TimeoutError):
                self._lost.set()

    def _on_end(self, connection: object) -> None:
        self._lost.set()

    def _on_notice(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._notices.put_nowait(str(payload))

    # What comes

    async def _pass_on(self, hearer: Hearer) -> None:
        while True:
            kind, _, rest = (await self._notices.get()).partition(" ")
            origin, _, rest = rest.partition(" ")
            if origin == self._origin:
                continue
            if kind == "jobs":
                hearer.jobs_moved([int(job_id) for job_id in rest.split(",") if job_id.isdecimal()])
            elif kind == "settings":
                self._settings_changed()
            elif kind == "told" and (whole := self._put_together(origin, rest)) is not None:
                hearer.was_told(whole)

    def _put_together(self, origin: str, told: str) -> str | None:
        """The text of which this was the last part that we had not heard."""
        number, _, rest = told.partition(" ")
        place, _, part = rest.partition(" ")
        here, _, parts = place.partition("/")
        if not (here.isdecimal() and parts.isdecimal()):
            return None
        heard = self._half_told.setdefault((origin, number), {})
        heard[int(here)] = part
        if len(heard) < int(parts):
            while len(self._half_told) > _HALF_TOLD:
                del self._half_told[next(iter(self._half_told))]
            return None
        del self._half_told[origin, number]
        return "".join(heard[place] for place in sorted(heard))
