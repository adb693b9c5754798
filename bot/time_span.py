"""How long something shall last, as people type it: `30m`, `12h`, `7d`, `2 weeks`, `1d 12h`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

from generation.errors import RequestRejected

LONGEST = timedelta(days=3650)
_UNITS = {
    unit: timedelta(minutes=minutes)
    for units, minutes in (
        (("m", "min", "minute", "minutes"), 1),
        (("h", "hour", "hours"), 60),
        (("d", "day", "days"), 24 * 60),
        (("w", "week", "weeks"), 7 * 24 * 60),
    )
    for unit in units
}
_PART = re.compile(r"\s*([0-9]{1,7})\s*([a-z]{1,7})[\s,]*", re.ASCII)


class TimeSpanInvalid(RequestRejected):
    """What was typed is no time span, or one that is too long. Fields: `value`, `days` (the longest)."""

    key = "time_span_invalid"


def parse_time_span(text: str) -> timedelta:
    """Whole numbers with units from minutes to weeks, added up: one minute to ten years. Raises `TimeSpanInvalid`."""
    rest, span = text.strip().lower(), timedelta()
    while rest:
        part = _PART.match(rest)
        if part is None or part[2] not in _UNITS:
            raise TimeSpanInvalid(value=text, days=LONGEST.days)
        span = min(span + int(part[1]) * _UNITS[part[2]], LONGEST + timedelta(days=1))
        rest = rest[part.end() :]
    if not timedelta() < span <= LONGEST:
        raise TimeSpanInvalid(value=text, days=LONGEST.days)
    return span
