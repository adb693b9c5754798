"""Orders that come whatever becomes of those before them, so that the same ones can be put before any policy."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from generation.job import Priority
from generation.queue.queued import QueuedJob

HOUR = 3600.0
DAY = 24 * HOUR
# When people are there: the weight of each hour of the day, which is quiet by night and busy in the evening.
HOURS = (2, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6, 7, 6, 6, 6, 7, 9, 11, 13, 14, 13, 9, 5)
MAX_BATCH = 4
ROOM = MAX_BATCH * 1024**2  # pixels that share a forward pass
SHAPES = ("square", "square", "wide", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An order and its moment, in seconds since the day began."""

    time: float
    job: QueuedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is ordered: how many pictures, the area of each, and its work, both in native pictures."""

    pictures: int
    area: float
    work: float


# A grid, one picture, an upscale, a grid of twice the steps, and a grid of large pictures.
KINDS = (
    Kind(pictures=4, area=1.0, work=1.0),
    Kind(pictures=1, area=1.0, work=1.0),
    Kind(pictures=1, area=4.0, work=3.0),
    Kind(pictures=4, area=1.0, work=2.0),
    Kind(pictures=4, area=2.25, work=3.4),
)


def job_of(
    kind: Kind,
    shape: Hashable,
    *,
    id: int,
    user_id: int,
    model: str,
    loras: tuple[str, ...] = (),
    priority: Priority = Priority.FAST,
    guild_id: int | None = None,
) -> QueuedJob:
    """The policy's view of such an order; what has the same kind, shape, model and LoRAs shares a forward pass."""
    work = kind.pictures * kind.work
    return QueuedJob(
        id=id,
        user_id=user_id,
        priority=priority,
        cost=max(1, round(work)),
        model=model,
        loras=loras,
        batch_key=(model, loras, kind.area, kind.work, shape),
        pixels=round(kind.pictures * kind.area * 1024**2),
        room=ROOM,
        work=work,
        guild_id=guild_id,
    )
