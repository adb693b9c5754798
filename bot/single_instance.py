"""One bot per SQLite file: two would each believe that the other's running jobs are their own, left from a crash."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.config_sections import SQLITE
from generation.errors import LimnerError


class AlreadyRunning(LimnerError):
    """Another bot works with this database. Fields: `path`."""

    key = "already_running"


@contextmanager
def only_instance(database: str) -> Iterator[None]:
    """Hold the lock beside the database file; the system lets go of it when the process ends, however it ends.

    Other databases are made for many programs. Raises `AlreadyRunning`.
    """
    if not database.startswith(SQLITE):
        yield
        return
    path = Path(database.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(path=str(path)) from error
        yield
