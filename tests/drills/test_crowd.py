"""Many people at once, and for long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.drills import crowd
from bot.drills.verdict import Verdict
from tests.drills.well import assert_well


async def test_many_orders_of_many_members_are_all_answered_in_time(tmp_path: Path) -> None:
    verdict = await crowd.crowd(tmp_path / "house", orders=80, seconds=5, members=20)
    assert_well(verdict)
    assert verdict.done == 80
    assert verdict.figures["crowd_late"] == 0


async def test_a_bot_at_work_does_not_grow(tmp_path: Path) -> None:
    verdict = await crowd.soak(tmp_path / "house", seconds=15)
    assert_well(verdict)  # its bounds are those of a whole bench


@pytest.mark.parametrize(("megabytes", "handles", "good"), [(0.1, 0.1, True), (0.2, 0, False), (0, 0.2, False)])
def test_a_bot_that_grows_with_each_sample_is_seen(megabytes: float, handles: float, good: bool) -> None:
    """Half a second each: a minute between the thirds."""
    verdict = Verdict()
    held = [(120 + megabytes * number / 2, int(20 + handles * number / 2)) for number in range(240)]
    crowd._look_for_leaks(verdict, held[:120], held[120:])
    assert verdict.good is good
    assert verdict.figures["soak_megabytes"] == pytest.approx(60 * megabytes)


@pytest.mark.parametrize(
    ("handles", "last_two"),
    [
        ([20, 30, 30, 90], [30, 30]),  # what fills in the first third is no leak
        ([20, 30, 50, 70, 71, 99], [70, 71]),  # late, but it ends
        (list(range(20, 900, 20)), [220, 240]),  # it does not
    ],
)
async def test_a_soak_goes_on_while_it_grows_and_not_for_ever(handles: Sequence[int], last_two: Sequence[int]) -> None:
    thirds = iter(handles)

    async def third() -> Sequence[crowd.Sample]:
        return [(120.0, next(thirds))] * 3

    assert [samples[0][1] for samples in await crowd._last_two(third)] == last_two
