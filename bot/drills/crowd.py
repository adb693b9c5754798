"""A thousand orders in a minute by two hundred members, and then a long time with fewer."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import psutil

from bot.drills.discord_state import ANSWER_SECONDS, Deed
from bot.drills.house import DrillStuck, House, open_house
from bot.drills.people import People, keep_busy
from bot.drills.settled import PATIENCE, settled
from bot.drills.verdict import Verdict

MEGABYTE = 2**20
Sample: TypeAlias = tuple[float, int]  # megabytes and open files of the bot's process and its worker's
SAMPLE_SECONDS = 0.5
# What a bot and its worker may grow by from one third of a soak to the next. At about four orders a second a leak of
# one handle, or of thirty kilobytes, an order goes beyond it in a minute; pools and caches that still fill do not.
MOST_MEGABYTES, MOST_HANDLES = 7.0, 6
# A soak goes on for so many thirds at most, until one of them stays within those bounds: a bot that a busy machine held
# up fills its pools late, with all that came meanwhile. What leaks goes beyond them in each.
MOST_THIRDS = 12
ACTS_PER_SECOND = 8.0


async def crowd(folder: Path, *, orders: int, seconds: float, members: int) -> Verdict:
    """So many orders at random moments of so many seconds.

    Figures: `crowd_answer_p50_ms`, `crowd_answer_p99_ms`, and `crowd_late`: how many were not answered in time.
    """
    dice = random.Random(0)
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, dice, count=members)
        started, deeds = time.monotonic(), []
        for at in sorted(dice.uniform(0, seconds) for _ in range(orders)):
            await asyncio.sleep(max(0.0, started + at - time.monotonic()))
            deeds.append(await people.order("a boat --n 1 --steps 2"))
        verdict = await settled(house, orders=orders, seconds=max(PATIENCE, 10 * seconds))
        told = [deed for deed in deeds if deed is not None]
        if missing := orders - verdict.orders:
            verdict.lose(f"{missing} of {orders} orders were not taken", missing)
        verdict.figures = _answers(told)
        if late := int(verdict.figures["crowd_late"]):
            verdict.lose(f"{late} of {orders} orders had no answer within {ANSWER_SECONDS:g} seconds", late)
        return verdict


async def soak(folder: Path, *, seconds: float) -> Verdict:
    """A steady load for so long, with everything that people do; what the bot holds is looked at all the while.

    Figures: `soak_megabytes` and `soak_handles`, by which it grew in the last third, by medians. Beyond
    `MOST_MEGABYTES` or `MOST_HANDLES` it goes on for another third; if it grows without end, that is lost.
    """
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=20)
        busy = asyncio.create_task(keep_busy(people, per_second=ACTS_PER_SECOND, most_open=15))
        try:
            last_two = await _last_two(lambda: _watch(house, people, seconds / 3))
        finally:
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
        verdict = await settled(house)
        if verdict.failed:
            verdict.lose(f"{verdict.failed} jobs failed, and nothing had gone wrong", verdict.failed)
        _look_for_leaks(verdict, *last_two)
        return verdict


async def _last_two(third: Callable[[], Awaitable[Sequence[Sample]]]) -> list[Sequence[Sample]]:
    """The last two of three thirds, or of more while it grows."""
    thirds = [await third() for _ in range(3)]
    while _grew(*thirds[-2:]) and len(thirds) < MOST_THIRDS:
        thirds.append(await third())
    return thirds[-2:]


async def _watch(house: House, people: People, seconds: float) -> Sequence[Sample]:
    """A sample every half second; for longer where people have done less than half of what they would in that time."""
    held = list[Sample]()
    end, acts = time.monotonic() + seconds, people.done.total() + seconds * ACTS_PER_SECOND / 2
    while time.monotonic() < end or people.done.total() < acts or not held:
        if not house.running or time.monotonic() > end + PATIENCE:
            raise DrillStuck(house.last_words())
        await asyncio.sleep(SAMPLE_SECONDS)
        try:
            processes = [house.process, *house.workers()]
            memory = sum(process.memory_info().rss for process in processes) / MEGABYTE
            held.append((memory, sum(process.num_fds() for process in processes)))
        except psutil.NoSuchProcess:
            continue
    return held


def _growth(before: Sequence[Sample], after: Sequence[Sample]) -> tuple[float, float]:
    """By how many megabytes and open files."""
    megabytes, handles = (
        statistics.median(sample[which] for sample in after) - statistics.median(sample[which] for sample in before)
        for which in (0, 1)
    )
    return megabytes, handles


def _grew(before: Sequence[Sample], after: Sequence[Sample]) -> bool:
    megabytes, handles = _growth(before, after)
    return megabytes > MOST_MEGABYTES or handles > MOST_HANDLES


def _look_for_leaks(verdict: Verdict, before: Sequence[Sample], after: Sequence[Sample]) -> None:
    """Caches fill in the first third; what still grows by more than these bounds, however long, grows for ever."""
    megabytes, handles = _growth(before, after)
    if megabytes > MOST_MEGABYTES:
        verdict.lose(
            f"it grew by {megabytes:.1f} MB from the last third but one to the last: at most {MOST_MEGABYTES:g}"
        )
    if handles > MOST_HANDLES:
        verdict.lose(f"it held {handles:g} files more in the last third than in the one before: at most {MOST_HANDLES}")
    verdict.figures = {"soak_megabytes": megabytes, "soak_handles": handles}


def _answers(deeds: list[Deed]) -> dict[str, float]:
    answered = [1000 * (deed.answered_at - deed.sent_at) for deed in deeds if deed.answer is not None]
    late = len(deeds) - sum(took <= 1000 * ANSWER_SECONDS for took in answered)
    percentiles = statistics.quantiles(answered, n=100, method="inclusive")
    return {"crowd_answer_p50_ms": percentiles[49], "crowd_answer_p99_ms": percentiles[98], "crowd_late": late}
