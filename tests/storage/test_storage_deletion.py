"""A picture that is deleted is gone whole, and nothing else is."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from storage_samples import ANNA, BEN, CLEO, HARBOUR, WORKER, Clock, favourites_of, leased, ordered, pictures, recipe
from structlog.testing import capture_logs

from generation.engine.protocol import Picture
from generation.job import MAX_ATTEMPTS, Job, JobStatus
from generation.recipe import Source
from storage.deletion import remove_files
from storage.errors import FilesUnavailable, FilesUnwritable
from storage.file_needs import AT_ONCE
from storage.files_folder import FolderFiles
from storage.images import Image
from storage.showings import Showing
from storage.storage import Storage


async def drawn(storage: Storage, clock: Clock, made: list[Picture], **changes: object) -> list[Image]:
    changes.setdefault("recipes", tuple(recipe(seed=seed) for seed in range(len(made))))
    job = await leased(storage, clock, **changes)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=made)
    return list(await storage.images.of_job(job.id))


def picture(content: str) -> Picture:
    return Picture(png=content.encode(), width=128, height=96)


async def job_of(storage: Storage, job_id: int) -> Job:
    job = await storage.jobs.get(job_id)
    assert job is not None
    return job


async def test_row_and_file_go_and_the_others_of_the_job_stay(storage: Storage, clock: Clock) -> None:
    first, second = await drawn(storage, clock, pictures())
    deleted = await storage.deletion.delete_images([first.id], by=ANNA)
    assert deleted.images == (first,)
    assert await storage.images.get(first.id) is None
    assert not await storage.files.exists(first.digest)
    assert list(await storage.images.of_job(first.job_id)) == [second]
    assert await storage.images.png(second) == b"PNG 1"
    assert await storage.moderator_log.latest(HARBOUR, 10) == []


async def test_a_second_time_nothing_is_left_to_delete(storage: Storage, clock: Clock) -> None:
    first, _ = await drawn(storage, clock, pictures())
    await storage.deletion.delete_images([first.id], by=ANNA)
    assert (await storage.deletion.delete_images([first.id, 999], by=BEN)).images == ()
    assert await storage.moderator_log.latest(HARBOUR, 10) == []


async def test_a_file_that_another_picture_is_kept_in_stays_until_that_goes(storage: Storage, clock: Clock) -> None:
    [mine] = await drawn(storage, clock, [picture("same")])
    [theirs] = await drawn(storage, clock, [picture("same")], user_id=BEN, guild_id=None)
    assert mine.digest == theirs.digest
    await storage.deletion.delete_images([mine.id], by=ANNA)
    assert await storage.images.png(theirs) == b"same"
    await storage.deletion.delete_images([theirs.id], by=BEN)
    assert await storage.images.png(theirs) is None


async def test_two_pictures_of_one_file_go_together(storage: Storage, clock: Clock) -> None:
    same = await drawn(storage, clock, [picture("same"), picture("same")])
    await storage.deletion.delete_images([image.id for image in same], by=ANNA)
    assert not await storage.files.exists(same[0].digest)


async def test_descendants_live_on_without_a_parent(storage: Storage, clock: Clock) -> None:
    [first] = await drawn(storage, clock, [picture("first")])
    made = recipe(source=Source(digest=first.digest, strength=0.5))
    [second] = await drawn(storage, clock, [picture("second")], recipes=(made,), parent_image_id=first.id)
    [third] = await drawn(storage, clock, [picture("third")], recipes=(made,), parent_image_id=second.id)
    await storage.deletion.delete_images([first.id], by=ANNA)
    second_now = await storage.images.get(second.id)
    assert second_now is not None
    assert second_now.parent_image_id is None
    assert (await job_of(storage, second.job_id)).parent_image_id is None
    assert await storage.images.png(second) == b"second"
    assert list(await storage.images.descent(third)) == [second_now]


async def test_an_unfinished_job_that_starts_from_it_is_drawn_all_the_same(storage: Storage, clock: Clock) -> None:
    [first] = await drawn(storage, clock, [picture("first")])
    made = recipe(source=Source(digest=first.digest, strength=0.5))
    running = await leased(storage, clock, recipes=(made,), parent_image_id=first.id, user_id=BEN)
    await storage.deletion.delete_images([first.id], by=ANNA)
    assert await storage.jobs.source(first.digest) == b"first"
    assert await storage.jobs.finish(running.id, worker=WORKER, pictures=[picture("second")]) is not None
    [second] = await storage.images.of_job(running.id)
    assert second.parent_image_id is None


@pytest.mark.parametrize("how", ["cancelled", "failed", "finished", "blocked", "lost"])
async def test_the_file_goes_once_the_last_job_that_started_from_it_has_ended(
    storage: Storage, clock: Clock, how: str
) -> None:
    [first] = await drawn(storage, clock, [picture("first")])
    made = recipe(source=Source(digest=first.digest, strength=0.5))
    waiting = await ordered(storage, recipes=(made,), parent_image_id=first.id, user_id=BEN)
    running = await leased(storage, clock, recipes=(made,), parent_image_id=first.id)
    await storage.deletion.delete_images([first.id], by=ANNA)
    await storage.jobs.cancel(waiting.id)
    assert await storage.files.exists(first.digest)
    match how:
        case "cancelled":
            await storage.jobs.cancel(running.id)
        case "failed":
            await storage.jobs.fail(running.id, error="painting_failed")
        case "finished":
            await storage.jobs.finish(running.id, worker=WORKER, pictures=[picture("second")])
        case "blocked":
            await storage.jobs.block(running.id, worker=WORKER, score=0.9)
        case "lost":
            for _ in range(MAX_ATTEMPTS):
                clock.tick(hours=1)
                await storage.jobs.take_back_expired(clock())
                await storage.jobs.lease([running.id], worker=WORKER, seconds=0)
    assert (await job_of(storage, running.id)).status.terminal
    assert not await storage.files.exists(first.digest)


async def test_a_job_ends_although_the_file_that_it_leaves_cannot_be_asked_for(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = await drawn(storage, clock, [picture("first")])
    running = await leased(storage, clock, recipes=(recipe(source=Source(digest=first.digest, strength=0.5)),))
    await storage.deletion.delete_images([first.id], by=ANNA)

    async def refused(digest: str, *, before: datetime | None = None) -> bool:
        return False  # another program is about to remove it

    async def out_of_reach(digest: str) -> bool:
        raise FilesUnavailable(place="files", detail="Input/output error")

    monkeypatch.setattr(storage.files, "remove", refused)
    monkeypatch.setattr(storage.files, "exists", out_of_reach)
    assert await storage.jobs.cancel(running.id)
    assert (await job_of(storage, running.id)).status is JobStatus.CANCELLED


@pytest.mark.parametrize(("stuck", "left"), [({1}, {1}), ({1, 3, 4}, {1, 3, 4}), ({1, 2, 3}, {1, 2, 3, 4, 5})])
async def test_a_file_that_cannot_be_removed_does_not_hold_the_others_unless_the_storage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: set[int], left: set[int]
) -> None:
    files = FolderFiles(tmp_path)
    kept = [await files.write(str(number).encode()) for number in range(6)]
    remove = files.remove

    async def failing(digest: str, *, before: datetime | None = None) -> bool:
        if kept.index(digest) in stuck:
            raise FilesUnwritable(path=digest, detail="Input/output error")
        return await remove(digest, before=before)

    monkeypatch.setattr(files, "remove", failing)
    with capture_logs() as logs:
        gone = await remove_files(files, kept, asked_at=datetime.now(UTC) + timedelta(minutes=1))
    assert [number for number, digest in enumerate(kept) if digest in gone] == sorted(set(range(6)) - left)
    assert {number for number, digest in enumerate(kept) if await files.exists(digest)} == left
    assert [entry["event"] for entry in logs] == ["files_failed"] * len(stuck)


async def test_a_file_that_was_brought_outlives_the_jobs_that_started_from_it(storage: Storage, clock: Clock) -> None:
    brought = await storage.files.write(b"brought")
    job = await ordered(storage, recipes=(recipe(source=Source(digest=brought, strength=0.5)),))
    await storage.jobs.cancel(job.id)
    assert await storage.files.exists(brought)


async def test_an_order_whose_parent_was_deleted_meanwhile_is_taken_without_one(storage: Storage, clock: Clock) -> None:
    [first] = await drawn(storage, clock, [picture("first")])
    await storage.deletion.delete_images([first.id], by=ANNA)
    job = await ordered(storage, parent_image_id=first.id)
    assert job.status is JobStatus.QUEUED
    assert job.parent_image_id is None


async def test_favourites_go_with_their_picture(storage: Storage, clock: Clock) -> None:
    first, second = await drawn(storage, clock, pictures())
    for image in (first, second):
        assert await storage.favourites.toggle(BEN, image.id) is True
    assert await storage.favourites.toggle(CLEO, first.id) is True
    assert (await favourites_of(storage, BEN), await favourites_of(storage, CLEO)) == (
        [first.id, second.id],
        [first.id],
    )
    await storage.deletion.delete_images([first.id], by=ANNA)
    assert (await favourites_of(storage, BEN), await favourites_of(storage, CLEO)) == ([second.id], [])
    assert await storage.favourites.toggle(BEN, first.id) is None


async def test_a_favourite_is_taken_back_by_the_same_verb(storage: Storage, clock: Clock) -> None:
    first, _ = await drawn(storage, clock, pictures())
    assert [await storage.favourites.toggle(BEN, first.id) for _ in range(3)] == [True, False, True]
    assert await favourites_of(storage, BEN) == [first.id]


async def test_what_a_moderator_deletes_is_in_the_log(storage: Storage, clock: Clock) -> None:
    first, second = await drawn(storage, clock, pictures())
    await storage.deletion.delete_images([first.id, second.id], by=BEN)
    [entry] = await storage.moderator_log.latest(HARBOUR, 10)
    assert (entry.action, entry.moderator_id, entry.target_id) == ("picture.delete", BEN, ANNA)
    assert entry.details == {"job": first.job_id, "pictures": [1, 2]}


async def test_all_messages_of_a_job_are_known_until_they_are_gone(storage: Storage, clock: Clock) -> None:
    first, second = await drawn(storage, clock, pictures())
    await storage.jobs.set_message(first.job_id, 70)
    for message_id, image_id in ((71, first.id), (72, second.id), (73, None)):
        showing = Showing(channel_id=6, message_id=message_id, job_id=first.job_id, image_id=image_id)
        for _ in range(2):
            await storage.showings.remember(showing)
    await storage.deletion.delete_images([first.id], by=ANNA)
    known = await storage.showings.of_job(first.job_id)
    assert [showing.message_id for showing in known] == [70, 71, 72, 73]
    assert [showing.image_id for showing in known] == [None, first.id, second.id, None]

    for message_id in (70, 71):
        await storage.showings.forget(message_id)
    assert [showing.message_id for showing in await storage.showings.of_job(first.job_id)] == [72, 73]
    assert (await job_of(storage, first.job_id)).message_id is None


async def test_a_picture_drawn_again_in_the_same_moment_keeps_its_file(
    storage: Storage, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file was written before the deletion looked for rows that need it, its row came after."""
    [first] = await drawn(storage, clock, [picture("same")])
    again = await leased(storage, clock, recipes=(recipe(),))
    files, path = storage.files, tmp_path / "files" / first.digest[:2] / first.digest
    write, remove, written = files.write, files.remove, list[str]()

    async def write_early(data: bytes) -> str:
        digest = await write(data)
        if not written:
            os.utime(path, (0, 0))
        written.append(digest)
        return digest

    async def remove_late(digest: str, *, before: datetime | None = None) -> bool:
        await storage.jobs.finish(again.id, worker=WORKER, pictures=[picture("same")])
        return await remove(digest, before=before)

    monkeypatch.setattr(files, "write", write_early)
    monkeypatch.setattr(files, "remove", remove_late)
    await storage.deletion.delete_images([first.id], by=ANNA)
    [second] = await storage.images.of_job(again.id)
    assert await storage.images.png(second) == b"same"


async def test_deleting_while_others_order_and_finish_stops_nobody(storage: Storage, clock: Clock) -> None:
    for _ in range(10):
        [first] = await drawn(storage, clock, [picture("first")])
        running = [await leased(storage, clock, parent_image_id=first.id, recipes=(recipe(),)) for _ in range(3)]
        await asyncio.gather(
            storage.deletion.delete_images([first.id], by=ANNA),
            *(storage.jobs.finish(job.id, worker=WORKER, pictures=[picture("made")]) for job in running),
            *(ordered(storage, parent_image_id=first.id, user_id=user_id) for user_id in (ANNA, BEN, CLEO)),
            storage.favourites.toggle(BEN, first.id),
        )
        assert await storage.images.get(first.id) is None
        for job in running:
            [made] = await storage.images.of_job(job.id)
            assert made.parent_image_id is None
            assert await storage.images.png(made) == b"made"


async def test_many_are_deleted_in_portions(storage: Storage, clock: Clock) -> None:
    made = await drawn(storage, clock, [picture(str(number)) for number in range(AT_ONCE + 3)])
    deleted = await storage.deletion.delete_images([image.id for image in made], by=ANNA)
    assert deleted.images == tuple(made)
    assert not any([await storage.files.exists(image.digest) for image in made])
