"""A file is whole or not there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.errors import FilesUnavailable, FilesUnwritable
from storage.files_folder import FolderFiles


async def test_bytes_come_back_by_their_digest(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "not" / "yet")
    digest = await files.write(b"a picture")
    assert digest == hashlib.sha256(b"a picture").hexdigest()
    assert await files.read(digest) == b"a picture"
    assert await files.exists(digest)
    assert everything_in(tmp_path) == [tmp_path / "not" / "yet" / digest[:2] / digest]


async def test_what_is_gone_or_was_never_there_is_none(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path)
    digest = await files.write(b"a picture")
    (tmp_path / digest[:2] / digest).unlink()
    for gone in (digest, "0" * 64):
        assert await files.read(gone) is None
        assert not await files.exists(gone)


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "/etc/passwd", "AB" * 32, "ab" * 32 + "\n", "ab" * 33])
async def test_only_digests_are_looked_for(tmp_path: Path, name: str) -> None:
    assert await FolderFiles(tmp_path).read(name) is None
    assert not await FolderFiles(tmp_path).exists(name)


async def test_equal_bytes_are_one_file_also_when_written_at_once(tmp_path: Path) -> None:
    digests = await asyncio.gather(*(FolderFiles(tmp_path).write(b"same" * 10_000) for _ in range(20)))
    assert len(set(digests)) == 1
    assert len(everything_in(tmp_path)) == 1


async def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    with pytest.raises(FilesUnwritable) as error:
        await FolderFiles(tmp_path / "files").write(b"a picture")
    assert str(tmp_path / "files") in str(error.value.fields["path"])
    assert error.value.fields["detail"] == "File exists"


async def test_a_folder_that_cannot_be_looked_at_is_said_plainly(tmp_path: Path) -> None:
    files, digest, now = FolderFiles(tmp_path / ("x" * 300)), "0" * 64, datetime.now(UTC)
    for asking in (files.read(digest), files.exists(digest), files.last_written(now)):
        with pytest.raises(FilesUnavailable) as error:
            await asking
        assert error.value.fields == {"place": str(tmp_path / ("x" * 300)), "detail": "File name too long"}
    for changing in (files.write(b"a picture"), files.remove(digest), files.clear_unfinished(now)):
        with pytest.raises(FilesUnwritable):
            await changing


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A process that may write no file over 4 KiB stands for the full disk: the write fails in its midst."""
    program = """
import asyncio, resource, signal, sys
from pathlib import Path
from storage.errors import FilesUnwritable
from storage.files_folder import FolderFiles

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
files = FolderFiles(Path(sys.argv[1]))
kept = asyncio.run(files.write(b"small"))
try:
    asyncio.run(files.write(b"large" * 10_000))
except FilesUnwritable as error:
    print(error.fields["detail"])
assert asyncio.run(files.read(kept)) == b"small"
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout == "File too large\n"
    assert [path.read_bytes() for path in everything_in(tmp_path)] == [b"small"]


@pytest.mark.crash
def test_a_writer_that_is_killed_leaves_no_file_that_lies(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from storage.files_folder import FolderFiles

async def main():
    files = FolderFiles(Path(sys.argv[1]))
    print("ready", flush=True)
    for number in range(1_000_000):
        await files.write(bytes(str(number), "ascii") * 100_000)

asyncio.run(main())
"""
    for milliseconds in (5, 40):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert process.stdout is not None
        with process.stdout:
            process.stdout.readline()
            time.sleep(milliseconds / 1000)
            process.kill()
            process.wait()
    for path in everything_in(tmp_path):
        if not path.name.endswith(".part"):  # one of these may be left, and nobody will ever read it
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_is_removed_by_its_age(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path)
    digest = await files.write(b"a picture")
    moment = datetime(2026, 3, 14, tzinfo=UTC)
    os.utime(tmp_path / digest[:2] / digest, (moment.timestamp(), moment.timestamp()))
    assert await files.last_written(moment) == []
    assert await files.last_written(moment + timedelta(seconds=1)) == [digest]
    assert not await files.remove(digest, before=moment)
    assert await files.remove(digest, before=moment + timedelta(seconds=1))
    assert not await files.remove(digest)
    assert not await files.exists(digest)


async def test_a_file_is_never_older_than_its_last_writing(tmp_path: Path) -> None:
    """Not by the milliseconds either by which a system's own stamps may be behind its clock."""
    files = FolderFiles(tmp_path)
    for _ in range(50):
        asked_at = datetime.now(UTC)
        digest = await files.write(b"a picture")
        assert not await files.remove(digest, before=asked_at)


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "ab" * 32 + "\n"])
async def test_only_digests_are_removed(tmp_path: Path, name: str) -> None:
    assert not await FolderFiles(tmp_path).remove(name)


async def test_bytes_that_are_brought_again_while_their_old_file_is_removed_are_there(tmp_path: Path) -> None:
    """Whichever comes first: the file is young then, or written anew."""
    files, sweeper = FolderFiles(tmp_path), FolderFiles(tmp_path)
    digest, limit = await files.write(b"a picture"), datetime.now(UTC) - timedelta(days=1)
    path, removed = tmp_path / digest[:2] / digest, 0
    for number in range(200):
        os.utime(path, (0, 0))
        both = [files.write(b"a picture"), sweeper.remove(digest, before=limit)]
        removed += (await asyncio.gather(*(both if number % 2 else reversed(both)))).count(True)
        assert path.read_bytes() == b"a picture"
    assert 0 < removed < 200  # else nothing was tried
