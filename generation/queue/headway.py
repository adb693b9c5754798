"""How fast people really come nearer to their turn: others who order later may go before them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from generation.job import Priority

# Seconds of a forecast wait, where one kind of wait ends and another begins: who is far from their turn is overtaken by
# more of those who come. What is due within the first of them is as good as begun.
BOUNDS = (30.0, 120.0, 480.0, 1920.0, 7680.0)
# From this kind on a wait is longer than a rush lasts: the headway of now is believed by half (its square root).
BEYOND_RUSH = 4
# Two forecasts are compared when they are so many seconds apart; half of what was seen is forgotten after `HALF_LIFE`.
INTERVAL = 30.0
HALF_LIFE = 600.0
# The slowest headway that is believed, as a share of what it would be if nobody else came: a minute is told as ten at
# most.
SLOWEST = 0.1


@dataclass(slots=True)
class _Seen:
    gained: float = 0.0
    elapsed: float = 0.0

    def headway(self) -> float:
        return 1.0 if self.elapsed <= 0 else min(1.0, max(SLOWEST, self.gained / self.elapsed))


class Headway:
    """Compares forecasts of the same jobs, which say when they would begin if nobody else came. Pure."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Priority, int], _Seen] = {}
        self._before: tuple[float, Mapping[int, tuple[Priority, float]]] = (-math.inf, {})

    def see(self, now: float, waits: Mapping[int, tuple[Priority, float]]) -> None:
        """A forecast: for each job that waits its class and the seconds until it begins."""
        then, before = self._before
        elapsed = now - then
        if elapsed < INTERVAL:
            return
        self._before = (now, waits)
        sums: dict[tuple[Priority, int], _Seen] = {}
        for job_id, (priority, wait) in waits.items():
            if job_id in before:
                seen = sums.setdefault((priority, bisect_right(BOUNDS, before[job_id][1])), _Seen())
                seen.gained += before[job_id][1] - wait
                seen.elapsed += elapsed
        kept = 0.5 ** (elapsed / HALF_LIFE)
        for key, new in sums.items():
            # However many jobs wait, they were overtaken by the same newcomers: together they are one observation.
            jobs = new.elapsed / elapsed
            seen = self._seen.setdefault(key, _Seen())
            seen.gained = seen.gained * kept + new.gained / jobs
            seen.elapsed = seen.elapsed * kept + elapsed

    def stretched(self, priority: Priority, wait: float) -> float:
        """Seconds until a job really begins that would begin in so many."""
        seconds = min(wait, BOUNDS[0])
        for kind, begin in enumerate(BOUNDS, start=1):
            if wait <= begin:
                break
            end = BOUNDS[kind] if kind < len(BOUNDS) else math.inf
            seconds += (min(wait, end) - begin) / self._headway(priority, kind)
        return seconds

    def _headway(self, priority: Priority, kind: int) -> float:
        """Where nobody waited so long yet, what was seen of those who waited less long."""
        known = (self._seen.get((priority, each)) for each in range(kind, 0, -1))
        headway = next((seen.headway() for seen in known if seen is not None), 1.0)
        return math.sqrt(headway) if kind >= BEYOND_RUSH else headway
