"""kill -9 of the bot or its worker, at random moments, while people order, press and cancel."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import psutil

from bot.drills.discord_server import until
from bot.drills.house import START_SECONDS, House, open_house
from bot.drills.people import DERIVING, People, keep_busy
from bot.drills.settled import settled
from bot.drills.verdict import Verdict

MEMBERS = 20
ACTS_PER_SECOND = 12.0
MOST_OPEN = 30  # jobs on their way: people wait for each other's pictures, too
# Of the bot's kills this part falls anywhere into its start, the rest into its work.
IN_THE_START = 0.2
START_TAKES = 1.5  # seconds, about
LONGEST_PEACE = 2.5  # seconds of work before a kill


async def drill(folder: Path, *, kills: int, seed: int) -> Verdict:
    """So many kills, half of them of the bot and half of its worker; then the bot may finish in peace.

    They begin once people have done something of each kind: then it is a mixed load that is struck.

    Figures: `bot_kills` and `worker_kills`.
    """
    dice = random.Random(seed)
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, dice, count=MEMBERS)
        busy = asyncio.create_task(keep_busy(people, per_second=ACTS_PER_SECOND, most_open=MOST_OPEN))
        try:
            await house.must(lambda: _is_mixed(people), START_SECONDS)
            bots = 0
            for number in range(kills):
                if number % 2:
                    await _kill_worker(house, dice)
                else:
                    bots += 1
                    await _kill_bot(house, dice)
        finally:
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)
        await house.must(lambda: house.discord.connected, START_SECONDS)
        verdict = await settled(house)
        verdict.acts = people.done
        verdict.figures = {"bot_kills": bots, "worker_kills": kills - bots}
        return verdict


def _is_mixed(people: People) -> bool:
    """Orders, ✖, something under a result, and a look."""
    done = set(people.done)
    return {"imagine", "cancel"} <= done and bool(done & set(DERIVING)) and bool(done & {"info", "queue"})


async def _kill_bot(house: House, dice: random.Random) -> None:
    if dice.random() < IN_THE_START:
        await asyncio.sleep(dice.uniform(0, START_TAKES))
    else:
        await house.must(lambda: house.discord.connected, START_SECONDS)
        await asyncio.sleep(dice.uniform(0, LONGEST_PEACE))
    await house.kill()
    house.start()


async def _kill_worker(house: House, dice: random.Random) -> None:
    """In whatever state it is, once there is one."""
    await house.must(lambda: house.discord.connected, START_SECONDS)
    await asyncio.sleep(dice.uniform(0, LONGEST_PEACE))
    while not await until(lambda: _killed(house), START_SECONDS):
        await house.must(lambda: False, 0)


def _killed(house: House) -> bool:
    killed = False
    for worker in house.workers():
        try:
            worker.kill()
            killed = True
        except psutil.NoSuchProcess:
            continue
    return killed
