"""Workers that hang, that stop altogether, and that have too little memory for one job of a batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from bot.drills.house import HANG_SECONDS, START_SECONDS, House, open_house
from bot.drills.people import People
from bot.drills.settled import settled
from bot.drills.verdict import Verdict
from generation.errors import OutOfMemory, WorkerLost

SHORT_HANG_SECONDS = 4.0  # each of the three attempts takes as long
MEMBERS = 6
NEIGHBOURS = 3


async def worker_hangs(folder: Path, *, how: str) -> Verdict:
    """`hang`: a step never ends; `freeze`: the whole process stops. The job that does it fails, and no other does."""
    return await _one_bad_job(folder, how, expected=WorkerLost.key, hang_seconds=SHORT_HANG_SECONDS)


async def out_of_memory(folder: Path) -> Verdict:
    """A batch is too much because of one job: it alone fails, those beside it are drawn without it."""
    return await _one_bad_job(folder, "huge", expected=OutOfMemory.key, splits=True)


async def _one_bad_job(
    folder: Path, word: str, *, expected: str, splits: bool = False, hang_seconds: float = HANG_SECONDS
) -> Verdict:
    """`splits`: what is looked for too is that it was begun in one batch with others, which was split."""
    async with open_house(folder, hang_seconds=hang_seconds) as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=MEMBERS)
        # While the first is held the others come together, of one size: they are one batch then.
        await people.order("a held boat --n 1 --steps 10", member=0)
        await house.must(lambda: house.batches, START_SECONDS)
        for member in range(1, NEIGHBOURS + 1):
            await people.order("a boat --n 1 --steps 5", member=member)
        bad = await people.order(f"a {word} boat --n 1 --steps 5", member=NEIGHBOURS + 1)
        await house.must(lambda: _on_their_way(house) == NEIGHBOURS + 2, START_SECONDS)
        house.let_go()
        verdict = await settled(house, orders=NEIGHBOURS + 2)
        assert bad is not None
        async with house.storage() as storage:
            accounts = await storage.books.accounts()
        for account in accounts:
            is_bad = account.request_key == str(bad.id)
            if is_bad and splits:
                _look_for_a_split(verdict, house.batches, account.job.id)
            error = expected if is_bad else None
            if account.job.error != error:
                verdict.lose(f"job {account.job.id} ended with {account.job.error}, not {error}")
        return verdict


def _on_their_way(house: House) -> int:
    """How many jobs were said to be on their way: those are in the queue."""
    return sum(len(message.cancellable) for message in house.discord.state.public())


def _look_for_a_split(verdict: Verdict, batches: Sequence[Sequence[int]], bad: int) -> None:
    """The bad job was begun in one batch with others; then those were drawn without it, and it was tried alone."""
    with_it = [number for number, batch in enumerate(batches) if bad in batch]
    neighbours = {*batches[with_it[0]]} - {bad} if with_it else set()
    if not neighbours:
        verdict.lose(f"the batches were {batches}: job {bad} was never begun with others")
        return
    without_it = {job for batch in batches[with_it[0] :] if bad not in batch for job in batch}
    if neighbours - without_it or len(batches[with_it[-1]]) > 1:
        verdict.lose(f"the batches were {batches}: job {bad} and those beside it were not split")
