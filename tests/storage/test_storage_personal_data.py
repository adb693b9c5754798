"""A person is told all that is kept about them, and may have it deleted, but for what must stay."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from storage_samples import ANNA, BEN, HARBOUR, ORCHARD, WORKER, Clock, leased, order, ordered, recipe
from test_storage_retention import done, ended

from generation.engine.protocol import Picture
from generation.job import JobStatus
from generation.recipe import Source
from storage import personal_data
from storage.database import Database
from storage.showings import Showing
from storage.storage import Storage
from storage.tables import BanRow, Table

# Columns that name a person, and are no part of what that person is told or may have deleted.
OF_OTHERS = {("bans", "moderator_id"), ("moderator_log", "target_id"), ("moderator_log", "moderator_id")}
# Columns of the person's own rows that tell nobody anything.
SILENT = {
    "jobs": {"user_id", "request_key", "attempt", "worker", "lease_until", "answer_token"},
    "images": {"user_id", "recipe_digest"},
    "credit_entries": {"id", "user_id", "allowance_revision"},
    "allowances": {"id", "user_id", "revision"},
    "confirmations": {"user_id"},
    "bans": {"user_id", "moderator_id"},
    "favourites": {"user_id"},
}


def test_every_table_with_people_in_it_is_told_whole() -> None:
    told = {table.__tablename__: columns for table, columns in personal_data._TOLD.values()}
    for name, table in Table.metadata.tables.items():
        people = {column.name for column in table.columns if column.name in ("user_id", "moderator_id", "target_id")}
        if people - {column for of, column in OF_OTHERS if of == name}:
            assert name in told, f"{name} is about people: tell them of it"
            assert set(told[name]) | SILENT[name] == {column.name for column in table.columns}


async def lived(storage: Storage, clock: Clock, database: str) -> None:
    """Anna did all that there is to do."""
    job = await done(storage, clock, b"one", b"two")
    await ended(storage, request="a boat that never was --n 2", guild_id=None)
    await storage.favourites.toggle(ANNA, (await storage.images.of_job(job.id))[0].id)
    await storage.settings.set("user", ANNA, "defaults", {"style": "ink"})
    await storage.credits.set_allowance(ANNA, HARBOUR, 50, by=BEN)
    await storage.credits.grant(BEN, ORCHARD, 5, by=ANNA)
    await storage.confirmations.ask(
        user_id=ANNA,
        guild_id=HARBOUR,
        channel_id=5,
        requests=["a red boat", "a blue boat"],
        cost=8,
        lifetime=timedelta(hours=1),
    )
    async with Database.open(database, clock=clock) as opened, opened.writing() as session:
        session.add(
            BanRow(guild_id=HARBOUR, user_id=ANNA, moderator_id=BEN, reason="spam", until=None, created_at=opened.now())
        )


async def test_a_person_is_told_everything_and_nothing_of_others(storage: Storage, clock: Clock, database: str) -> None:
    await lived(storage, clock, database)
    await done(storage, clock, b"of Ben", user_id=BEN)
    told = await storage.personal_data.told(ANNA)
    text = json.dumps(told)
    assert str(BEN) not in text
    assert told["user_id"] == ANNA
    assert told["known_since"] == clock().isoformat()
    assert told["settings"] == {"defaults": {"style": "ink"}}
    drawn, never = told["jobs"]
    assert (drawn["request"], drawn["status"], drawn["kind"], drawn["priority"]) == (
        "a red boat --n 2",
        "done",
        "imagine",
        "fast",
    )
    assert "recipes" not in drawn  # they are those of its pictures
    assert never["recipes"][1]["seed"] == 8
    assert [image["recipe"]["seed"] for image in told["images"]] == [0, 1]
    assert [entry["kind"] for entry in told["credits"]] == ["hold", "settle", "hold", "refund"]
    assert told["favourites"] == [{"image_id": told["images"][0]["id"], "created_at": clock().isoformat()}]
    assert told["allowances"] == [{"guild_id": HARBOUR, "credits": 50}]
    assert told["open_questions"][0]["requests"] == ["a red boat", "a blue boat"]
    assert told["bans"] == [{"guild_id": HARBOUR, "reason": "spam", "until": None, "created_at": clock().isoformat()}]
    assert [entry["action"] for entry in told["moderator_log_about_you"]] == ["quota.set"]
    assert [entry["details"] for entry in told["moderator_log_by_you"]] == [{"credits": 5}]


async def test_whoever_did_nothing_is_told_so(storage: Storage) -> None:
    told = await storage.personal_data.told(ANNA)
    assert told["known_since"] is None
    assert not any(value for key, value in told.items() if key not in ("user_id", "told_at"))
    gone = await storage.personal_data.delete(ANNA)
    assert (gone.pictures, gone.jobs, gone.uploads, gone.cancelled) == (0, 0, 0, ())
    assert await storage.users.known_since(ANNA) is None


async def test_deleted_is_all_but_what_must_stay(storage: Storage, clock: Clock, database: str) -> None:
    await lived(storage, clock, database)
    before = await storage.credits.balance(ANNA, HARBOUR, allowance=10)
    images = await storage.images.of_job(1)
    gone = await storage.personal_data.delete(ANNA)
    assert (gone.pictures, gone.jobs, gone.uploads, gone.cancelled) == (2, 2, 0, ())
    for image in images:
        assert await storage.images.get(image.id) is None
        assert not await storage.files.exists(image.digest)
    told = await storage.personal_data.told(ANNA)
    assert (told["settings"], told["images"], told["favourites"], told["open_questions"]) == ({}, [], [], [])
    assert [(job["request"], job["recipes"], job["style"]) for job in told["jobs"]] == [("", [], None)] * 2
    assert "boat" not in json.dumps(told)
    # Abuse must not be wiped out: nobody is unbanned or has more to spend than before.
    assert await storage.credits.balance(ANNA, HARBOUR, allowance=10) == before
    assert [ban["reason"] for ban in told["bans"]] == ["spam"]
    assert told["allowances"] == [{"guild_id": HARBOUR, "credits": 50}]
    assert [entry.action for entry in await storage.moderator_log.latest(HARBOUR, 5)] == ["quota.set"]
    # And once more there is nothing to do.
    again = await storage.personal_data.delete(ANNA)
    assert (again.pictures, again.jobs) == (0, 0)


async def test_a_refused_prompt_goes_and_that_it_was_refused_stays(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "AT_ONCE", 2)
    for user_id in (ANNA, BEN, ANNA, ANNA):
        details = {"word": "sea", "prompt": "a secret sea"}
        await storage.moderator_log.note(HARBOUR, "words.refused", target_id=user_id, details=details)
    await storage.moderator_log.note(HARBOUR, "other", target_id=ANNA, details={"prompt": "of others"})
    await storage.personal_data.delete(ANNA)
    entries = await storage.moderator_log.latest(HARBOUR, 9)
    bare = {"word": "sea", "prompt": None}
    assert [entry.details for entry in entries if entry.target_id == ANNA] == [
        {"prompt": "of others"},
        bare,
        bare,
        bare,
    ]
    assert [entry.details["prompt"] for entry in entries if entry.target_id == BEN] == ["a secret sea"]
    assert "secret" not in json.dumps(await storage.personal_data.told(ANNA))


async def test_others_keep_what_is_theirs(storage: Storage, clock: Clock) -> None:
    """Pictures made from deleted ones, pictures of the same bytes, copies that others brought too."""
    mine = await done(storage, clock, b"mine", b"same")
    parent, same = await storage.images.of_job(mine.id)
    shared, own = await storage.files.write(b"brought by both"), await storage.files.write(b"brought by Anna")
    for digest in (shared, own):
        await ended(storage, recipes=(recipe(source=Source(digest=digest, strength=0.5)),))
    await ended(storage, recipes=(recipe(source=Source(digest=shared, strength=0.5)),), user_id=BEN)
    source = Source(digest=parent.digest, strength=0.5)
    derived = await leased(
        storage, clock, user_id=BEN, parent_image_id=parent.id, recipes=(recipe(source=source), recipe(seed=9))
    )
    pictures = [Picture(png=png, width=128, height=96) for png in (b"derived", b"same")]
    await storage.jobs.finish(derived.id, worker=WORKER, pictures=pictures)
    await storage.favourites.toggle(BEN, parent.id)

    gone = await storage.personal_data.delete(ANNA)
    assert (gone.pictures, gone.uploads) == (2, 1)
    child, twin = await storage.images.of_job(derived.id)
    assert child.parent_image_id is None
    assert await storage.images.png(child) == b"derived"
    assert await storage.images.png(twin) == b"same"
    assert await storage.files.exists(same.digest)
    assert [await storage.files.exists(digest) for digest in (parent.digest, shared, own)] == [False, True, False]
    told = await storage.personal_data.told(BEN)
    assert told["favourites"] == []
    assert told["jobs"][0]["request"] == "a red boat --n 2"


async def test_what_has_not_ended_is_cancelled_and_paid_back(storage: Storage, clock: Clock) -> None:
    waiting = await ordered(storage)
    running = await leased(storage, clock)
    assert await storage.personal_data.unfinished(ANNA) == [waiting.id, running.id]
    gone = await storage.personal_data.delete(ANNA)
    assert [(job.id, job.status, job.request) for job in gone.cancelled] == [
        (waiting.id, JobStatus.CANCELLED, waiting.request),
        (running.id, JobStatus.CANCELLED, running.request),
    ]
    assert (await storage.credits.balance(ANNA, HARBOUR, allowance=10)).available == 10
    # What its worker brings now is too late.
    pictures = [Picture(png=b"late", width=128, height=96)] * 2
    assert await storage.jobs.finish(running.id, worker=WORKER, pictures=pictures) is None
    assert await storage.personal_data.unfinished(ANNA) == []
    assert await storage.jobs.waiting() == []


async def test_a_job_of_somebody_else_does_not_keep_a_deleted_picture(storage: Storage, clock: Clock) -> None:
    mine = await done(storage, clock, b"mine")
    [image] = await storage.images.of_job(mine.id)
    source = Source(digest=image.digest, strength=0.5)
    theirs = await ordered(storage, user_id=BEN, parent_image_id=image.id, recipes=(recipe(source=source),))
    await storage.personal_data.delete(ANNA)
    assert not await storage.files.exists(image.digest)
    job = await storage.jobs.get(theirs.id)
    assert job is not None
    assert (job.status, job.parent_image_id) == (JobStatus.QUEUED, None)


async def test_the_messages_of_deleted_jobs_are_remembered_until_they_are_gone(storage: Storage, clock: Clock) -> None:
    told = await done(storage, clock, b"one")
    await storage.jobs.set_message(told.id, 70)
    [image] = await storage.images.of_job(told.id)
    await storage.showings.remember(Showing(channel_id=6, message_id=71, job_id=told.id, image_id=image.id))
    untold = await ordered(storage)
    await storage.jobs.set_message(untold.id, 72)
    of_ben = await done(storage, clock, b"of Ben", user_id=BEN)
    await storage.jobs.set_message(of_ben.id, 73)
    assert await storage.personal_data.messages_left() == []
    await storage.personal_data.delete(ANNA)
    left = await storage.personal_data.messages_left()
    assert [(showing.channel_id, showing.message_id) for showing in left] == [(5, 70), (6, 71)]
    await storage.jobs.delivered(untold.id)  # the courier has said that it was cancelled
    for message_id in (70, 71):
        await storage.showings.forget(message_id)
    [last] = await storage.personal_data.messages_left()
    assert last.message_id == 72


async def test_life_goes_on_after_it(storage: Storage) -> None:
    await ordered(storage)
    await storage.personal_data.delete(ANNA)
    job = await storage.jobs.order(order(), allowance=10, max_queued=1)
    assert job.request == "a red boat --n 2"


async def test_what_is_ordered_while_it_goes_on_is_not_taken(storage: Storage, clock: Clock) -> None:
    await done(storage, clock, b"old")
    begun = await storage.personal_data._begin(ANNA)
    new = await done(storage, clock, b"new")
    waiting = await ordered(storage)
    assert await storage.personal_data._forget_pictures(ANNA, begun) is not None
    assert await storage.personal_data._forget_pictures(ANNA, begun) is None
    assert await storage.personal_data._forget_words(ANNA, begun) == 1
    assert await storage.personal_data._forget_words(ANNA, begun) == 0
    assert len(await storage.images.of_job(new.id)) == 1
    assert await storage.jobs.waiting() == [waiting]


async def test_many_things_are_deleted_in_portions(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "AT_ONCE", 2)
    for number in range(3):
        await done(storage, clock, b"%d" % number, b"%d more" % number)
    gone = await storage.personal_data.delete(ANNA)
    assert (gone.pictures, gone.jobs) == (6, 3)
    assert len((await storage.personal_data.told(ANNA))["jobs"]) == 3
