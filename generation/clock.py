"""The time, as something that is passed in."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how much of it has passed."""

    def now(self) -> datetime:
        """Aware UTC: for leases and for everything else that is stored."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back: for durations."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        # Not `time.monotonic`, though it is the same clock: simcord makes that one virtual for code that the bot runs.
        return time.perf_counter()
