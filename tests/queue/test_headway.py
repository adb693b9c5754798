"""Waits are told longer where others go before those who wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.job import Priority
from generation.queue.headway import BOUNDS, HALF_LIFE, SLOWEST, Headway

FAST, RELAX = Priority.FAST, Priority.RELAX


def watched(headway: Headway, *, gain: float, wait: float = 1000.0, seconds: float = 1800.0, start: int = 0) -> None:
    """Look every minute at somebody who comes nearer by `gain` seconds a second."""
    for minute in range(int(seconds / 60) + 1):
        # Two at the same place, who are the same observation.
        headway.see(start + 60 * minute, dict.fromkeys((start, start + 1), (FAST, wait - 60 * minute * gain)))


def test_where_nobody_is_overtaken_a_wait_is_what_it_is() -> None:
    headway = Headway()
    assert headway.stretched(FAST, 1000) == 1000
    watched(headway, gain=1.0, wait=5000)
    assert headway.stretched(FAST, 1900) == pytest.approx(1900)


def test_who_comes_half_as_fast_nearer_waits_twice_as_long() -> None:
    headway = Headway()
    watched(headway, gain=0.5, wait=1900)
    told = headway.stretched(FAST, 1000)
    assert told == pytest.approx(480 + 2 * 520, rel=0.01)  # nothing was seen yet of those who are nearer
    assert headway.stretched(RELAX, 1000) == 1000


def test_what_has_passed_is_forgotten() -> None:
    headway = Headway()
    watched(headway, gain=0.2, wait=1800, seconds=3600)
    slow = headway.stretched(FAST, 1500)
    watched(headway, gain=1.0, wait=1900, seconds=1200, start=10_000)
    assert HALF_LIFE < 1200
    assert headway.stretched(FAST, 1500) < slow / 2


def test_who_gets_farther_away_is_told_no_more_than_is_believed() -> None:
    headway = Headway()
    watched(headway, gain=-1.0, wait=500, seconds=600)
    assert headway.stretched(FAST, 1000) <= 1000 / SLOWEST


@given(
    st.lists(st.tuples(st.floats(1, 500), st.lists(st.floats(0, 20_000), max_size=5)), max_size=20),
    st.floats(0, 20_000),
    st.floats(0, 20_000),
)
def test_whoever_is_first_is_told_so_and_nobody_is_told_less_than_if_no_one_came(
    looks: list[tuple[float, list[float]]], one: float, other: float
) -> None:
    headway, now = Headway(), 0.0
    for seconds, waits in looks:
        now += seconds
        headway.see(now, {job_id: (FAST, wait) for job_id, wait in enumerate(waits)})
    near, far = sorted((one, other))
    assert headway.stretched(FAST, near) <= headway.stretched(FAST, far)
    assert near - 1e-6 <= headway.stretched(FAST, near) <= near / SLOWEST + 1e-6
    assert headway.stretched(FAST, BOUNDS[0]) == BOUNDS[0]
