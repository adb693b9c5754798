"""Files in a bucket, on a real server: what holds for those in a folder holds there too."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
from storage_databases import Databases
from storage_samples import HARBOUR, WORKER, Clock, leased, pictures

from bot.doctor import _files
from storage import files_s3
from storage.backup import back_up
from storage.errors import BackupOfBucket, FilesUnavailable, FilesUnwritable
from storage.files import Files, open_files
from storage.files_s3 import S3Files
from storage.storage import open_storage
from tests.s3_server import make_bucket, s3_server

LATER = timedelta(hours=1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty one; how to get there stands in the environment."""
    name = f"limner-{uuid4().hex}"
    make_bucket(server, name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return f"s3://{name}/pictures"


@pytest.fixture
async def files(bucket: str) -> Files:
    return await open_files(bucket)


async def test_bytes_come_back_by_their_digest(files: Files) -> None:
    digest = await files.write(b"a picture")
    assert digest == hashlib.sha256(b"a picture").hexdigest()
    assert await files.read(digest) == b"a picture"
    assert await files.exists(digest)


async def test_they_lie_where_a_folder_would_have_them(bucket: str, files: Files) -> None:
    digest = await files.write(b"a picture")
    whole = S3Files(bucket.removesuffix("/pictures"))
    assert [meta["path"] async for meta in whole._all()] == [f"pictures/{digest[:2]}/{digest}"]


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "/etc/passwd", "ab" * 32 + "\n", "0" * 64])
async def test_what_is_not_there_or_no_digest_is_none(files: Files, name: str) -> None:
    assert await files.read(name) is None
    assert not await files.exists(name)
    assert not await files.remove(name)


async def test_equal_bytes_are_one_file_also_when_written_at_once(files: Files) -> None:
    digests = await asyncio.gather(*(files.write(b"same" * 10_000) for _ in range(10)))
    assert await files.last_written(datetime.now(UTC) + LATER) == digests[:1]


async def test_a_file_is_removed_by_its_age_and_is_young_again_when_brought_again(files: Files) -> None:
    digest, between = await files.write(b"a picture"), datetime.now(UTC)
    assert await files.last_written(between - LATER) == []
    assert await files.last_written(between + LATER) == [digest]
    assert not await files.remove(digest, before=between - LATER)
    await files.write(b"a picture")
    assert not await files.remove(digest, before=between)  # to less than a second, whatever the storage's clock tells
    assert await files.remove(digest, before=datetime.now(UTC))
    assert not await files.exists(digest)
    assert not await files.remove(digest)
    assert await files.clear_unfinished(datetime.now(UTC) + LATER) == 0  # no mark stays


async def test_bytes_that_are_brought_again_while_their_old_file_is_removed_are_there(bucket: str) -> None:
    """Whichever comes first, step by step: the file is young then, or written anew."""
    files, sweeper = S3Files(bucket), S3Files(bucket)
    digest = await files.write(b"a picture")

    async def write_after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        await files.write(b"a picture")

    for number in range(12):
        limit = datetime.now(UTC)
        await asyncio.gather(sweeper.remove(digest, before=limit), write_after(number / 500))
        assert await files.read(digest) == b"a picture"


async def test_a_writer_that_comes_between_looking_and_deleting_writes_once_more(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment that a folder's lock is there for, held open."""
    files, sweeper = S3Files(bucket), S3Files(bucket)
    digest = await files.write(b"a picture")
    looked, put = asyncio.Event(), asyncio.Event()
    look = sweeper._written

    async def look_and_wait(path: str) -> datetime | None:
        written = await look(path)
        looked.set()
        await put.wait()
        return written

    monkeypatch.setattr(sweeper, "_written", look_and_wait)
    is_marked = files._is_marked

    async def note(digest: str) -> bool:
        put.set()
        return await is_marked(digest)

    monkeypatch.setattr(files, "_is_marked", note)
    removing = asyncio.create_task(sweeper.remove(digest, before=datetime.now(UTC)))
    await looked.wait()
    await files.write(b"a picture")
    assert await removing
    assert await files.read(digest) == b"a picture"


async def test_a_remover_that_died_holds_nobody_up_for_long(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = S3Files(bucket)
    digest = await files.write(b"a picture")
    assert await files._mark(digest)  # and dies
    assert not await files.remove(digest)
    monkeypatch.setattr(files_s3, "_MARK_SECONDS", -LATER.total_seconds())
    assert await files.remove(digest)
    assert await files._mark(digest)
    await files.write(b"a picture")
    assert await files.remove(digest)
    assert await files._mark(digest)
    assert await files.clear_unfinished(datetime.now(UTC) + LATER) == 1


async def test_a_file_that_another_program_put_there_has_the_age_that_the_storage_tells(bucket: str) -> None:
    files = S3Files(bucket)
    digest = hashlib.sha256(b"copied").hexdigest()
    await obstore.put_async(files._store, f"{digest[:2]}/{digest}", b"copied")
    assert await files.read(digest) == b"copied"
    assert not await files.remove(digest, before=datetime.now(UTC) - LATER)
    assert await files.remove(digest, before=datetime.now(UTC) + LATER)


async def test_a_storage_that_is_not_there_or_has_no_such_bucket_is_said_in_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FilesUnavailable) as absent:
        await open_files("s3://another-bucket")
    assert absent.value.fields == {"place": "s3://another-bucket", "detail": "there is no such bucket"}
    with pytest.raises(FilesUnwritable) as unwritable:
        await S3Files("s3://another-bucket").write(b"a picture")
    assert unwritable.value.fields["detail"] == "there is no such bucket"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(files_s3, "_TRIES", 1)
    with pytest.raises(FilesUnavailable) as unreachable:
        await open_files(bucket)
    assert unreachable.value.fields["detail"] == "nothing answers at http://127.0.0.1:9"


async def test_the_doctor_tries_it_and_leaves_nothing(bucket: str) -> None:
    good, bad = await _files(bucket), await _files("s3://another-bucket")
    assert (good.state, bad.state, bad.fields["detail"]) == ("ok", "todo", "there is no such bucket")
    assert await S3Files(bucket).last_written(datetime.now(UTC) + LATER) == []


async def test_pictures_are_kept_deleted_and_cleared_away_there_too(
    databases: Databases, bucket: str, clock: Clock, tmp_path: Path
) -> None:
    database = databases.migrated()
    async with open_storage(database=database, files=bucket, clock=clock) as storage:
        job = await leased(storage, clock)
        assert await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures()) is not None
        images = await storage.images.of_job(job.id)
        assert await storage.images.png(images[0]) == pictures()[0].png
        assert images[0].guild_id == HARBOUR
        await storage.deletion.delete_images([images[0].id], by=images[0].user_id)
        assert not await storage.files.exists(images[0].digest)
        orphan = await storage.files.write(b"nothing names me")
        assert await storage.retention.clear_files(unneeded=datetime.now(UTC) + LATER, uploads=None) == 1
        assert [await storage.files.exists(digest) for digest in (orphan, images[1].digest)] == [False, True]
    with pytest.raises(BackupOfBucket):
        back_up(database=database, files=bucket, target=tmp_path / "backup")
