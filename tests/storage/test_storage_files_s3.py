"""Files in a bucket, on a real server: what holds for those in a folder holds there too."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
import pytest
from storage_samples import ANNA, BEN, HARBOUR, WORKER, Clock, leased, pictures, recipe

from bot.doctor import _files
from generation.recipe import Source
from storage import files_s3
from storage.backup import back_up
from storage.errors import BackupOfBucket, FilesUnavailable, FilesUnwritable
from storage.files import Files, open_files
from storage.files_s3 import S3Files
from storage.images import Image
from storage.storage import Storage, open_storage
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
    monkeypatch.setattr(files_s3, "_REQUEST_SECONDS", 60)  # a server that is slow is not away
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


def take_keys(server: str, *, any_key: bool) -> None:
    """Let the server take any key, or those alone that it has given out, of which we have none."""
    unasked = b"inf" if any_key else b"0"  # requests whose key it does not look at
    asked = urllib.request.Request(
        f"{server}/moto-api/reset-auth", data=unasked, headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(asked).close()


@pytest.fixture(params=["stopped", "wrong keys", "no bucket"])
async def shut(
    request: pytest.FixtureRequest, server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[S3Files, str]]:
    """Files that cannot be reached any more, and what is said of that."""
    monkeypatch.setattr(files_s3, "_TRIES", 1)
    with ExitStack() as undone:
        if request.param == "stopped":
            other = undone.enter_context(s3_server())
            make_bucket(other, "pictures")
            monkeypatch.setenv("AWS_ENDPOINT_URL", other)
            files = S3Files("s3://pictures")
            await files.write(b"a picture")  # its connection is open yet
            undone.close()
            yield files, f"nothing answers at {other}"
        elif request.param == "wrong keys":
            undone.callback(take_keys, server, any_key=True)
            take_keys(server, any_key=False)
            yield S3Files(bucket), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY do not open it"
        else:
            yield S3Files("s3://another-bucket"), "there is no such bucket"


PICTURE, NOW = hashlib.sha256(b"a picture").hexdigest(), datetime.now(UTC)
Verb = Callable[[S3Files], Awaitable[Any]]
ASKING: list[Verb] = [
    lambda files: files.check(),
    lambda files: files.read(PICTURE),
    lambda files: files.exists(PICTURE),
    lambda files: files.last_written(NOW),
]
CHANGING: list[Verb] = [
    lambda files: files.write(b"a picture"),
    lambda files: files.remove(PICTURE),
    lambda files: files.remove(PICTURE, before=NOW),
    lambda files: files.clear_unfinished(NOW),
]


async def test_whatever_cannot_be_reached_is_said_in_one_line_and_nothing_else_is_logged_of_it(
    shut: tuple[S3Files, str],
) -> None:
    files, why = shut
    for kind, verbs in ((FilesUnavailable, ASKING), (FilesUnwritable, CHANGING)):
        for verb in verbs:
            with pytest.raises(kind) as caught:
                await verb(files)
            assert caught.value.fields["detail"] == why
            logged = "".join(traceback.format_exception(caught.value))
            assert not [told for told in ("obstore", "Debug source", "<Error>") if told in logged], logged


async def test_an_environment_that_is_not_understood_is_said_too(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "perhaps")
    with pytest.raises(FilesUnavailable) as caught:
        await open_files(bucket)
    assert "perhaps" in str(caught.value.fields["detail"])


async def test_the_doctor_tries_it_and_leaves_nothing(bucket: str) -> None:
    good, bad = await _files(bucket), await _files("s3://another-bucket")
    assert (good.state, bad.state, bad.fields["detail"]) == ("ok", "todo", "there is no such bucket")
    assert await S3Files(bucket).last_written(datetime.now(UTC) + LATER) == []


class Host:
    """The clock of whoever writes files, so far behind ours."""

    behind = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) - self.behind


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(files_s3, "_now", made.now)
    return made


async def drawn(storage: Storage, clock: Clock, host: Host, **changes: Any) -> list[Image]:
    """Pictures whose files were written an hour ago."""
    job = await leased(storage, clock, **changes)
    host.behind = LATER
    made = pictures(len(job.recipes))
    assert await storage.jobs.finish(job.id, worker=WORKER, pictures=made) is not None
    host.behind = timedelta(0)
    return list(await storage.images.of_job(job.id))


async def test_a_picture_that_a_host_whose_clock_is_behind_draws_again_keeps_its_file(
    database: str, bucket: str, clock: Clock, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row came when the deletion had looked for rows, and its file has the age of one that came before."""
    async with open_storage(database=database, files=bucket, clock=clock) as storage:
        first, _ = await drawn(storage, clock, host)
        again, remove = await leased(storage, clock), storage.files.remove

        async def remove_late(digest: str, *, before: datetime | None = None) -> bool:
            host.behind = timedelta(seconds=1)
            assert await storage.jobs.finish(again.id, worker=WORKER, pictures=pictures()) is not None
            return await remove(digest, before=before)

        monkeypatch.setattr(storage.files, "remove", remove_late)
        await storage.deletion.delete_images([first.id], by=ANNA)
        second, _ = await storage.images.of_job(again.id)
        assert await storage.images.png(second) == pictures()[0].png


@pytest.mark.parametrize("what", ["picture", "person"])
async def test_a_deleted_file_that_another_program_has_begun_to_remove_is_not_forgotten(
    database: str, bucket: str, clock: Clock, host: Host, what: str
) -> None:
    """It goes with what is cleared away, although an ended job started from it: nothing takes it for one that was
    brought."""
    async with open_storage(database=database, files=bucket, clock=clock) as storage:
        [first] = await drawn(storage, clock, host, recipes=(recipe(),))
        from_it = recipe(source=Source(digest=first.digest, strength=0.5), seed=9)
        job = await leased(storage, clock, recipes=(from_it,), user_id=BEN)
        await storage.jobs.fail(job.id, error="painting_failed")
        files = storage.files
        assert isinstance(files, S3Files)
        assert await files._mark(first.digest)  # and dies
        if what == "picture":
            await storage.deletion.delete_images([first.id], by=ANNA)
        else:
            await storage.personal_data.delete(ANNA)
        assert await files.exists(first.digest)
        assert await storage.retention.clear_files(unneeded=datetime.now(UTC) + LATER, uploads=None) == 1
        assert not await files.exists(first.digest)


async def test_pictures_are_kept_deleted_and_cleared_away_there_too(
    database: str, bucket: str, clock: Clock, host: Host, tmp_path: Path
) -> None:
    async with open_storage(database=database, files=bucket, clock=clock) as storage:
        images = await drawn(storage, clock, host)
        assert await storage.images.png(images[0]) == pictures()[0].png
        assert images[0].guild_id == HARBOUR
        await storage.deletion.delete_images([images[0].id], by=images[0].user_id)
        assert not await storage.files.exists(images[0].digest)
        orphan = await storage.files.write(b"nothing names me")
        assert await storage.retention.clear_files(unneeded=datetime.now(UTC) + LATER, uploads=None) == 1
        assert [await storage.files.exists(digest) for digest in (orphan, images[1].digest)] == [False, True]
    with pytest.raises(BackupOfBucket):
        back_up(database=database, files=bucket, target=tmp_path / "backup")
