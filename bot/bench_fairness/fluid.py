"""What would be fair to the second: a machine that works for everybody who waits at once, in equal parts.

Generalised processor sharing (Parekh and Gallager 1993, "A generalized processor sharing approach to flow control in
integrated services networks"): no real machine can do it, because a picture is drawn whole, but it says when each job
ought to be ready. A member's own jobs run one after the other. It is written anew here, by the clock and without regard
for `generation/queue/fluid.py`, because it is what that is measured by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.simulation.arrivals import Arrival

NOTHING = 1e-9  # seconds of work that rounding leaves
NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class FairDay:
    """When each job would be ready, by its id; and from when to when each member had jobs that were not."""

    ready: dict[int, float] = field(default_factory=dict)
    wanting: dict[int, list[tuple[float, float]]] = field(default_factory=dict)


@dataclass(slots=True)
class _Part:
    job_id: int
    left: float  # seconds of the whole machine


def fair_day(
    arrivals: Sequence[Arrival], seconds: Mapping[int, float], away: Sequence[tuple[float, float]] = ()
) -> FairDay:
    """Serve these jobs so, each in the seconds that the whole machine takes for it.

    While it is `away`, from and until then, it does something else that cannot be interrupted either.
    """
    told = FairDay()
    lines: dict[int, deque[_Part]] = {}
    since: dict[int, float] = {}
    coming, pauses = deque(arrivals), deque(away)
    time = 0.0
    while coming or lines:
        while pauses and pauses[0][1] <= time:
            pauses.popleft()
        arrival = coming[0].time if coming else NEVER
        if pauses and pauses[0][0] <= time:
            time = min(arrival, pauses[0][1])
        else:
            nearest = min(line[0].left for line in lines.values()) * len(lines) if lines else NEVER
            until = min(time + nearest, arrival, pauses[0][0] if pauses else NEVER)
            for user_id, line in list(lines.items()):
                line[0].left -= (until - time) / len(lines)
                if line[0].left <= NOTHING:
                    told.ready[line.popleft().job_id] = until
                    if not line:
                        told.wanting.setdefault(user_id, []).append((since.pop(user_id), until))
            for user_id in [user_id for user_id, line in lines.items() if not line]:
                del lines[user_id]
            time = until
        while coming and coming[0].time <= time:
            job = coming.popleft().job
            since.setdefault(job.user_id, time)
            lines.setdefault(job.user_id, deque()).append(_Part(job.id, seconds[job.id]))
    return told
