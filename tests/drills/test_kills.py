"""kill -9, at random moments, in the midst of everything: nothing is lost, nothing done twice, no credit astray."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.drills import kills
from bot.drills.house import START_SECONDS, open_house
from bot.drills.people import DERIVING, People
from bot.drills.settled import settled
from tests.drills.well import assert_well


@pytest.mark.crash
async def test_bots_and_workers_that_are_killed_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    verdict = await kills.drill(tmp_path / "house", kills=6, seed=7)
    assert_well(verdict)
    assert verdict.figures == {"bot_kills": 3, "worker_kills": 3}
    assert verdict.done
    # It was a mixed load that was struck: orders, ✖, and something under a result.
    assert {"imagine", "cancel"} <= set(verdict.acts)
    assert set(verdict.acts) & set(DERIVING)
    assert set(verdict.acts) & {"info", "queue"}


@pytest.mark.crash
async def test_messages_that_were_not_noted_before_a_kill_are_found_again(tmp_path: Path) -> None:
    """Discord has taken a message, and the program dies before it can remember which one it was."""
    async with open_house(tmp_path / "house") as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=2)
        waiting = house.discord.state.public
        await people.order("a held boat --n 1 --steps 20")
        await people.confirm(patience=START_SECONDS)
        await house.must(lambda: sum(len(message.cancellable) for message in waiting()) == 3, START_SECONDS)
        await house.kill()
        house.let_go()
        with closing(sqlite3.connect(house.database, isolation_level=None)) as database:
            database.execute("UPDATE jobs SET message_id = NULL")
        await house.started()
        assert_well(await settled(house, orders=3))
        assert len(list(house.discord.state.public())) == 3
