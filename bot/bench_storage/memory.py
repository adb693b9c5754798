"""Whether the bot keeps anything of the jobs that are over: one after the other is ordered, drawn and delivered.

Storage, orders' rows, queue, courier and its words are the bot's own. The pictures are made in this process and cost
next to nothing, and what would go to Discord is written and thrown away.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psutil
from PIL import Image

from bot.bench_plans import say
from bot.config import Config
from bot.config_sections import SQLITE
from bot.delivery import Courier
from bot.message_routes import Destination, MessageRoutes, Place, Writer
from bot.messages import load_messages
from bot.metrics import Metrics
from bot.orders import Customer, Orders
from bot.rules.rules import Rules
from bot.status import StatusWriter
from generation.catalogue import Catalogue, LoraSpec, ModelSpec
from generation.clock import SystemClock
from generation.engine.protocol import Batch, Painted, Picture, Progress, WorkerInfo, WorkerState
from generation.picture import encode_png
from generation.queue.dispatcher import Dispatcher
from generation.queue.settings import QueueSettings
from storage.made_up import made_up_job
from storage.migrations import migrate
from storage.storage import Storage, open_storage

MODEL, WORKER = "sdxl", "bench/cpu"
CATALOGUE = Catalogue(
    models={MODEL: ModelSpec(name=MODEL, source="/", max_batch=4)},
    default_model=MODEL,
    loras={name: LoraSpec(name=name, path=Path(f"/{name}")) for name in ("neon", "ink")},
)
SIZE = (16, 16)  # of a picture
UPLOAD_LIMIT = 10_000_000
MEMBERS, UNFINISHED = 50, 20  # people, and jobs that wait or run at the same time
WARM_UP = 1_000  # jobs, after which pools and caches are full
MEGABYTE = 2**20


class InstantEngine:
    """Implements `Engine` with one worker in this process."""

    def __init__(self) -> None:
        self._info = WorkerInfo(name=WORKER, device="cpu", state=WorkerState.IDLE)
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None: ...

    async def close(self, *, grace: float) -> None: ...

    def workers(self) -> Sequence[WorkerInfo]:
        return [self._info]

    async def idle(self) -> str:
        await self._idle.wait()
        return WORKER

    async def death(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def paint(self, worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        self._idle.clear()
        self._info = replace(self._info, state=WorkerState.BUSY)
        on_progress(Progress(step=1, steps=1))
        await asyncio.sleep(0)
        pictures = tuple(
            Picture(png=encode_png(Image.new("RGB", SIZE), task.recipe), width=SIZE[0], height=SIZE[1])
            for task in batch.tasks
        )
        loras = tuple(lora.name for lora in batch.loras)
        self._info = replace(self._info, state=WorkerState.IDLE, model=batch.model.name, loras=loras)
        self._idle.set()
        return Painted(pictures=pictures, seconds=0.01)

    def expect(self, worker: str, model: ModelSpec | None) -> None: ...

    def cancel(self, worker: str) -> None: ...


class NoDiscord(MessageRoutes):
    """Writes what would be sent, and sends nothing. Each message stands at once."""

    def __init__(self) -> None:
        self._messages = 0

    def fresh(self, place: Place) -> bool:
        return False

    async def edit(self, place: Place, write: Writer) -> None:
        await write(Destination(upload_limit=UPLOAD_LIMIT))

    async def announce(self, place: Place, write: Writer) -> None:
        await write(Destination(upload_limit=UPLOAD_LIMIT))
        self._messages += 1
        place.message_id = self._messages

    async def deliver(self, place: Place, write: Writer) -> None:
        await write(Destination(upload_limit=UPLOAD_LIMIT))


class Bot:
    """A bot at work without Discord, made by `at_work`."""

    def __init__(self, storage: Storage, courier: Courier, dispatcher: Dispatcher) -> None:
        self._storage = storage
        self._courier = courier
        self._dispatcher = dispatcher
        self._ordered = 0

    async def serve(self, count: int) -> None:
        """See so many orders through, until each is delivered."""
        for _ in range(count):
            while self._courier.following >= UNFINISHED:  # noqa: ASYNC110 – nobody tells when one less is followed
                await asyncio.sleep(0.002)
            await self._order()
        while self._courier.following:  # noqa: ASYNC110
            await asyncio.sleep(0.002)

    async def _order(self) -> None:
        self._ordered += 1
        new = made_up_job(self._ordered, 1 + self._ordered % MEMBERS, model=MODEL)
        jobs = self._storage.jobs
        job = await jobs.order(new, allowance=None, max_queued=2 * UNFINISHED, request_key=f"order-{self._ordered}")
        self._dispatcher.submit(job)
        customer = Customer(user_id=job.user_id, guild_id=job.guild_id, channel_id=job.channel_id)
        self._courier.announce(job, customer, "en-GB")


@asynccontextmanager
async def at_work(config: Config, folder: Path) -> AsyncIterator[Bot]:
    """The bot, with a database and files of its own in that folder, whatever the settings say of those."""
    database, clock = f"{SQLITE}{folder}/limner.sqlite3", SystemClock()
    await asyncio.to_thread(migrate, database)
    messages = load_messages()
    async with open_storage(database=database, files=folder / "files") as storage:
        orders = Orders(
            storage=storage,
            catalogue=CATALOGUE,
            config=config,
            rules=Rules(),
            submit=lambda job: dispatcher.submit(job),
        )
        courier = Courier(
            storage=storage,
            routes=NoDiscord(),
            writer=StatusWriter(messages=messages, storage=storage, orders=orders, classified=False),
            outlook=lambda job_id: dispatcher.outlook(job_id),
            metrics=Metrics(),
            clock=clock,
        )
        dispatcher = Dispatcher(
            store=storage.jobs,
            engine=InstantEngine(),
            catalogue=CATALOGUE,
            listener=courier,
            settings=QueueSettings(lease_seconds=60),
            clock=clock,
            instance="bench",
        )
        following, running = asyncio.create_task(courier.run()), asyncio.create_task(dispatcher.run())
        try:
            yield Bot(storage, courier, dispatcher)
        finally:
            await dispatcher.stop(grace=10)
            await running
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def grown_megabytes(config: Config, folder: Path, *, jobs: int) -> float:
    """By how many MiB this process grew over so many jobs, after those that warm it up."""
    process = psutil.Process()
    async with at_work(config, folder) as bot:
        await bot.serve(min(WARM_UP, jobs))
        gc.collect()
        before = process.memory_info().rss
        for part in range(1, 11):
            await bot.serve(jobs // 10)
            gc.collect()
            say(f"{part * jobs // 10} jobs: {(process.memory_info().rss - before) / MEGABYTE:+.1f} MiB")
        return (process.memory_info().rss - before) / MEGABYTE
