"""What is old is forgotten, and nothing else."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import update
from storage_samples import ANNA, BEN, HARBOUR, WORKER, Clock, ban_of, leased, order, ordered, recipe

from generation.engine.protocol import Picture
from generation.job import Job, JobStatus
from generation.recipe import Mask, Source
from storage.database import Database
from storage.deletion import files_of_deleted
from storage.storage import Storage
from storage.tables import JobRow


async def done(storage: Storage, clock: Clock, *pngs: bytes, user_id: int = ANNA) -> Job:
    """A job with these pictures, told to its owner."""
    recipes = tuple(recipe(seed=seed) for seed in range(len(pngs)))
    job = await leased(storage, clock, recipes=recipes, user_id=user_id)
    pictures = [Picture(png=png, width=128, height=96) for png in pngs]
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures)
    await storage.jobs.delivered(job.id)
    return job


async def ended(storage: Storage, **changes: object) -> Job:
    """A cancelled job, told to its owner."""
    job = await ordered(storage, **changes)
    await storage.jobs.cancel(job.id)
    await storage.jobs.delivered(job.id)
    return job


def age(folder: Path, digest: str, moment: datetime) -> None:
    """Let a file be that old."""
    os.utime(folder / "files" / digest[:2] / digest, (moment.timestamp(), moment.timestamp()))


async def test_old_pictures_go_with_their_files_and_favourites_stay(storage: Storage, clock: Clock) -> None:
    old = await done(storage, clock, b"one", b"two")
    one, two = await storage.images.of_job(old.id)
    await storage.favourites.toggle(BEN, two.id)
    clock.tick(days=10)
    young = await done(storage, clock, b"three")
    assert await storage.retention.forget_pictures(clock() - timedelta(days=5)) == 1
    assert await storage.retention.forget_pictures(clock() - timedelta(days=5)) == 0
    assert await storage.images.of_job(old.id) == [two]
    assert not await storage.files.exists(one.digest)
    assert await storage.files.exists(two.digest)
    assert len(await storage.images.of_job(young.id)) == 1


async def test_a_file_that_a_younger_picture_is_kept_in_stays(storage: Storage, clock: Clock) -> None:
    await done(storage, clock, b"same")
    clock.tick(days=10)
    young = await done(storage, clock, b"same")
    assert await storage.retention.forget_pictures(clock() - timedelta(days=5)) == 1
    [image] = await storage.images.of_job(young.id)
    assert await storage.images.png(image) == b"same"


async def test_what_came_of_an_old_picture_lives_on(storage: Storage, clock: Clock) -> None:
    old = await done(storage, clock, b"one")
    [parent] = await storage.images.of_job(old.id)
    clock.tick(days=10)
    job = await leased(storage, clock, parent_image_id=parent.id, recipes=(recipe(),))
    await storage.jobs.finish(job.id, worker=WORKER, pictures=[Picture(png=b"two", width=128, height=96)])
    await storage.retention.forget_pictures(clock() - timedelta(days=5))
    [child] = await storage.images.of_job(job.id)
    assert child.parent_image_id is None
    assert await storage.images.descent(child) == []
    assert (await storage.jobs.get(job.id)).parent_image_id is None


async def test_the_words_of_old_jobs_are_forgotten_once_no_picture_is_left(storage: Storage, clock: Clock) -> None:
    plain = await ended(storage, request="a secret")
    with_picture = await done(storage, clock, b"one")
    running = await leased(storage, clock)
    untold = await ordered(storage)
    await storage.jobs.cancel(untold.id)
    await storage.jobs.set_message(plain.id, 77)
    clock.tick(days=10)
    young = await ended(storage)
    limit = clock() - timedelta(days=5)
    assert await storage.retention.forget_jobs(limit) == 1
    assert await storage.retention.forget_jobs(limit) == 0
    bare = await storage.jobs.get(plain.id)
    assert bare is not None
    assert (bare.recipes, bare.request, bare.style, bare.cost, bare.status) == ((), "", None, 2, JobStatus.CANCELLED)
    for job in (with_picture, running, untold, young):
        kept = await storage.jobs.get(job.id)
        assert kept is not None
        assert kept.request == job.request
        assert kept.recipes == job.recipes
    # Its message stays where it is: nobody asked for it to be removed.
    assert await storage.personal_data.messages_left() == []
    await storage.retention.forget_pictures(limit)
    assert await storage.retention.forget_jobs(limit) == 1


async def test_the_ledger_still_adds_up_after_all_is_forgotten(storage: Storage, clock: Clock) -> None:
    await done(storage, clock, b"one", b"two")
    before = await storage.credits.balance(ANNA, HARBOUR, allowance=10)
    clock.tick(hours=5)
    await storage.retention.forget_pictures(clock())
    assert await storage.retention.forget_jobs(clock()) == 1
    assert await storage.credits.balance(ANNA, HARBOUR, allowance=10) == before
    assert before.available == 8
    assert (await storage.totals.of_member(ANNA, HARBOUR)).jobs == 1


async def test_old_entries_of_the_moderator_logs_go(storage: Storage, clock: Clock) -> None:
    await storage.credits.grant(ANNA, HARBOUR, 1, by=BEN)
    clock.tick(days=10)
    await storage.credits.grant(ANNA, HARBOUR, 2, by=BEN)
    assert await storage.retention.forget_log(clock() - timedelta(days=5)) == 1
    assert [entry.details for entry in await storage.moderator_log.latest(HARBOUR, 5)] == [{"credits": 2}]
    balance = await storage.credits.balance(ANNA, HARBOUR, allowance=0)
    assert balance.granted == 3


async def test_questions_and_bans_that_have_run_out_go(storage: Storage, clock: Clock) -> None:
    question = {"user_id": ANNA, "guild_id": HARBOUR, "channel_id": 5, "requests": ["a", "b"], "cost": 2}
    for hours in (1, 48):
        await storage.confirmations.ask(**question, lifetime=timedelta(hours=hours))
    await storage.bans.ban(ANNA, HARBOUR, reason="spam", lasting=timedelta(days=1), by=BEN)
    await storage.bans.ban(BEN, HARBOUR, reason="spam", lasting=None, by=ANNA)
    assert await storage.retention.forget_expired() == 0
    clock.tick(hours=30)
    assert await storage.retention.forget_expired() == 2
    assert await storage.confirmations.get(2) is not None
    assert (await storage.personal_data.told(ANNA))["bans"] == []
    assert await ban_of(storage, BEN, HARBOUR) is not None


async def test_files_that_nothing_names_go_when_they_are_old(storage: Storage, clock: Clock, tmp_path: Path) -> None:
    job = await done(storage, clock, b"a picture")
    [image] = await storage.images.of_job(job.id)
    orphan, fresh = await storage.files.write(b"an orphan"), await storage.files.write(b"a fresh orphan")
    for digest in (image.digest, orphan):
        age(tmp_path, digest, clock() - timedelta(days=3))
    age(tmp_path, fresh, clock() - timedelta(hours=1))
    assert await storage.retention.clear_files(unneeded=clock() - timedelta(days=1), uploads=None) == 1
    assert [await storage.files.exists(digest) for digest in (image.digest, orphan, fresh)] == [True, False, True]


async def test_copies_of_what_people_brought_go_after_their_time(
    storage: Storage, clock: Clock, tmp_path: Path
) -> None:
    digests = [await storage.files.write(f"brought {number}".encode()) for number in range(6)]
    of_ended, mask, of_waiting, asked, unused, again = digests
    source = Source(digest=of_ended, strength=0.5)
    await ended(storage, recipes=(recipe(source=source, mask=Mask(digest=mask)),))
    await ended(storage, recipes=(recipe(source=Source(digest=again, strength=0.5)),))
    # A prompt that looks like a file's name in JSON names none.
    await ended(storage, recipes=(recipe(prompt=f'"digest":"{unused}"'),))
    await ordered(storage, recipes=(recipe(source=Source(digest=of_waiting, strength=0.5)),))
    await storage.confirmations.ask(
        user_id=ANNA,
        guild_id=HARBOUR,
        channel_id=5,
        requests=["a", "b"],
        cost=2,
        lifetime=timedelta(hours=1),
        picture={"digest": asked, "width": 8, "height": 8, "parent_image_id": None},
    )
    for digest in digests:
        age(tmp_path, digest, clock() - timedelta(days=3))

    async def there() -> list[bool]:
        return [await storage.files.exists(digest) for digest in digests]

    day = timedelta(days=1)
    assert await storage.retention.clear_files(unneeded=clock() - day, uploads=None) == 1
    assert await there() == [True, True, True, True, False, True]
    assert await storage.retention.clear_files(unneeded=clock() - day, uploads=clock() - 4 * day) == 0
    await storage.files.write(b"brought 5")  # somebody brings it once more, so it is young again
    assert await storage.retention.clear_files(unneeded=clock() - day, uploads=clock() - 2 * day) == 2
    assert await there() == [False, False, True, True, False, True]


async def test_a_deleted_picture_is_no_copy_that_somebody_brought(
    storage: Storage, clock: Clock, database: str, tmp_path: Path
) -> None:
    """What outlived its deletion goes with the next sweep, whatever ended job had started from it."""
    job = await done(storage, clock, b"one")
    [image] = await storage.images.of_job(job.id)
    derived = await ordered(storage, recipes=(recipe(source=Source(digest=image.digest, strength=0.5)),))
    await storage.deletion.delete_images([image.id], by=ANNA)
    # The program dies before it can remove the file of the job that was called off.
    async with Database.open(database, clock=clock) as opened, opened.writing() as session:
        ending = {"status": JobStatus.CANCELLED, "finished_at": clock(), "delivered_at": clock()}
        await session.execute(update(JobRow).where(JobRow.id == derived.id).values(ending))
    clock.tick(days=60)
    age(tmp_path, image.digest, clock() - timedelta(days=2))
    assert await storage.retention.clear_files(unneeded=clock() - timedelta(days=1), uploads=None) == 1
    assert not await storage.files.exists(image.digest)
    async with Database.open(database, clock=clock) as opened, opened.reading() as session:
        assert await files_of_deleted(session) == set()


async def test_what_a_crash_left_half_written_goes(storage: Storage, clock: Clock, tmp_path: Path) -> None:
    digest = await storage.files.write(b"a picture")
    half = tmp_path / "files" / digest[:2] / ".abc.part"
    half.write_bytes(b"ha")
    await storage.retention.clear_files(unneeded=clock(), uploads=None)
    assert half.exists()
    os.utime(half, (0, 0))
    await storage.retention.clear_files(unneeded=clock(), uploads=None)
    assert not half.exists()


async def test_an_order_is_not_taken_for_old_because_its_file_is(storage: Storage, clock: Clock) -> None:
    """The queue's own rows are never touched."""
    job = await storage.jobs.order(order(), allowance=None, max_queued=5)
    clock.tick(days=400)
    assert await storage.retention.forget_jobs(clock()) == 0
    assert await storage.jobs.waiting() == [job]
