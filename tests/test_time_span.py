"""Time spans as people type them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.time_span import LONGEST, TimeSpanInvalid, parse_time_span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        (" 7 D ", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("2 weeks", timedelta(weeks=2)),
        ("1d 12h", timedelta(days=1, hours=12)),
        ("1 day, 12 hours,5min", timedelta(days=1, hours=12, minutes=5)),
        ("3650d", LONGEST),
    ],
)
def test_what_is_taken(text: str, span: timedelta) -> None:
    assert parse_time_span(text) == span


@pytest.mark.parametrize("text", ["", " ", "7", "d", "0m", "-1d", "1.5h", "3651d", "1y", "7d ever", "9999999w", "٣d"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(TimeSpanInvalid):
        parse_time_span(text)


@given(st.text())
def test_anything_is_a_span_within_bounds_or_refused(text: str) -> None:
    try:
        span = parse_time_span(text)
    except TimeSpanInvalid:
        return
    assert timedelta(minutes=1) <= span <= LONGEST


@given(st.lists(st.tuples(st.integers(0, 9999999), st.sampled_from("mhdw")), max_size=50))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    units = {"m": 1, "h": 60, "d": 1440, "w": 10080}
    total = sum(count * units[unit] for count, unit in parts)
    text = " ".join(f"{count}{unit}" for count, unit in parts)
    if 1 <= total <= LONGEST.total_seconds() / 60:
        assert parse_time_span(text) == timedelta(minutes=total)
    else:
        with pytest.raises(TimeSpanInvalid):
            parse_time_span(text)
