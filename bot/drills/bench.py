"""`python -m bot bench drills [--json]`: all drills with full counts. It takes about a quarter of an hour.

Each drill has a bot process of its own, with a real worker process and a database of its own, on a server of ours that
speaks Discord's API over HTTP and a gateway. What is drawn costs next to nothing. Keys of the JSON object, over all
drills together:

- `kills`: processes that were ended by kill -9 in the midst of a mixed load, at random moments: `bot_kills` and
  `worker_kills`.
- `orders`: jobs that were ordered; `done`, `cancelled` and `failed` are how they ended, the last with a refund (also a
  job that three kills in a row have hit).
- `lost`: orders that were promised to a person and came to nothing that this person was shown, and whatever else a
  drill asks for and did not find: an answer in time, a bot that goes on and does not grow, a job that fails alone. To
  be 0.
- `duplicated`: jobs beside the one of an order, and messages beside the one of a job. To be 0.
- `credit_drift`: credits that were taken or given back where they should not have been. To be 0.
- `calls_failed`: calls to Discord that were made to fail: with 500, 429, 403, 404 and 413, unheard, or with the answer
  lost.
- `crowd_answer_p50_ms`, `crowd_answer_p99_ms`, `crowd_late`: 1,000 orders in a minute by 200 members: from Discord's
  sending an interaction to the bot's first answer, and how many had none within three seconds, which are lost.
- `soak_megabytes`, `soak_handles`: by how much the bot and its worker grew in the last third of a soak. After more
  than `crowd.MOST_MEGABYTES` or `crowd.MOST_HANDLES` it goes on for further thirds; growth that does not end counts as
  lost.
- `seconds`: how long all of it took.

What was found wrong is said on stderr, in words.
"""

from __future__ import annotations

import asyncio
import json as json_format
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.bench_plans import say
from bot.drills import calls, clocks, crowd, kills, storage_trouble, worker_trouble
from bot.drills.discord_state import Failure
from bot.drills.house import DrillStuck
from bot.drills.verdict import Verdict

HOUSES = 2  # that kill at the same time: one waits for its bot to start while the other works


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is drilled. Times in seconds."""

    kills: int
    disk_full: float
    database_locked: float
    clock: float
    storm: float
    orders: int
    orders_within: float
    members: int
    soak: float
    failures: tuple[Failure, ...] = calls.FAILURES


FULL = Extent(
    kills=200,
    disk_full=10,
    database_locked=10,
    clock=30,
    storm=60,
    orders=1000,
    orders_within=60,
    members=200,
    soak=180,
)


def run(*, json: bool, extent: Extent = FULL) -> bool:
    """Drill, and print a table, or one JSON object and nothing else. Whether all went well."""
    started = time.monotonic()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: bots are killed on the way out
    try:
        with TemporaryDirectory(prefix="limner-drills-") as folder:
            total = asyncio.run(_drill(Path(folder), extent))
    finally:
        signal.signal(signal.SIGTERM, before)
    measured = {name: round(value, 1) for name, value in total.figures.items()}
    figures = {
        "kills": measured["bot_kills"] + measured["worker_kills"],
        "orders": total.orders,
        "lost": total.lost,
        "duplicated": total.duplicated,
        "credit_drift": total.credit_drift,
        "calls_failed": measured.pop("calls_failed"),
        "done": total.done,
        "failed": total.failed,
        "cancelled": total.cancelled,
        **measured,
        "seconds": round(time.monotonic() - started),
    }
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        for name, value in figures.items():
            sys.stdout.write(f"{name:>22}  {value:,}\n")
    return total.good


async def _drill(folder: Path, extent: Extent) -> Verdict:
    """One group of drills after the other; those of a group go on side by side."""
    each = extent.kills // HOUSES
    total = Verdict(figures=dict.fromkeys(("bot_kills", "worker_kills", "calls_failed"), 0))
    groups: Sequence[Mapping[str, Callable[[Path], Awaitable[Verdict]]]] = (
        {f"kills {house + 1}": partial(kills.drill, kills=each, seed=house) for house in range(HOUSES)},
        {
            "disk full": partial(storage_trouble.disk_full, seconds=extent.disk_full),
            "database locked": partial(storage_trouble.database_locked, seconds=extent.database_locked),
            "worker hangs": partial(worker_trouble.worker_hangs, how="hang"),
            "worker freezes": partial(worker_trouble.worker_hangs, how="freeze"),
            "out of memory": worker_trouble.out_of_memory,
            "clock jumps": partial(clocks.drill, seconds=extent.clock),
        },
        {"calls of an order": partial(calls.on_the_way, failures=extent.failures)},
        {"calls of a deletion": partial(calls.of_a_deletion, failures=extent.failures)},
        {"any call": partial(calls.storm, seconds=extent.storm)},
        {"calls of a start": partial(calls.at_the_start, failures=extent.failures)},
        {"crowd": partial(crowd.crowd, orders=extent.orders, seconds=extent.orders_within, members=extent.members)},
        {"soak": partial(crowd.soak, seconds=extent.soak)},
    )
    for group in groups:
        say(f"{', '.join(group)} …")
        verdicts = await asyncio.gather(*(_tried(drill(folder / name)) for name, drill in group.items()))
        for name, verdict in zip(group, verdicts, strict=True):
            say(f"{name}: {verdict.orders} orders, {'all well' if verdict.good else 'NOT WELL'}")
            for detail in verdict.details:
                say(f"  {detail}")
            total.add(verdict)
    return total


async def _tried(drill: Awaitable[Verdict]) -> Verdict:
    """What the drill found; where the bot did not come so far, that is lost."""
    try:
        return await drill
    except DrillStuck as error:
        return Verdict(lost=1, details=[str(error)])
