"""What waiting people are told, and how often that is worked out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.job import Priority
from generation.queue.estimate import Speeds, forecast
from generation.queue.outlooks import FORECAST_AGE, IDLE_SECONDS, PAUSE_TIMES, PIECE, Outlooks
from generation.queue.policy import FairQueue
from tests.queue.test_estimate import CATALOGUE
from tests.queue.test_policy import filled, job, many_jobs, worker


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


class Counted(FairQueue):
    """Counts how often the queue is copied, and how many jobs are then picked from copies."""

    copies = picks = 0

    def copy(self) -> FairQueue:
        Counted.copies += 1
        twin = super().copy()
        pick = twin.pick

        def counted(worker):
            batch = pick(worker)
            Counted.picks += len(batch)
            return batch

        twin.pick = counted
        return twin


def outlooks(queue, clock: Ticking) -> Outlooks:
    return Outlooks(queue=queue, running=[], workers=lambda: [worker("sdxl")], speeds=Speeds(CATALOGUE), clock=clock)


def crowd(count: int, queue: FairQueue | None = None) -> FairQueue:
    """So many jobs of as many people, of which no two fit into one batch."""
    queue = FairQueue() if queue is None else queue
    for number in range(1, count + 1):
        queue.add(job(number, number, pixels=4))
    return queue


def all_pieces(told: Outlooks) -> None:
    """Until there is nothing left to forecast."""
    while told.go_on() != IDLE_SECONDS:
        pass


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


def test_nothing_is_worked_out_again_until_something_moves_or_time_passes() -> None:
    queue, clock = crowd(3, Counted()), Ticking()
    told = outlooks(queue, clock)
    Counted.copies = 0
    for _ in range(3):
        told.of(1)
        told.of(2)
    assert Counted.copies == 1
    clock.seconds += FORECAST_AGE
    told.of(1)
    assert Counted.copies == 2
    assert told.go_on() == IDLE_SECONDS


def test_an_order_costs_the_same_however_many_wait() -> None:
    queue = crowd(20 * PIECE, Counted())
    told = outlooks(queue, Ticking())
    told.catch_up()
    Counted.copies = Counted.picks = 0
    for number in range(20 * PIECE + 1, 20 * PIECE + 101):
        queue.add(job(number, number, pixels=4))
        told.forget()
        assert told.of(number) is not None
    assert Counted.copies == Counted.picks == 0


def test_for_many_it_goes_on_piece_by_piece_with_longer_pauses() -> None:
    queue, clock = crowd(10 * PIECE, Counted()), Ticking(tick=0.001)
    told = outlooks(queue, clock)
    assert told.of(5) is None  # nobody has been looked at
    Counted.picks = 0
    assert told.go_on() >= PAUSE_TIMES * 0.001
    assert PIECE <= Counted.picks <= PIECE + 8
    assert told.of(5) is not None
    assert told.of(10 * PIECE) is None
    all_pieces(told)
    last = told.of(10 * PIECE)
    assert last is not None
    assert last.position == 10 * PIECE


def test_those_next_in_turn_are_told_of_by_the_forecast_that_is_being_made() -> None:
    queue, clock = crowd(10 * PIECE), Ticking()
    told = outlooks(queue, clock)
    told.catch_up()
    for number in range(1, 51):
        queue.remove(number)
    told.forget()
    stale, far = told.of(60), told.of(10 * PIECE)
    told.go_on()
    fresh, still_far = told.of(60), told.of(10 * PIECE)
    assert stale is not None
    assert fresh is not None
    assert (stale.position, fresh.position) == (60, 10)
    assert far == still_far


@settings(max_examples=60, deadline=None)
@given(jobs=many_jobs(priorities=True), newcomer=st.integers(1, 6), cost=st.integers(1, 8), relaxed=st.booleans())
def test_whoever_comes_into_a_crowd_is_told_a_place_near_the_true_one(jobs, newcomer, cost, relaxed) -> None:
    queue = filled(jobs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generation.queue.outlooks.PIECE", 0)
        told = outlooks(queue, Ticking())
        told.catch_up()
        new = job(10_000, newcomer, cost=cost, priority=Priority.RELAX if relaxed else Priority.FAST)
        queue.add(new)
        told.forget()
        place = told.of(new.id)
    truth = forecast(queue, [(worker("sdxl"), 0.0)], Speeds(CATALOGUE))[new.id]
    assert place is not None
    # Neighbours in a batch and those whose turn is the same may change places.
    assert abs(place.position - truth.position) <= 8


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


def test_in_a_crowd_too_paused_ones_are_told_that_they_are() -> None:
    queue = crowd(3 * PIECE)
    queue.add(job(9000, 9000, guild_id=7))
    queue.pause(7)
    told = outlooks(queue, Ticking())
    told.catch_up()
    queue.add(job(9001, 9001, guild_id=7))
    told.forget()
    known, new = told.of(9000), told.of(9001)
    assert known is not None
    assert new is not None
    assert (known.paused, new.paused) == (True, True)
    assert known.position <= new.position
