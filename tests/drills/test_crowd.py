"""Many people at once, and for long."""

from __future__ import annotations

from pathlib import Path

from bot.drills import crowd
from tests.drills.well import assert_well

# What a bot may grow by in so short a time, while caches fill.
MEGABYTES, HANDLES = 12, 3


async def test_many_orders_of_many_members_are_all_answered_in_time(tmp_path: Path) -> None:
    verdict = await crowd.crowd(tmp_path / "house", orders=80, seconds=5, members=20)
    assert_well(verdict)
    assert verdict.done == 80
    assert verdict.figures["crowd_late"] == 0


async def test_a_bot_at_work_does_not_grow(tmp_path: Path) -> None:
    verdict = await crowd.soak(tmp_path / "house", seconds=12)
    assert_well(verdict)
    assert verdict.figures["soak_megabytes"] < MEGABYTES
    assert verdict.figures["soak_handles"] <= HANDLES
