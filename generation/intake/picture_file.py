"""A file that somebody brings, taken to the disk as it comes."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Self

from generation.intake.errors import UploadTooLarge
from generation.intake.limits import MEGA

PART_BYTES = 1024 * 1024  # that are in memory at most, until a thread has written them


class PictureFile:
    """Bytes under no name, which are gone with the last who has them open. A context manager that closes them.

    `digest` is their SHA-256 (hex), `file` stands anywhere in them.
    """

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 – this is the context manager
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def append(self, part: bytes) -> None:
        """Write some more; blocks."""
        self._hash.update(part)
        self.file.write(part)


async def received(chunks: AsyncIterator[bytes], *, megabytes: int) -> PictureFile:
    """The file whose bytes come so. Raises `UploadTooLarge` as soon as more than `megabytes` have come, or `OSError`.

    Writing and hashing are done in threads.
    """
    file = await asyncio.to_thread(PictureFile)
    try:
        part, size = bytearray(), 0
        async for chunk in chunks:
            size += len(chunk)
            if size > megabytes * MEGA:
                raise UploadTooLarge(limit=megabytes)
            part += chunk
            if len(part) >= PART_BYTES:
                await asyncio.to_thread(file.append, bytes(part))
                part.clear()
        await asyncio.to_thread(file.append, bytes(part))
    except BaseException:
        file.file.close()
        raise
    return file
