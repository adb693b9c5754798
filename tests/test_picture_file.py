"""Files that people bring go to the disk as they come, and no more of them than is allowed."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from generation.intake import picture_file
from generation.intake.errors import UploadTooLarge
from generation.intake.limits import MEGA
from generation.intake.picture_file import PART_BYTES, PictureFile, received

CHUNK = bytes(range(256)) * 256


async def stream(count: int, taken: list[int]) -> AsyncIterator[bytes]:
    for number in range(count):
        taken.append(number)
        yield CHUNK


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 50])
async def test_what_comes_in_chunks_lies_there_whole(count: int) -> None:
    with await received(stream(count, []), megabytes=5) as file:
        file.file.seek(0)
        assert file.file.read() == CHUNK * count
        assert file.digest == hashlib.sha256(CHUNK * count).hexdigest()
    assert file.file.closed


async def test_a_large_file_is_never_in_memory() -> None:
    tracemalloc.start()
    try:
        with await received(stream(300, []), megabytes=20):
            assert tracemalloc.get_traced_memory()[1] < 6 * PART_BYTES
    finally:
        tracemalloc.stop()


async def test_what_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[PictureFile] = []

    class Noted(PictureFile):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(picture_file, "PictureFile", Noted)
    taken: list[int] = []
    with pytest.raises(UploadTooLarge) as raised:
        await received(stream(10_000, taken), megabytes=2)
    assert raised.value.fields == {"limit": 2}
    assert len(taken) == 2 * MEGA // len(CHUNK) + 1
    assert made[0].file.closed


async def test_writing_and_hashing_do_not_hold_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    append = PictureFile.append

    def noted(self: PictureFile, part: bytes) -> None:
        threads.add(threading.get_ident())
        append(self, part)

    monkeypatch.setattr(PictureFile, "append", noted)
    with await received(stream(40, []), megabytes=5):
        pass
    assert threads
    assert threading.get_ident() not in threads
