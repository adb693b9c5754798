"""A fresh bot on an in-memory Discord, measured from its first moment: `python -m bot.bench_bot`, for `bot/bench.py`.

It loads what `python -m bot run` loads, and simcord in the place of a connection to Discord.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import simcord

import bot.cli  # noqa: F401 - the command line is loaded in a real start, too
from bot.app import App, open_app
from bot.bench_discord import SentOrder, TimedDiscord
from bot.bench_plans import PATIENCE, BotPlan, Figures, prompts, read_plan, say, tell
from bot.logs import configure_logs
from generation.engine.protocol import Batch, Engine, Painted, Progress, WorkerState

# Between two single orders, for what is written after the picture is shown.
PAUSE = 0.1


def main() -> None:
    plan: BotPlan = read_plan()
    configure_logs(level="error", format="console")
    tell(asyncio.run(measure(plan)))


async def measure(plan: BotPlan) -> Figures:
    """Start the bot; when it is ready, look at it, and then give it something to do."""
    async with (
        open_app(plan.config) as app,
        simcord.run(app.client, shard_count=1, settle_timeout=PATIENCE, check_errors=False) as env,
        app.working(),
    ):
        await app.client.wait_until_ready()
        figures: Figures = {"ready_seconds": time.time() - plan.spawned_at, "ready_cpu_seconds": time.process_time()}
        figures["bot_rss_mb"] = resident_mb()
        if plan.burst:
            painter_seconds = note_painter_seconds(app.engine)
            discord = TimedDiscord(env, app.client, members=plan.members)
            figures |= await measure_burst(app, discord, warm_up=plan.warm_up, orders=plan.burst)
            figures["bot_rss_mb_after"] = resident_mb()
            figures |= await measure_overhead(discord, painter_seconds, orders=plan.single_orders)
        return figures


async def measure_burst(app: App, discord: TimedDiscord, *, warm_up: int, orders: int) -> Figures:
    """Many orders at once when the worker has begun to draw.

    Each is for one picture: what they order is not what is measured.
    """
    say(f"{orders} orders at once")
    earlier = discord.prepare([f"{prompt} --seed 1" for prompt in prompts(warm_up)])
    burst = discord.prepare([f"{prompt} --seed {seed} --n 1" for seed, prompt in enumerate(prompts(orders))])
    started = time.perf_counter()
    await discord.send(earlier)
    await come_true(lambda: works(app.engine) or any(order.result.is_set() for order in earlier))
    await discord.send(burst)
    await all_of(order.acknowledgement.wait() for order in burst)

    say("waiting for their pictures")
    await all_of(order.result.wait() for order in (*earlier, *burst))
    pictures = 4 * len(earlier) + len(burst)
    acknowledged = [milliseconds(order.arrived, order.acknowledged) for order in burst]
    queued = [milliseconds(order.arrived, order.queued) for order in burst]
    return {
        "ack_p50_ms": statistics.median(acknowledged),
        "ack_p99_ms": percentile_99(acknowledged),
        "ack_max_ms": max(acknowledged),
        "queued_p50_ms": statistics.median(queued),
        "queued_p99_ms": percentile_99(queued),
        "ack_deferred_share": sum(order.deferred for order in burst) / len(burst),
        "served_images_per_second": pictures / (max(order.shown for order in burst) - started),
    }


async def measure_overhead(discord: TimedDiscord, painter_seconds: list[float], *, orders: int) -> Figures:
    """One order after the other, each for a grid of four: what is not the painter's time is ours."""
    say(f"{orders} orders, one after the other")
    overheads, shares = [], []
    for number, prompt in enumerate(prompts(orders)):
        order = await one_order(discord, f"{prompt} --seed {number}")
        total, painting = order.shown - order.arrived, painter_seconds[-1]
        overheads.append((total - painting) * 1000)
        shares.append((total - painting) / total)
        await asyncio.sleep(PAUSE)
    return {"overhead_ms_per_job": statistics.median(overheads), "overhead_share": statistics.median(shares)}


async def one_order(discord: TimedDiscord, prompt: str) -> SentOrder:
    (order,) = discord.prepare([prompt])
    await discord.send([order])
    await all_of([order.result.wait()])
    return order


def works(engine: Engine) -> bool:
    return any(worker.state is WorkerState.BUSY for worker in engine.workers())


def note_painter_seconds(engine: Engine) -> list[float]:
    """A list to which the engine adds, from now on, the seconds that its painter says each batch took."""
    seconds: list[float] = []
    paint = engine.paint

    async def paint_and_note(worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        painted = await paint(worker, batch, on_progress)
        seconds.append(painted.seconds)
        return painted

    engine.paint = paint_and_note  # type: ignore[method-assign]
    return seconds


def resident_mb() -> float:
    """Resident memory of this process in MiB; its peak where there is no /proc to ask."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # macOS, which counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return pages * resource.getpagesize() / 2**20


def percentile_99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def milliseconds(start: float, end: float) -> float:
    return (end - start) * 1000


async def all_of(awaitables: Iterable[Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*awaitables)


async def come_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of what nobody tells
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()
