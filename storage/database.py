"""The connection to the database: one way to read and one to write, alike on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import URL, Connection, ExceptionContext, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from storage.errors import StorageOutdated, StorageUnavailable
from storage.kept import CHANGED, Kept

Clock = Callable[[], datetime]

CHANNEL = "limner"  # on which PostgreSQL tells programs of one database what others did
MOVED = "moved"  # where a session notes the jobs that are new in it, or have another status
_TOLD_AT_ONCE = 400  # ids in one notification, which may have 8,000 bytes

REVISION = "0004"
"""The schema that this program speaks: the newest file in `migrations/versions` (a test compares). Stated here so that
a running bot need not load alembic to look."""

DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
_DRIVERS = " or ".join(DRIVERS)
_ARGUMENT = re.compile(r"(invalid input for query argument \$[0-9]+).*", re.DOTALL)
_BUSY_TIMEOUT_MS = 30_000  # another process (a backup, `migrate`) may hold the write lock; longer than this is broken


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """Sessions on one database, and the clock by which its rows are stamped. Built by `Database.open`."""

    def __init__(self, reading: AsyncEngine, writing: AsyncEngine, clock: Clock) -> None:
        self.kept = Kept()
        self._clock = clock
        self.origin = secrets.token_hex(6)  # by which other programs' notifications are told from our own
        self._readers = async_sessionmaker(reading, expire_on_commit=False)
        self._writers = async_sessionmaker(writing.execution_options(writes=True), expire_on_commit=False)
        # SQLite has one writer at a time. Waiting here is first come, first served and wakes at once; waiting in
        # SQLite is a poll of up to 100 ms, in no order.
        self._turn = asyncio.Lock() if writing.dialect.name == "sqlite" else None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, clock: Clock = utc_now) -> AsyncIterator[Database]:
        """The database at a SQLAlchemy URL (one of `DRIVERS`), whose schema must be `REVISION`.

        Raises `StorageUnavailable` or `StorageOutdated`.
        """
        # Each has connections of its own. When hundreds order at once, all begin by reading: whoever has read may write
        # then, and the queue may go on, without waiting for a connection until the last of them has read.
        reading, writing = create_engine(url), create_engine(url)
        try:
            with explained(reading):
                try_file(reading.url)
                async with reading.connect() as connection:
                    found = await revision_of(connection)
            if found != REVISION:
                raise StorageOutdated(found=found, wanted=REVISION)
            yield cls(reading, writing, clock)
        finally:
            await writing.dispose()
            await reading.dispose()

    def now(self) -> datetime:
        """The time to stamp a row with: aware UTC. Ask inside `writing`, so that stamps rise as transactions do."""
        return self._clock().astimezone(UTC)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for one transaction that only reads. It never waits for a writer."""
        async with self._readers() as session, session.begin():
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session for one transaction that writes: committed at the end of the block, undone if that raises.

        On SQLite the whole block is alone. On PostgreSQL it is not: lock what you decide by (`with_for_update`), users
        before guilds before jobs, and jobs by rising id, so that no two blocks wait for each other.
        """
        turn: AbstractAsyncContextManager[Any] = self._turn or nullcontext()
        async with turn, self._writers() as session:
            try:
                async with session.begin():
                    yield session
                    await self._tell(session)
            finally:
                self.kept.committed(session)

    async def _tell(self, session: AsyncSession) -> None:
        """Let other programs on the same server know what changed, if the transaction comes to its end."""
        rows = session.info.pop(MOVED, ())
        if session.get_bind().dialect.name != "postgresql":
            return
        if session.info.get(CHANGED):
            await session.execute(select(func.pg_notify(CHANNEL, f"settings {self.origin}")))
        ids = sorted({row.id for row in rows})
        for start in range(0, len(ids), _TOLD_AT_ONCE):
            some = ",".join(map(str, ids[start : start + _TOLD_AT_ONCE]))
            await session.execute(select(func.pg_notify(CHANNEL, f"jobs {self.origin} {some}")))


def create_engine(url: str) -> AsyncEngine:
    """An engine for one of `DRIVERS`. Raises `StorageUnavailable` for any other URL, or when the driver is missing.

    Its errors do not quote what was to be stored: they are logged, and people's words and tokens are not.
    """
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:  # the text may hold a password, and cannot be taken apart to hide it
        raise StorageUnavailable(database="?", detail=f"not a database URL; it begins with {_DRIVERS}") from error
    database = parsed.render_as_string(hide_password=True)
    if parsed.drivername not in DRIVERS:
        raise StorageUnavailable(database=database, detail=f"the URL must begin with {_DRIVERS}")
    try:
        if parsed.get_backend_name() == "sqlite":
            engine = create_async_engine(parsed, hide_parameters=True)
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
            return engine
        # READ COMMITTED, whatever the server is set to: who waited for a lock must see what its last holder did.
        # And a connection that the server closed while it lay in the pool is noticed before it is used.
        engine = create_async_engine(parsed, isolation_level="READ COMMITTED", pool_pre_ping=True, hide_parameters=True)
        event.listen(engine.sync_engine, "handle_error", _hide_values)
        return engine
    except ImportError as error:
        raise StorageUnavailable(database=database, detail=str(error)) from error


async def revision_of(connection: AsyncConnection) -> str:
    """The revision that the last migration left in the database, '' if there was none."""
    if not await connection.run_sync(lambda sync: sync.dialect.has_table(sync, "alembic_version")):
        return ""
    return str(await connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


@contextmanager
def explained(engine: AsyncEngine) -> Iterator[None]:
    """For a block that makes the first connection: what may go wrong with that becomes `StorageUnavailable`."""
    database = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except DBAPIError as error:
        raise StorageUnavailable(database=database, detail=str(error.orig)) from error
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StorageUnavailable(database=database, detail=str(error)) from error


def try_file(url: URL) -> None:
    """Open a SQLite file once, without aiosqlite: where that cannot, its thread may end after the event loop and then
    dies of it, with a traceback beside our one sentence. Raises `sqlite3.Error`."""
    if url.get_backend_name() == "sqlite":
        file = url.database or ":memory:"
        sqlite3.connect(file, uri=file.startswith("file:")).close()


def _hide_values(context: ExceptionContext) -> None:
    """PostgreSQL's errors quote rows in their detail, and asyncpg's the argument that it could not send."""
    error: BaseException | None = context.sqlalchemy_exception or context.original_exception
    while error is not None:
        error.args = tuple(_ARGUMENT.sub(r"\1", arg) if isinstance(arg, str) else arg for arg in error.args)
        if getattr(error, "detail", None):
            error.detail = None  # type: ignore[attr-defined]
        error = getattr(error, "orig", None) or error.__cause__


def _prepare_sqlite(connection: Any, record: object) -> None:
    # The driver's own transaction control would begin too late and without IMMEDIATE; `_begin_sqlite` does it instead.
    # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-transactions
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what we told a person outlives a power cut, not only a crash
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer that began as a reader and wants the lock later fails at once when another has written meanwhile
    # (SQLITE_BUSY_SNAPSHOT, no waiting): so writers ask for the lock when they begin.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
