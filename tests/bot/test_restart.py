"""Restarts and crashes: one answer and one charge for each order, whatever dies when."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import discord
import pytest

from bot import app
from generation.engine.crew import Crew
from generation.job import JobStatus
from storage.images import Image
from tests.bot.world import PATIENCE, SETTINGS, World, labels, open_world, public, wait_for

ROOT = Path(__file__).parent.parent.parent


async def job_status(world: World, job_id: int = 1) -> JobStatus:
    job = await world.app.services.storage.jobs.get(job_id)
    assert job is not None
    return job.status


async def answered_once_and_charged_once(
    world: World, message: discord.Message, *, cost: int = 4, pictures: int | None = None
) -> None:
    """The one order of this world; `pictures` None: as many as it cost credits."""
    message = await world.finished(message)
    await world.all_told()
    assert [found.id for found in world.messages()] == [message.id]
    assert len(await world.app.services.storage.images.of_job(1)) == (cost if pictures is None else pictures)
    assert await world.credits() == 100 - cost


async def test_what_runs_at_a_stop_runs_again_after_the_start(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat")
    await world.begun(message)
    await world.stop()
    world.let_go()
    await world.start()
    await answered_once_and_charged_once(world, message)
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    assert job.attempt == 1  # handed back in good order, which is no failed attempt


async def test_what_is_nearly_done_at_a_stop_is_finished_and_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "DELIVERY_SECONDS", PATIENCE)
    settings = SETTINGS.replace("stop_grace_seconds = 8", f"stop_grace_seconds = {3 * PATIENCE:.0f}")
    async with open_world(tmp_path, settings=settings) as world:
        message = await world.imagine(f"a {world.held} boat --n 1 --steps 2")
        await world.begun(message)
        asyncio.get_running_loop().call_later(0.1, world.let_go)
        await world.stop()
        assert "Done in" in world.now(message).content


async def test_an_order_during_a_restart_is_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path, working=False) as world:  # connected, while the queue has stopped
        message = await world.imagine("a boat")
        assert "Queued" in message.content
        await world.restart()
        await answered_once_and_charged_once(world, message)


async def test_a_worker_that_is_killed_is_replaced_and_the_job_runs_again(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat")
    await world.begun(message)
    engine = world.app.engine
    assert isinstance(engine, Crew)
    pid = engine.pid(engine.workers()[0].name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    world.let_go()
    await answered_once_and_charged_once(world, message)
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    assert job.attempt == 2


async def test_a_job_that_kills_its_worker_three_times_fails_with_words_and_a_refund(world: World) -> None:
    message = await world.imagine("crash --n 1")
    await world.until(lambda: "given back" in world.now(message).content)
    assert "broke down" in world.now(message).content
    assert labels(world.now(message)) == []
    assert await world.credits() == 100
    await world.drawn("a boat --n 1")


@asynccontextmanager
async def doomed_bot(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The whole program but Discord, in a process of its own that is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bot.doomed_bot", str(folder / "config.toml"), cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def stored_status(folder: Path) -> str:
    with closing(sqlite3.connect(f"file:{folder}/limner.sqlite3?mode=ro", uri=True, timeout=30)) as database:
        return str(database.execute("SELECT status FROM jobs WHERE id = 1").fetchone()[0]).lower()


@pytest.mark.crash
@pytest.mark.parametrize("killed_when", ["running", "done"])
async def test_kill_9_in_mid_job_or_before_the_delivery(tmp_path: Path, killed_when: str) -> None:
    async with open_world(tmp_path, working=False) as world:
        message = await world.imagine(f"a {world.held} boat" if killed_when == "running" else "a boat")
        await world.stop()
        async with doomed_bot(tmp_path):
            await wait_for(lambda: stored_status(tmp_path) == killed_when, about=lambda: stored_status(tmp_path))
        assert stored_status(tmp_path) == killed_when
        assert "Queued" in world.now(message).content

        world.let_go()
        await world.start()
        await answered_once_and_charged_once(world, message)
        job = await world.app.services.storage.jobs.get(1)
        assert job is not None
        assert job.attempt == (2 if killed_when == "running" else 1)


@pytest.mark.crash
async def test_a_person_is_told_of_the_restart_while_the_job_waits_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, working=False) as world:
        message = await world.imagine(f"a {world.held} boat")
        await world.stop()
        async with doomed_bot(tmp_path):
            await wait_for(lambda: stored_status(tmp_path) == "running")
        seen: list[str] = []
        world.env.backend.subscribers.append(
            lambda event, payload: seen.append(payload["content"]) if event == "MESSAGE_UPDATE" else None
        )
        world.let_go()
        start_workers = Crew.start

        async def start_workers_late(crew: Crew) -> None:
            await wait_for(lambda: any("I was restarted" in content for content in seen), about=lambda: seen)
            await start_workers(crew)

        monkeypatch.setattr(Crew, "start", start_workers_late)
        await world.start()
        await world.finished(message)


def forget_messages(folder: Path) -> None:
    """As if the program had been killed after Discord took each answer, and before that was noted."""
    with closing(sqlite3.connect(folder / "limner.sqlite3", isolation_level=None, timeout=30)) as database:
        database.execute("UPDATE jobs SET message_id = NULL")


async def test_an_answer_that_was_not_noted_before_the_crash_is_found_again(tmp_path: Path) -> None:
    async with open_world(tmp_path, working=False) as world:
        message = await world.imagine("a boat")
        await world.stop()
        forget_messages(tmp_path)
        await world.start()
        await answered_once_and_charged_once(world, message)
        job = await world.app.services.storage.jobs.get(1)
        assert job is not None
        assert job.message_id == message.id


async def test_a_delivery_that_storage_broke_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    of_job, broken = world.app.services.storage.images.of_job, 0

    async def of_job_after_a_while(job_id: int) -> Sequence[Image]:
        nonlocal broken
        if broken < 2:
            broken += 1
            raise OSError("the disk is full")
        return await of_job(job_id)

    monkeypatch.setattr(
        type(world.app.services.storage.images), "of_job", lambda self, job_id: of_job_after_a_while(job_id)
    )
    await world.drawn("a boat --n 1")
    await world.all_told()
    assert broken == 2


async def test_a_result_that_was_stored_but_not_delivered_is_delivered_after_the_start(world: World) -> None:
    world.env.inject_error("*", "/webhooks/*", status=503, times=None)
    message = await world.imagine("a boat")
    await wait_for(lambda: stored_status(world.folder) == "done")
    await world.stop()
    assert "Queued" in world.now(message).content
    world.env.backend.faults.clear()
    await world.start()
    await answered_once_and_charged_once(world, message)


@pytest.mark.parametrize("how", ["gone", "broken"])
async def test_a_result_whose_files_are_lost_is_told_as_such(world: World, how: str) -> None:
    world.env.inject_error("*", "/webhooks/*", status=503, times=None)
    message = await world.imagine("a boat")
    await wait_for(lambda: stored_status(world.folder) == "done")
    await world.stop()
    for file in (world.folder / "files").rglob("*"):
        if file.is_file():
            file.unlink() if how == "gone" else file.write_bytes(b"broken")
    world.env.backend.faults.clear()
    await world.start()
    await world.until(lambda: "not there any more" in world.now(message).content)


async def test_what_was_delivered_is_not_touched_by_the_next_start(world: World) -> None:
    grid = await world.drawn("a boat")
    await world.all_told()
    before = len(world.env.http_requests)
    await world.restart()
    await asyncio.sleep(0.3)
    assert not [entry for entry in world.env.http_requests[before:] if "messages" in entry.path]
    assert world.now(grid).content == grid.content
    public(await world.press(grid, "U1"))
