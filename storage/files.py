"""Files: picture bytes in a local folder, each under the SHA-256 of its content."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path

from storage.errors import FilesUnwritable

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Files:
    """Content-addressed files: `<folder>/<first two hex digits>/<digest>`.

    A file is whole or not there, at any moment and after any crash, and it never changes. Equal bytes are one file.
    All work is done in threads; the event loop is never held.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, data: bytes) -> str:
        """Keep the bytes; their SHA-256 (hex). They are on the disk when this returns. Raises `FilesUnwritable`."""
        return await asyncio.to_thread(self._write, data)

    async def read(self, digest: str) -> bytes | None:
        """The bytes of that SHA-256 (hex), or None: gone, never there, or not a digest at all."""
        return await asyncio.to_thread(self._read, digest)

    async def exists(self, digest: str) -> bool:
        return await asyncio.to_thread(lambda: _is_digest(digest) and self._path(digest).is_file())

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    def _read(self, digest: str) -> bytes | None:
        if not _is_digest(digest):  # digests come from outside too: one that is a path must not lead anywhere
            return None
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if not path.is_file():
                _make_folder(path.parent)
                _write_whole(path, data)
            _sync_folder(path.parent)  # also for a file that was there: its writer may not have come so far
        except OSError as error:
            raise FilesUnwritable(path=str(path), detail=error.strerror or str(error)) from error
        return digest


def _is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def _make_folder(folder: Path) -> None:
    """Make the folder, and see that its name is on the disk too, not only its content."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside, sync, rename: so no reader and no crash ever sees half a file."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
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
