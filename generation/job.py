"""The job: one order of a person, and the only ways in which its status may change."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from generation.recipe import Recipe

MAX_ATTEMPTS = 3


class JobStatus(enum.StrEnum):
    """`queued → running → done | failed | cancelled`; the terminal ones come last."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    # A queued job may fail without running: its model or its source picture is gone.
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}),
    # A running job goes back to the queue when its worker died or the program stops.
    JobStatus.RUNNING: frozenset({JobStatus.QUEUED, JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.DONE: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


def may_become(current: JobStatus, wanted: JobStatus) -> bool:
    """Whether a job in `current` may become `wanted`. Everything that changes a status asks here."""
    return wanted in TRANSITIONS[current]


class JobKind(enum.StrEnum):
    """What the person asked for. It words the messages; the recipes alone decide the pictures."""

    IMAGINE = "imagine"
    VARIATIONS = "variations"  # V1 to V4 under a grid
    VARY_SUBTLE = "vary_subtle"
    VARY_STRONG = "vary_strong"
    UPSCALE_SUBTLE = "upscale_subtle"
    UPSCALE_CREATIVE = "upscale_creative"
    ZOOM_OUT = "zoom_out"
    PAN = "pan"
    MAKE_SQUARE = "make_square"
    VARY_REGION = "vary_region"
    EDIT = "edit"  # of an uploaded picture, as is `OUTPAINT`
    OUTPAINT = "outpaint"
    REDRAWN = "redrawn"  # the very recipe of a picture, for the same pixels


class Priority(enum.IntEnum):
    """Smaller runs first. Fast jobs are paid for with credits; relaxed ones are free, and wait behind all fast ones."""

    FAST = 1
    RELAX = 2


def price_of(cost: int, priority: Priority) -> int:
    """Credits that work of that cost is paid with; relaxed jobs are limited in number instead."""
    return 0 if priority is Priority.RELAX else cost


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """An order, checked and priced, before it has a row.

    `guild_id` is None in a direct message. `request` is what the person typed (for messages; pixels come from
    `recipes`), `style` the name of the style that was applied or None. `parent_image_id` is the image that it starts
    from. `cost` is the whole job's work in credits; `price` is what its owner pays. `spoiler`: its pictures are shown
    behind one. `age_restricted`: it was ordered in a channel that is marked so.
    """

    kind: JobKind
    recipes: tuple[Recipe, ...]
    request: str
    style: str | None
    user_id: int
    guild_id: int | None
    channel_id: int
    cost: int
    priority: Priority = Priority.FAST
    parent_image_id: int | None = None
    spoiler: bool = False
    age_restricted: bool = False

    @property
    def price(self) -> int:
        """Credits that are held for the job, and spent when it is done."""
        return price_of(self.cost, self.priority)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(NewJob):
    """A job as storage knows it. Times are aware UTC.

    `message_id` is the status message, once it is known. `attempt` counts the times that it was started; `worker` and
    `lease_until` say who runs it and until when that is believed. `error` is the key of the error that ended it.
    """

    id: int
    status: JobStatus
    created_at: datetime
    message_id: int | None = None
    attempt: int = 0
    worker: str | None = None
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    delivered_at: datetime | None = None
    error: str | None = None
