"""Two bots, each with its shard, on one PostgreSQL: one draws what was ordered through the other, which delivers it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import discord
import pytest

from bot.app import App, open_app
from bot.config import load_config
from bot.config_sections import QueueSection
from generation.job import Job, JobStatus
from generation.queue.listener import JobProgress
from generation.queue.settings import QueueSettings
from storage.books import Account
from tests.bot.world import PATIENCE, QUICK, World, open_world, wait_for
from tests.postgres import drop_database, execute, make_database, needs_postgres

pytestmark = needs_postgres

ROOT = Path(__file__).parent.parent.parent
SETTINGS = """
[generation]
devices = ["cpu"]
preview_every = 1

[discord]
shard_count = 2
shard_ids = [{shard}]

[storage]
database = "{database}"
files = "{folder}/files"

[queue]
instance = "bot-{shard}"
lease_seconds = 30
stop_grace_seconds = 8
"""


@pytest.fixture
def database() -> Iterator[str]:
    url = make_database()
    yield url
    drop_database(url)


def write_settings(folder: Path, database: str, shard: int) -> str:
    """The settings of a shard's bot, also as the file that a process of its own reads."""
    settings = SETTINGS.format(shard=shard, database=database, folder=folder)
    own = folder / str(shard)
    own.mkdir(exist_ok=True)
    (own / "config.toml").write_text(settings)
    return settings


@asynccontextmanager
async def bot_with_people(folder: Path, database: str, shard: int, *, working: bool = True) -> AsyncIterator[World]:
    """The bot of a shard, with a server of that shard and people in it."""
    settings = write_settings(folder, database, shard)
    async with open_world(folder / str(shard), settings=settings, working=working, shard_id=shard) as world:
        yield world


@asynccontextmanager
async def other_bot(folder: Path, database: str, shard: int) -> AsyncIterator[App]:
    """The bot of another shard, which is logged in nowhere: whatever it would tell anybody fails."""
    write_settings(folder, database, shard)
    config = load_config(folder / str(shard) / "config.toml")
    async with open_app(config, engine_settings=QUICK) as app, app.working():
        yield app


@pytest.fixture
async def bots(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> AsyncIterator[tuple[World, App]]:
    """Two at work. The one with people holds the first shard, or the one that the test is given."""
    shard: int = getattr(request, "param", 0)
    async with (
        bot_with_people(tmp_path, database, shard) as here,
        other_bot(tmp_path, database, 1 - shard) as there,
    ):
        yield here, there


async def job_of(world: World) -> Job:
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    return job


async def accounts(world: World) -> list[Account]:
    return list(await world.app.services.storage.books.accounts())


def edits(world: World) -> list[str]:
    """What messages of that world are changed to, from now on."""
    seen: list[str] = []
    world.env.backend.subscribers.append(
        lambda event, payload: seen.append(payload["content"]) if event == "MESSAGE_UPDATE" else None
    )
    return seen


def progress_of(app: App, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, JobProgress]]:
    """What that bot's workers tell of their jobs, from now on."""
    told: list[tuple[int, JobProgress]] = []
    tell = app.relay.job_progress

    def note(job_id: int, progress: JobProgress) -> None:
        told.append((job_id, progress))
        tell(job_id, progress)

    monkeypatch.setattr(app.relay, "job_progress", note)
    return told


async def drawn_once(world: World, message: discord.Message, *, pictures: int = 4) -> None:
    """The message has the pictures of the only job, it is the only one, and it was paid for once."""
    message = await world.finished(message)
    await world.all_told()
    assert [found.id for found in world.messages()] == [message.id]
    assert len(await world.app.services.storage.images.of_job(1)) == pictures
    assert [account.drift for account in await accounts(world)] == [0]
    assert await world.credits() == 100 - (await job_of(world)).cost


@pytest.mark.parametrize("bots", [0, 1], indirect=True)
async def test_one_bot_draws_what_was_ordered_through_the_other_which_tells_of_it(
    bots: tuple[World, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = bots
    here.app.services.dispatcher.pause(None)  # our own workers draw nothing
    told, progress = edits(here), progress_of(there, monkeypatch)
    message = await here.imagine(f"a {here.held} boat")
    await here.until(lambda: progress)
    async with asyncio.timeout(PATIENCE):
        while not here.now(message).attachments:  # a preview
            there.relay.job_progress(*progress[0])  # as at the next step: what comes before the start is not shown
            await asyncio.sleep(0.1)
    assert "%" in here.now(message).content
    here.let_go()
    await drawn_once(here, message)
    assert any("%" in content for content in told)
    assert (await job_of(here)).attempt == 1
    assert there.services.courier.undelivered() == 0


async def test_what_one_cancels_the_other_stops_drawing(
    bots: tuple[World, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = bots
    here.app.services.dispatcher.pause(None)
    progress = progress_of(there, monkeypatch)
    message = await here.imagine(f"a {here.held} boat")
    await here.until(lambda: progress)
    assert there.services.dispatcher.running() == 1
    await here.press(message, "Cancel")
    await here.until(lambda: "Cancelled" in here.now(message).content)
    await wait_for(lambda: there.services.dispatcher.running() == 0)
    assert (await job_of(here)).status is JobStatus.CANCELLED
    assert await here.credits() == 100


async def test_a_pause_of_a_server_holds_in_both(bots: tuple[World, App]) -> None:
    here, there = bots
    here.app.services.dispatcher.pause(None)
    there.services.dispatcher.pause(None)
    message = await here.imagine("a boat")
    await wait_for(lambda: there.services.dispatcher.depth() == 1)  # it waits there too
    pauses = here.app.services.pauses
    await pauses.pause(here.guild.id, by=here.moderator.id)
    await wait_for(lambda: here.guild.id in there.services.pauses._held)
    there.services.dispatcher.resume(None)
    await wait_for(lambda: there.services.dispatcher.held_back() == 1)
    assert (await job_of(here)).status is JobStatus.QUEUED
    await pauses.resume(here.guild.id, by=here.moderator.id)
    await drawn_once(here, message)


async def test_both_draw_and_nothing_is_drawn_or_charged_twice(
    bots: tuple[World, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = bots
    drawn_there: set[int] = set()
    started = there.relay.job_started

    def note(job: Job) -> None:
        drawn_there.add(job.id)
        started(job)

    monkeypatch.setattr(there.relay, "job_started", note)
    here.app.services.dispatcher.pause(None)
    messages = [await here.imagine(f"a boat, the {number}th --n 1") for number in range(3)]
    await here.until(lambda: drawn_there)
    here.app.services.dispatcher.resume(None)
    messages += [await here.imagine(f"a boat, the {number}th --n 1") for number in range(3, 6)]
    there.services.dispatcher.pause(None)  # whatever comes now is ours to draw
    messages += [await here.imagine(f"a boat, the {number}th --n 1") for number in range(6, 8)]
    for message in messages:
        await here.finished(message)
    await here.all_told()
    assert len(here.messages()) == 8
    books = await accounts(here)
    assert [(account.drift, account.pictures, account.job.attempt) for account in books] == [(0, 1, 1)] * 8
    assert not drawn_there & {7, 8}


@asynccontextmanager
async def deaf_bots(
    folder: Path, database: str, monkeypatch: pytest.MonkeyPatch, *, compare_seconds: float
) -> AsyncIterator[tuple[World, App]]:
    """Two bots who hear nothing of each other, and look that often at what both have stored."""
    monkeypatch.setattr(QueueSection, "dispatcher", lambda section: QueueSettings(compare_seconds=compare_seconds))
    async with bot_with_people(folder, database, 0) as here, other_bot(folder, database, 1) as there:
        for app in (here.app, there):
            monkeypatch.setattr(app.relay, "jobs_moved", lambda job_ids: None)
            monkeypatch.setattr(app.relay, "was_told", lambda text: None)
        yield here, there


async def test_what_was_not_heard_of_is_found_all_the_same(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every wake-up is lost, from before the order to after the end."""
    async with deaf_bots(tmp_path, database, monkeypatch, compare_seconds=0.2) as (here, _):
        here.app.services.dispatcher.pause(None)
        await drawn_once(here, await here.imagine("a boat"))


async def test_an_end_that_no_look_could_see_coming_is_told_all_the_same(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's bot lost its lease while it drew, and every wake-up: the job came and went between two looks."""
    async with deaf_bots(tmp_path, database, monkeypatch, compare_seconds=3600.0) as (here, there):
        message = await here.imagine(f"a {here.held} boat --n 1")
        await here.begun(message)
        await there.services.storage.jobs.take_back_from("bot-0")
        there.services.dispatcher.moved_elsewhere([1])
        await wait_for(lambda: there.services.dispatcher.running() == 1)
        await wait_for_status(there, JobStatus.RUNNING)
        here.let_go()
        await wait_for_status(there, JobStatus.DONE)
        await here.until(lambda: here.app.services.dispatcher.running() == 0)
        assert "Done in" not in here.now(message).content
        here.app.services.dispatcher.moved_elsewhere(None)
        await drawn_once(here, message, pictures=1)
        assert (await job_of(here)).attempt == 2


@asynccontextmanager
async def doomed_bot(folder: Path, shard: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program of a shard, but for Discord, in a process of its own that is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bot.doomed_bot", str(folder / str(shard) / "config.toml"), cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.crash
async def test_the_bot_that_draws_is_killed_and_the_other_draws_it_once_more(tmp_path: Path, database: str) -> None:
    write_settings(tmp_path, database, 1)
    async with bot_with_people(tmp_path, database, 0) as here:
        here.app.services.dispatcher.pause(None)
        async with doomed_bot(tmp_path, 1):
            message = await here.imagine(f"a {here.held} boat --n 1")
            await wait_for_status(here.app, JobStatus.RUNNING)
        assert (await job_of(here)).status is JobStatus.RUNNING
        here.let_go()
        here.app.services.dispatcher.resume(None)
        await let_leases_run_out(database)
        await drawn_once(here, message, pictures=1)
        assert (await job_of(here)).attempt == 2


@pytest.mark.crash
async def test_the_bot_of_the_server_is_killed_and_delivers_once_it_is_back(tmp_path: Path, database: str) -> None:
    async with bot_with_people(tmp_path, database, 0, working=False) as here:
        message = await here.imagine(f"a {here.held} boat")
        await here.stop()
        async with other_bot(tmp_path, database, 1) as there:
            there.services.dispatcher.pause(None)
            async with doomed_bot(tmp_path, 0):
                await wait_for_status(there, JobStatus.RUNNING)
            here.let_go()
            await let_leases_run_out(database)
            there.services.dispatcher.resume(None)
            await wait_for_status(there, JobStatus.DONE)
            assert "Queued" in here.now(message).content
            assert len(await there.services.storage.jobs.undelivered()) == 1  # it is nobody else's to tell
            await here.start()  # under the name and with the shard of whoever was killed
            await drawn_once(here, message)
            assert there.services.courier.undelivered() == 0


async def let_leases_run_out(database: str) -> None:
    """As if that much time had passed."""
    await execute(database, "UPDATE jobs SET lease_until = lease_until - interval '1 hour' WHERE status = 'running'")


async def wait_for_status(app: App, status: JobStatus) -> None:
    async with asyncio.timeout(PATIENCE):
        while (job := await app.services.storage.jobs.get(1)) is None or job.status is not status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # there is nothing to wait on
