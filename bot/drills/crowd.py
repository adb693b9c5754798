"""A thousand orders in a minute by two hundred members, and then a long time with fewer."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from bot.drills.discord_state import ANSWER_SECONDS, Deed
from bot.drills.house import House, open_house
from bot.drills.people import People, keep_busy
from bot.drills.settled import settled
from bot.drills.verdict import Verdict

MEGABYTE = 2**20
# What a bot and its worker may grow by from one third of a soak to the next. At about four orders a second a leak of
# one handle, or of thirty kilobytes, an order goes beyond it in a minute; pools and caches that still fill do not.
MOST_MEGABYTES, MOST_HANDLES = 7.0, 6


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
        verdict = await settled(house, seconds=10 * seconds)
        told = [deed for deed in deeds if deed is not None]
        if missing := orders - verdict.orders:
            verdict.lose(f"{missing} of {orders} orders were not taken", missing)
        verdict.figures = _answers(told)
        if late := int(verdict.figures["crowd_late"]):
            verdict.lose(f"{late} of {orders} orders had no answer within {ANSWER_SECONDS:g} seconds", late)
        return verdict


async def soak(folder: Path, *, seconds: float) -> Verdict:
    """A steady load for so long, with everything that people do; what the bot holds is looked at all the while.

    Figures: `soak_megabytes` and `soak_handles`, by which it grew from the second third to the last, by their medians.
    Beyond `MOST_MEGABYTES` or `MOST_HANDLES` it is lost.
    """
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=20)
        busy = asyncio.create_task(keep_busy(people, per_second=8, most_open=15))
        try:
            held = await _watch(house, seconds)
        finally:
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
        verdict = await settled(house)
        if verdict.failed:
            verdict.lose(f"{verdict.failed} jobs failed, and nothing had gone wrong", verdict.failed)
        _look_for_leaks(verdict, held)
        return verdict


async def _watch(house: House, seconds: float) -> list[tuple[float, int]]:
    """Megabytes and open files of the bot's process and its worker's, every half second."""
    held, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        try:
            processes = [house.process, *house.workers()]
            memory = sum(process.memory_info().rss for process in processes) / MEGABYTE
            held.append((memory, sum(process.num_fds() for process in processes)))
        except psutil.NoSuchProcess:
            continue
    return held


def _look_for_leaks(verdict: Verdict, held: Sequence[tuple[float, int]]) -> None:
    """Caches fill in the first third; what still grows after it by more than these bounds grows for ever."""
    third = len(held) // 3
    middle, last = held[third : 2 * third], held[2 * third :]
    memory, handles = (
        statistics.median(sample[which] for sample in last) - statistics.median(sample[which] for sample in middle)
        for which in (0, 1)
    )
    if memory > MOST_MEGABYTES:
        verdict.lose(f"it grew by {memory:.1f} MB from the second third to the last, more than {MOST_MEGABYTES:g}")
    if handles > MOST_HANDLES:
        verdict.lose(f"it held {handles:g} files more in the last third than in the second: at most {MOST_HANDLES}")
    verdict.figures = {"soak_megabytes": memory, "soak_handles": handles}


def _answers(deeds: list[Deed]) -> dict[str, float]:
    answered = [1000 * (deed.answered_at - deed.sent_at) for deed in deeds if deed.answer is not None]
    late = len(deeds) - sum(took <= 1000 * ANSWER_SECONDS for took in answered)
    percentiles = statistics.quantiles(answered, n=100, method="inclusive")
    return {"crowd_answer_p50_ms": percentiles[49], "crowd_answer_p99_ms": percentiles[98], "crowd_late": late}
