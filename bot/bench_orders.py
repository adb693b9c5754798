"""Orders on a real database while a worker draws, without Discord: `python -m bot.bench_orders` for `bot/bench.py`."""

from __future__ import annotations

import asyncio
import time

from bot.bench_plans import PATIENCE, SUBJECTS, Figures, OrdersPlan, read_plan, tell
from bot.catalogue import build_catalogue
from bot.logs import configure_logs
from bot.orders import Customer, Orders
from bot.rules.rules import Rules
from generation.clock import SystemClock
from generation.engine.local import LocalEngine
from generation.job import Job
from generation.queue.dispatcher import Dispatcher
from generation.queue.listener import JobProgress
from storage.storage import open_storage

GUILD_ID, CHANNEL_ID = 1, 1


class FirstStart:
    """A queue listener that hears when something is drawn."""

    def __init__(self) -> None:
        self.started = asyncio.Event()

    def job_started(self, job: Job) -> None: ...

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        self.started.set()

    def job_ended(self, job: Job) -> None: ...

    def queue_changed(self) -> None: ...


def main() -> None:
    plan: OrdersPlan = read_plan()
    configure_logs(level="error", format="console")
    tell(asyncio.run(measure(plan)))


async def measure(plan: OrdersPlan) -> Figures:
    """How many orders a second become durable when all are placed at once."""
    config, clock, listener = plan.config, SystemClock(), FirstStart()
    catalogue = build_catalogue(config)
    async with open_storage(database=config.storage.database, files=config.storage.files) as storage:
        engine = LocalEngine(
            config.generation.painters(),
            instance="bench",
            clock=clock,
            preload=catalogue.model(),
            settings=config.queue.engine(),
        )
        dispatcher = Dispatcher(
            store=storage.jobs,
            engine=engine,
            catalogue=catalogue,
            listener=listener,
            settings=config.queue.dispatcher(),
            clock=clock,
            instance="bench",
        )
        orders = Orders(storage=storage, catalogue=catalogue, config=config, rules=Rules(), submit=dispatcher.submit)

        async def order(number: int) -> Job:
            customer = Customer(
                user_id=1 + number % plan.members,
                guild_id=GUILD_ID,
                channel_id=CHANNEL_ID,
                request_key=f"order-{number}",
            )
            request = orders.parser.parse(f"{SUBJECTS[number % len(SUBJECTS)]} --seed {number}")
            return await orders.imagine(customer, request)

        await engine.start()
        running = asyncio.create_task(dispatcher.run())
        try:
            await asyncio.gather(*(order(plan.orders + number) for number in range(plan.warm_up)))
            async with asyncio.timeout(PATIENCE):
                await listener.started.wait()
            started = time.perf_counter()
            await asyncio.gather(*(order(number) for number in range(plan.orders)))
            seconds = time.perf_counter() - started
        finally:
            await dispatcher.stop(grace=0)
            await engine.close(grace=1)
            await running
    return {"enqueue_per_second": plan.orders / seconds}


if __name__ == "__main__":
    main()
