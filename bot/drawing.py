"""Drawing without Discord: the same way from prompt to picture, on a database that lives as long as one order."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bot.catalogue import build_catalogue
from bot.config import Config
from bot.config_sections import SQLITE
from bot.engines import make_engine
from bot.orders import Customer, Orders
from bot.pictures import show
from bot.rules.rules import Rules
from bot.series import only_one
from generation.clock import SystemClock
from generation.engine.settings import EngineSettings
from generation.errors import LimnerError
from generation.job import Job, JobStatus
from generation.queue.dispatcher import Dispatcher
from generation.queue.listener import JobProgress
from generation.safety_labels import check_classifier
from storage.errors import FilesUnwritable
from storage.migrations import migrate
from storage.storage import Storage, open_storage

# There is one person here, and nobody limits them.
PERSON = Customer(user_id=0, guild_id=None, channel_id=0, moderator=True)
CLOSING_SECONDS = 5.0

OnProgress = Callable[[JobProgress], None]


class DrawingFailed(LimnerError):
    """The job ended without pictures. Fields: `reason` (the error key that was stored with it)."""

    key = "drawing_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A finished job and its pictures: PNG files in grid order. `seconds` is what drawing took."""

    job: Job
    pictures: tuple[bytes, ...]
    seconds: float


class _Waiter:
    """Hears of the one job from the queue."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.ended: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._on_progress = on_progress

    def job_started(self, job: Job) -> None:
        pass

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        self._on_progress(progress)

    def job_ended(self, job: Job) -> None:
        if not self.ended.done():
            self.ended.set_result(job)

    def queue_changed(self) -> None:
        pass


async def draw(
    config: Config,
    text: str,
    *,
    on_progress: OnProgress = lambda progress: None,
    engine_settings: EngineSettings | None = None,
) -> Drawing:
    """Draw what a prompt with its flags asks for, on the first of the configured devices.

    `engine_settings` is what the configuration says unless given. Raises `RequestRejected` before anything is started,
    `DrawingFailed`, or `EngineDead`.
    """
    with TemporaryDirectory(prefix="limner-") as folder:
        database = f"{SQLITE}{folder}/limner.sqlite3"
        await asyncio.to_thread(migrate, database)
        async with open_storage(database=database, files=Path(folder) / "files") as storage:
            return await _draw(config, text, storage, on_progress, engine_settings or config.queue.engine())


async def _draw(
    config: Config, text: str, storage: Storage, on_progress: OnProgress, engine_settings: EngineSettings
) -> Drawing:
    await asyncio.to_thread(check_classifier, config.safety.classifier, config.safety.label)
    catalogue = await asyncio.to_thread(build_catalogue, config)
    # The dispatcher finds the job in storage when it starts: nothing runs for a request that is refused.
    orders = Orders(storage=storage, catalogue=catalogue, config=config, rules=Rules(), submit=lambda job: None)
    ordered = await orders.imagine(PERSON, only_one(orders.parser, text))

    instance, clock, waiter = f"imagine-{secrets.token_hex(4)}", SystemClock(), _Waiter(on_progress)
    engine = make_engine(
        config,
        workers=1,
        instance=instance,
        clock=clock,
        preload=catalogue.model(ordered.recipes[0].model),
        settings=engine_settings,
    )
    dispatcher = Dispatcher(
        store=storage.jobs,
        engine=engine,
        catalogue=catalogue,
        listener=waiter,
        settings=config.queue.dispatcher(),
        clock=clock,
        instance=instance,
        safety=config.safety.policy(),
    )
    await engine.start()
    try:
        running = asyncio.create_task(dispatcher.run())
        either: tuple[asyncio.Future[Any], ...] = (running, waiter.ended)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        await dispatcher.stop(grace=0)
        await running  # raises EngineDead
    finally:
        await engine.close(grace=CLOSING_SECONDS)
    return await _finished(waiter.ended.result(), storage)


async def _finished(job: Job, storage: Storage) -> Drawing:
    if job.status is not JobStatus.DONE or job.started_at is None or job.finished_at is None:
        raise DrawingFailed(reason=job.error or str(job.status))
    pictures = [await storage.images.png(image) for image in await storage.images.of_job(job.id)]
    return Drawing(
        job=job,
        pictures=tuple(png for png in pictures if png is not None),
        seconds=(job.finished_at - job.started_at).total_seconds(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Where a drawing was written: its pictures in order, and all of them as a grid if there are several."""

    pictures: tuple[Path, ...]
    grid: Path | None


async def save(drawing: Drawing, output: Path) -> Saved:
    """Write a single picture to `output`; of several the grid, and each picture beside it: `out-1.png`, …

    Raises `FilesUnwritable`.
    """
    if len(drawing.pictures) == 1:
        await asyncio.to_thread(_write, output, drawing.pictures[0])
        return Saved(pictures=(output,), grid=None)
    grid = await show(drawing.pictures, limit=sys.maxsize)
    await asyncio.to_thread(_write, output, grid.data)
    paths = tuple(output.with_stem(f"{output.stem}-{number}") for number in range(1, len(drawing.pictures) + 1))
    for path, png in zip(paths, drawing.pictures, strict=True):
        await asyncio.to_thread(_write, path, png)
    return Saved(pictures=paths, grid=output)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise FilesUnwritable(path=str(path), detail=error.strerror or str(error)) from error
