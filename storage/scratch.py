"""PostgreSQL to measure on: a server of our own where its programs are installed, and databases that go when done."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.engine import make_url

from storage.database import create_engine

PROGRAMS = Path("/usr/lib/postgresql")  # where Debian puts them, by version
# Nothing in it has to outlive a power cut, so nothing waits for the disk, which would hide what is measured.
SETTINGS = "-c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off"
START_SECONDS = 120.0
ATTEMPTS = 3

log = structlog.get_logger(__name__)


def server_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None where no server is installed."""
    folders = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(4))
    on_path = shutil.which("initdb")
    found = folders[-1] if folders else None if on_path is None else Path(on_path)
    return None if found is None else found.parent


@contextmanager
def scratch_server(programs: Path, folder: Path) -> Iterator[str]:
    """A server on a free port of this machine, its data in that folder until the end of the block: its URL.

    `initdb` refuses to run as root: then the user `postgres`, which Debian's package makes, runs it. Raises `OSError`
    or `subprocess.SubprocessError`.
    """
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    data = folder / "data"

    def call(*command: str | Path) -> None:
        subprocess.run(
            [*as_user, *map(str, command)],
            cwd=folder,
            check=True,
            timeout=START_SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    call(programs / "initdb", "-D", data, "-U", "limner", "-A", "trust", "-E", "UTF8", "--no-sync")
    for attempt in range(1, ATTEMPTS + 1):
        port = _free_port()
        options = f"-p {port} -k {folder} {SETTINGS}"
        try:
            call(programs / "pg_ctl", "-D", data, "-l", folder / "server.log", "-w", "-o", options, "start")
            break
        except subprocess.CalledProcessError:  # somebody may have taken the port meanwhile
            if attempt == ATTEMPTS:
                raise
    try:
        yield f"postgresql+asyncpg://limner@127.0.0.1:{port}/postgres"
    finally:
        try:
            call(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        except (OSError, subprocess.SubprocessError) as error:  # what was measured is worth more
            log.warning("scratch_server_not_stopped", error=str(error))


@asynccontextmanager
async def scratch_database(server: str) -> AsyncIterator[str]:
    """An empty database on that server, until the end of the block: its URL. Raises `StorageUnavailable`."""
    name = f"limner_scratch_{secrets.token_hex(4)}"
    engine = create_engine(server)
    try:
        # PostgreSQL makes and drops databases in no transaction.
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(f"CREATE DATABASE {name}"))
            try:
                yield make_url(server).set(database=name).render_as_string(hide_password=False)
            finally:
                await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await engine.dispose()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port
