"""Disks, databases, workers, memory and clocks that go wrong under a bot at work."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.drills import clocks, storage_trouble, worker_trouble
from bot.drills.verdict import Verdict
from tests.drills.well import assert_well


async def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    verdict = await storage_trouble.disk_full(tmp_path / "house", seconds=2)
    assert_well(verdict)
    assert verdict.failed == 0


async def test_a_database_that_another_program_holds_for_ten_seconds(tmp_path: Path) -> None:
    verdict = await storage_trouble.database_locked(tmp_path / "house", seconds=10)
    assert_well(verdict)
    assert verdict.failed == 0


@pytest.mark.crash
@pytest.mark.parametrize("how", ["hang", "freeze"])
async def test_a_job_that_stops_its_worker_fails_alone(tmp_path: Path, how: str) -> None:
    verdict = await worker_trouble.worker_hangs(tmp_path / "house", how=how)
    assert_well(verdict)
    assert (verdict.done, verdict.failed) == (4, 1)


async def test_a_batch_that_is_too_much_for_the_memory_is_split_and_one_job_fails(tmp_path: Path) -> None:
    verdict = await worker_trouble.out_of_memory(tmp_path / "house")
    assert_well(verdict)
    assert (verdict.done, verdict.failed) == (4, 1)


@pytest.mark.parametrize(
    "batches",
    [[[1], [2], [3], [4]], [[1], [2, 3, 4]], [[1], [2, 3, 4], [4]], [[1], [2, 3], [2, 3, 4], [2], [4]]],
    ids=str,
)
def test_jobs_that_were_not_together_or_not_split_are_seen(batches: list[list[int]]) -> None:
    verdict = Verdict()
    worker_trouble._look_for_a_split(verdict, batches, 4)
    assert not verdict.good


@pytest.mark.crash
async def test_a_time_of_day_that_jumps(tmp_path: Path) -> None:
    verdict = await clocks.drill(tmp_path / "house", seconds=6)
    assert_well(verdict)
    assert verdict.failed == 0
