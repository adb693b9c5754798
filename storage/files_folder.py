"""Files in a local folder, for programs on one machine."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.errors import FilesUnavailable, FilesUnwritable
from storage.files import Files, is_digest

_UNFINISHED = ".part"  # the ending of a file that is being written


class FolderFiles(Files):
    """`<folder>/<first two hex digits>/<digest>`. All work is done in threads; the event loop is never held."""

    clocks_differ = timedelta(0)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, data: bytes) -> str:
        return await asyncio.to_thread(self._write, data)

    async def read(self, digest: str) -> bytes | None:
        return await asyncio.to_thread(self._read, digest)

    async def exists(self, digest: str) -> bool:
        return await asyncio.to_thread(self._exists, digest)

    async def remove(self, digest: str, *, before: datetime | None = None) -> bool:
        return await asyncio.to_thread(self._remove, digest, before)

    async def last_written(self, before: datetime) -> Sequence[str]:
        return await asyncio.to_thread(self._last_written, before)

    async def clear_unfinished(self, before: datetime) -> int:
        return await asyncio.to_thread(self._clear_unfinished, before)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    def _read(self, digest: str) -> bytes | None:
        if not is_digest(digest):  # digests come from outside too: one that is a path must not lead anywhere
            return None
        with self._asking():
            try:
                return self._path(digest).read_bytes()
            except FileNotFoundError:
                return None

    def _exists(self, digest: str) -> bool:
        with self._asking():
            return is_digest(digest) and self._path(digest).is_file()

    def _write(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        with _changing(path):
            _make_folder(path.parent)
            with _alone_in(path.parent) as folder:
                if not path.is_file():
                    _write_whole(path, data)
                _make_young(path)  # if it was there: it is wanted again, and so not old enough to be removed
                os.fsync(folder)  # also for a file that was there: its writer may not have come so far
        return digest

    def _remove(self, digest: str, before: datetime | None) -> bool:
        path = self._path(digest)
        with _changing(path):
            if not is_digest(digest) or not path.parent.is_dir():
                return False
            with _alone_in(path.parent):
                if not path.is_file() or (before is not None and not _is_older(path, before)):
                    return False
                path.unlink()
        return True

    def _last_written(self, before: datetime) -> Sequence[str]:
        with self._asking():
            return [path.name for path in self._folder.glob("??/*") if is_digest(path.name) and _is_older(path, before)]

    def _clear_unfinished(self, before: datetime) -> int:
        with _changing(self._folder):
            left = [path for path in self._folder.glob(f"??/.*{_UNFINISHED}") if _is_older(path, before)]
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong inside becomes `FilesUnavailable`."""
        try:
            yield
        except OSError as error:
            raise FilesUnavailable(place=str(self._folder), detail=error.strerror or str(error)) from error


def _make_young(path: Path) -> None:
    """By the clock that ages are told by: the system's own stamps may be some milliseconds behind it."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment
    except FileNotFoundError:  # somebody else was quicker
        return False


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """What goes wrong inside becomes `FilesUnwritable`."""
    try:
        yield
    except OSError as error:
        raise FilesUnwritable(path=str(path), detail=error.strerror or str(error)) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """The folder's descriptor, while no other writes or removes there: other processes neither.

    Without it a file could be removed for its age in the moment in which somebody brings its bytes again.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    """Make the folder, and see that its name is on the disk too, not only its content."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside, sync, rename: so no reader and no crash ever sees half a file."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=_UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
