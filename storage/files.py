"""Files: picture bytes, each under the SHA-256 of its content, wherever they are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

_DIGEST = re.compile(r"[0-9a-f]{64}")
BUCKET = "s3://"


class Files(Protocol):
    """Content-addressed files. Safe to use from any number of tasks and programs.

    A file is whole or not there, at any moment and after any crash, and it never changes. Equal bytes are one file,
    whose age counts from when they were last written, by the clock of whoever wrote them.
    """

    # How much the clocks of two writers may differ: of what one has written so shortly before, another cannot say
    # whether it was before or after a moment.
    clocks_differ: timedelta

    async def write(self, data: bytes) -> str:
        """Keep the bytes; their SHA-256 (hex). They outlive a power cut when this returns. Raises `FilesUnwritable`."""

    async def read(self, digest: str) -> bytes | None:
        """The bytes of that SHA-256 (hex), or None: gone, never there, or not a digest at all.

        Raises `FilesUnavailable`.
        """

    async def exists(self, digest: str) -> bool:
        """Whether there is such a file. Raises `FilesUnavailable`."""

    async def remove(self, digest: str, *, before: datetime | None = None) -> bool:
        """Take a file away; with `before`, only if its bytes were not written since. False: it stays, or was not there.

        Raises `FilesUnwritable`.
        """

    async def last_written(self, before: datetime) -> Sequence[str]:
        """The digests of all files that were last written before that moment. Raises `FilesUnavailable`."""

    async def clear_unfinished(self, before: datetime) -> int:
        """Take away what crashes left half done before that moment; how many there were. Raises `FilesUnwritable`."""


async def open_files(place: Path | str) -> Files:
    """The files in a folder, which is made when it is needed, or of a bucket: `s3://name` or `s3://name/prefix`.

    Raises `FilesUnavailable` for a bucket that cannot be reached or read.
    """
    if isinstance(place, Path):
        from storage.files_folder import FolderFiles

        return FolderFiles(place)
    from storage.files_s3 import S3Files

    files = S3Files(place)
    await files.check()
    return files


def is_digest(text: str) -> bool:
    """Digests come from outside too: one that is a path must not lead anywhere."""
    return _DIGEST.fullmatch(text) is not None
