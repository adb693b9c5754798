"""A disk that is full, and a database that another program holds: for a while, under load."""

from __future__ import annotations

import asyncio
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.config_sections import SQLITE
from bot.drills.discord_server import until
from bot.drills.discord_state import ANSWER_SECONDS, Deed
from bot.drills.house import START_SECONDS, House, open_house
from bot.drills.people import People
from bot.drills.settled import settled
from bot.drills.verdict import Verdict
from storage.database import Database

MEMBERS = 10
PACE = 0.25  # seconds between two orders


async def disk_full(folder: Path, *, seconds: float) -> Verdict:
    """The disk takes nothing any more for so long; then there is room again. Everyone is answered all the time."""
    async with open_house(folder) as house:
        people = await _at_work(house)
        with _no_room(house):
            deeds = await _order_for(people, seconds)
        await _order_for(people, 1)
        verdict = await settled(house)
        return _with_unanswered(verdict, house, deeds)


async def database_locked(folder: Path, *, seconds: float) -> Verdict:
    """Another program writes to the database for so long. Orders wait, and are taken then."""
    async with open_house(folder) as house:
        people = await _at_work(house)
        async with Database.open(f"{SQLITE}{house.database}") as other_program, other_program.writing():
            deeds = await _order_for(people, seconds)
        verdict = await settled(house)
        return _with_unanswered(verdict, house, deeds)


async def _at_work(house: House) -> People:
    await house.started()
    people = People(house.discord, random.Random(0), count=MEMBERS)
    await _order_for(people, 1)
    await house.must(lambda: house.batches, START_SECONDS)
    return people


async def _order_for(people: People, seconds: float) -> list[Deed]:
    """Orders, some of them slow enough to be running when something happens, and the answers to them."""
    deeds = []
    for number in range(round(seconds / PACE)):
        words = "slow " if number % 4 == 0 else ""
        deeds.append(await people.order(f"a boat {words}--n 1 --steps 5"))
        await asyncio.sleep(PACE)
    told = [deed for deed in deeds if deed is not None]
    await until(lambda: all(deed.answer is not None for deed in told), ANSWER_SECONDS)
    return told


@contextmanager
def _no_room(house: House) -> Iterator[None]:
    """The bot's files can neither grow nor be written to behind their first byte, which to a program is a full disk."""
    limit = house.process.rlimit
    before = limit(resource.RLIMIT_FSIZE)
    limit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        limit(resource.RLIMIT_FSIZE, before)


def _with_unanswered(verdict: Verdict, house: House, deeds: list[Deed]) -> Verdict:
    """Whoever got no answer in time has lost something, too; and so has everyone if the bot is gone."""
    unanswered = sum(deed.answer is None or deed.answered_at - deed.sent_at > ANSWER_SECONDS for deed in deeds)
    if unanswered:
        verdict.lose(f"{unanswered} of {len(deeds)} were not answered", unanswered)
    if not house.running:
        verdict.lose("the bot has ended")
    return verdict
