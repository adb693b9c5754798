"""A time of day that jumps while jobs wait, run and are delivered: by an hour, by days, there and back."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from bot.drills.house import open_house
from bot.drills.people import People, keep_busy
from bot.drills.settled import settled
from bot.drills.verdict import Verdict
from generation.job import MAX_ATTEMPTS

HOUR, DAY = 3600, 86_400
JUMPS = (HOUR, -HOUR, 2 * DAY, -10 * DAY, 30 * DAY, 0)
KILLS = range(1, 1 + 2 * (MAX_ATTEMPTS - 1), 2)  # at which of them


async def drill(folder: Path, *, seconds: float) -> Verdict:
    """People order for so long while the time of day jumps, with a kill at two of the jumps.

    At no more: a job that ran at each of them has an attempt left, so that none may fail.
    """
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=10)
        busy = asyncio.create_task(keep_busy(people, per_second=5, most_open=15))
        try:
            for number, wrong_by in enumerate(JUMPS):
                await asyncio.sleep(seconds / len(JUMPS))
                await asyncio.to_thread(house.clock.write_text, str(wrong_by))
                if number in KILLS:
                    await house.kill()
                    await house.started()
        finally:
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
        return await settled(house)
