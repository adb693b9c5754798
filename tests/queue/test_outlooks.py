"""What waiting people are told, and how often that is worked out."""

from __future__ import annotations

from datetime import UTC, datetime

from generation.job import Priority
from generation.queue.estimate import Speeds
from generation.queue.outlooks import FORECAST_AGE, KEPT_TIMES, Outlooks
from tests.queue.test_estimate import CATALOGUE
from tests.queue.test_policy import filled, job, worker


class Ticking:
    """A clock that goes on by itself each time that somebody looks at it."""

    def __init__(self, tick: float = 0.0) -> None:
        self.seconds = 0.0
        self.tick = tick

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        self.seconds += self.tick
        return self.seconds


def outlooks(queue, clock: Ticking) -> Outlooks:
    return Outlooks(queue=queue, running=[], workers=lambda: [worker("sdxl")], speeds=Speeds(CATALOGUE), clock=clock)


def test_what_came_is_told_of_at_once_and_what_went_is_told_nothing() -> None:
    queue = filled([job(1, 1)])
    told = outlooks(queue, Ticking())
    assert told.of(1) is not None
    queue.add(job(2, 2, cost=4, pixels=4))
    told.forget()
    second = told.of(2)
    assert second is not None
    assert (second.position, second.paused) == (2, False)
    queue.remove(1)
    assert told.of(1) is None


def test_a_forecast_that_took_long_is_kept_whatever_moves() -> None:
    queue, clock = filled([job(1, 1)]), Ticking(tick=1.0)
    told = outlooks(queue, clock)
    assert told.of(1) is not None
    queue.add(job(2, 2))
    told.forget()
    assert told.of(2) is None
    clock.seconds += KEPT_TIMES + FORECAST_AGE
    assert told.of(2) is not None


def test_relaxed_people_are_told_of_all_who_go_before_them_and_paused_ones_that_they_are() -> None:
    queue = filled([job(1, 1, priority=Priority.RELAX), job(2, 2, guild_id=7), job(3, 3)])
    queue.pause(7)
    told = outlooks(queue, Ticking())
    places = {job_id: told.of(job_id) for job_id in (1, 2, 3)}
    assert {job_id: (place.position, place.paused) for job_id, place in places.items() if place} == {
        1: (2, False),
        2: (1, True),
        3: (1, False),
    }
