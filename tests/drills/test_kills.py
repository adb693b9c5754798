"""kill -9, at random moments, in the midst of everything: nothing is lost, nothing done twice, no credit astray."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.drills import kills
from tests.drills.well import assert_well


@pytest.mark.crash
async def test_bots_and_workers_that_are_killed_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    verdict = await kills.drill(tmp_path / "house", kills=6, seed=7)
    assert_well(verdict)
    assert verdict.figures == {"bot_kills": 3, "worker_kills": 3}
    assert verdict.done
