"""The dispatcher on real storage with real worker processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from generation.catalogue import Catalogue
from generation.clock import SystemClock
from generation.engine.local import LocalEngine
from generation.job import Job, JobStatus, NewJob
from generation.queue.dispatcher import Dispatcher, QueueSettings
from storage.migrations import migrate
from storage.storage import Storage, open_storage
from tests.engine.local_engines import MODEL, QUICK, children, local_engine
from tests.queue.bench import Ear, order, until


@dataclasses.dataclass
class House:
    """Everything below the bot, for real."""

    storage: Storage
    engine: LocalEngine
    dispatcher: Dispatcher
    ear: Ear

    async def submit(self, new: NewJob) -> Job:
        job = await self.storage.jobs.order(new, allowance=100, max_queued=50)
        self.dispatcher.submit(job)
        return job

    async def end_of(self, *jobs: Job) -> None:
        await until(lambda: {job.id for job in jobs} <= {job.id for job in self.ear.ended})

    async def available(self, user: int = 1) -> int | None:
        """Credits that the person has left of a hundred."""
        return (await self.storage.credits.balance(user, None, allowance=100)).available


@contextlib.asynccontextmanager
async def house(folder: Path, devices: tuple[str, ...] = ("cpu",), *, grace: float = 10) -> AsyncIterator[House]:
    database = f"sqlite+aiosqlite:///{folder / 'limner.sqlite3'}"
    await asyncio.to_thread(migrate, database)
    async with (
        asyncio.timeout(300),
        open_storage(database=database, files=folder / "files") as storage,
        local_engine(devices, settings=QUICK) as engine,
    ):
        ear = Ear()
        dispatcher = Dispatcher(
            store=storage.jobs,
            engine=engine,
            catalogue=Catalogue(models={"sdxl": MODEL}, default_model="sdxl"),
            listener=ear,
            settings=QueueSettings(),
            clock=SystemClock(),
            instance="here",
        )
        run = asyncio.create_task(dispatcher.run())
        yield House(storage=storage, engine=engine, dispatcher=dispatcher, ear=ear)
        await dispatcher.stop(grace=grace)
        await run


@pytest.mark.crash
async def test_a_job_whose_worker_is_killed_runs_again_and_is_paid_once(tmp_path: Path) -> None:
    let_go = tmp_path / "let_go"
    async with house(tmp_path) as at:
        job = await at.submit(order("red", f"blue hold:{let_go} note:{tmp_path / 'begun'}"))
        await until(lambda: bool(at.ear.progress))
        pid = at.engine.pid("here/cpu")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: at.engine.pid("here/cpu") != pid)
        let_go.touch()
        await at.end_of(job)
        assert at.ear.ends() == {job.id: JobStatus.DONE}
        assert [started.attempt for started in at.ear.started] == [1, 2]
        images = await at.storage.images.of_job(job.id)
        colours = [
            Image.open(io.BytesIO(await at.storage.images.png(image) or b"")).getpixel((0, 0)) for image in images
        ]
        assert colours == [(255, 0, 0), (0, 0, 255)]
        assert await at.available() == 98
    pids = {line.split()[0] for line in (tmp_path / "begun").read_text().splitlines()}
    assert len(pids) == 2
    assert children() == []


@pytest.mark.crash
async def test_a_job_that_kills_three_workers_fails_once_with_its_credits_back(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        good = await at.submit(order("red", user=2))
        bad = await at.submit(order("crash"))
        after = await at.submit(order("blue", user=3))
        await at.end_of(good, bad, after)
        assert at.ear.ends() == {good.id: JobStatus.DONE, bad.id: JobStatus.FAILED, after.id: JobStatus.DONE}
        assert Counter(started.id for started in at.ear.started)[bad.id] == 3
        assert [job.error for job in at.ear.ended if job.id == bad.id] == ["worker_lost"]
        assert [await at.available(user) for user in (1, 2, 3)] == [100, 99, 99]


@pytest.mark.crash
async def test_killing_workers_at_random_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, ("cpu", "cpu")) as at:
        at.dispatcher.pause(None)  # none shall be drawn before the last is ordered, however long that takes
        jobs = [await at.submit(order("slow:0.01", user=number % 5)) for number in range(20)]
        at.dispatcher.resume(None)
        for _ in range(2):  # each kill may cost a job one of its three attempts
            before = len(at.ear.progress)
            await until(lambda before=before: len(at.ear.progress) > before + 3)  # type: ignore[misc]
            for worker in at.engine.workers():
                pid = at.engine.pid(worker.name)
                if pid is not None:
                    with contextlib.suppress(ProcessLookupError):  # a busy machine noticed the last kill just now
                        os.kill(pid, signal.SIGKILL)
                    break
        await at.end_of(*jobs)
        assert set(at.ear.ends().values()) == {JobStatus.DONE}
        assert [len(await at.storage.images.of_job(job.id)) for job in jobs] == [1] * 20
        assert [await at.available(user) for user in range(5)] == [96] * 5


async def test_a_cancelled_job_stops_and_gives_its_credits_back(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        job = await at.submit(order(f"hold:{tmp_path / 'never'}"))
        await until(lambda: bool(at.ear.progress))
        assert await at.dispatcher.cancel(job.id)
        steps = len(at.ear.progress)
        other = await at.submit(order("red"))
        await at.end_of(other)
        assert len([told for told in at.ear.progress if told[0] == job.id]) <= steps + 1
        assert at.ear.ends() == {job.id: JobStatus.CANCELLED, other.id: JobStatus.DONE}
        assert await at.available() == 99


async def test_a_stop_hands_back_what_runs_and_the_next_start_finishes_it(tmp_path: Path) -> None:
    let_go = tmp_path / "let_go"
    async with house(tmp_path, grace=0.1) as at:
        job = await at.submit(order(f"hold:{let_go}"))
        await until(lambda: bool(at.ear.progress))
    assert children() == []
    let_go.touch()
    async with house(tmp_path) as at:
        await at.end_of(job)
        assert at.ear.ended[0].attempt == 1
        assert await at.available() == 99
