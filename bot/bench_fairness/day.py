"""A seeded day of a community: who orders what when."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.simulation.arrivals import HOUR, HOURS, KINDS, SHAPES, Arrival, job_of
from generation.job import Priority
from generation.queue.queued import QueuedJob

MEMBERS = 1000
SERVERS = 12
# Shares of the members: some send ten orders at a time, and a few always want more than there is.
BURSTY, GREEDY, REGULAR = 0.06, 0.04, 0.2
BURST = 10  # what `quota.max_queued_jobs` allows as shipped
RELAXED_BURST = 4  # and `quota.max_queued_relaxed_jobs`
MODELS, MODEL_WEIGHTS = ("sdxl", "other"), (85, 15)
# What people like to order of `KINDS`: most the usual, some little, some much.
TASTES, TASTE_WEIGHTS = ((66, 12, 10, 8, 4), (30, 60, 10, 0, 0), (30, 5, 10, 35, 20)), (70, 15, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    time: float
    user_id: int
    priority: Priority = Priority.FAST


def day(seed: int, *, members: int = MEMBERS) -> tuple[Arrival, ...]:
    """All orders of a day by their time; the same seed gives the same day."""
    chance = random.Random(seed)
    wishes = sorted(
        (wish for user_id in range(1, members + 1) for wish in _wishes(chance, user_id)),
        key=lambda wish: wish.time,
    )
    servers = {
        user_id: chance.choices(range(1, SERVERS + 1), weights=[1 / rank for rank in range(1, SERVERS + 1)])[0]
        for user_id in range(1, members + 1)
    }
    tastes = dict(zip(servers, chance.choices(TASTES, weights=TASTE_WEIGHTS, k=members), strict=True))
    return tuple(
        Arrival(time=wish.time, job=_job(chance, job_id, wish, servers[wish.user_id], tastes[wish.user_id]))
        for job_id, wish in enumerate(wishes, start=1)
    )


def _wishes(chance: random.Random, user_id: int) -> Iterator[_Wish]:
    """When one member orders. Most look at what came before they order again."""
    kind = chance.random()
    if kind < GREEDY:
        yield from _greedy(chance, user_id)
    elif kind < GREEDY + BURSTY:
        for _ in range(chance.randint(1, 2)):
            yield from _burst(chance, user_id, _moment(chance), BURST)
    else:
        sessions, most = (chance.randint(1, 3), 10) if kind < GREEDY + BURSTY + REGULAR else (1, 6)
        for _ in range(sessions):
            time = _moment(chance)
            for _ in range(chance.randint(1, most)):
                yield _Wish(time=time, user_id=user_id)
                time += chance.expovariate(1 / 90.0)


def _greedy(chance: random.Random, user_id: int) -> Iterator[_Wish]:
    """As many as may wait, again and again all evening, and relaxed ones whenever they may."""
    for hour in (18.0, 18.7, 19.4, 20.1):
        yield from _burst(chance, user_id, hour * HOUR + chance.uniform(0, 300), BURST)
    for hour in (2, 6, 9, 12, 15, 18):
        time = hour * HOUR + chance.uniform(0, HOUR)
        yield from _burst(chance, user_id, time, RELAXED_BURST, priority=Priority.RELAX)


def _burst(
    chance: random.Random, user_id: int, time: float, count: int, priority: Priority = Priority.FAST
) -> Iterator[_Wish]:
    """So many orders within a few seconds."""
    for _ in range(count):
        yield _Wish(time=time, user_id=user_id, priority=priority)
        time += chance.uniform(0.2, 2.0)


def _moment(chance: random.Random) -> float:
    hour = chance.choices(range(24), weights=HOURS)[0]
    return (hour + chance.random()) * HOUR


def _job(chance: random.Random, job_id: int, wish: _Wish, guild_id: int, taste: Sequence[int]) -> QueuedJob:
    kind = chance.choices(KINDS, weights=taste)[0]
    model = chance.choices(MODELS, weights=MODEL_WEIGHTS)[0]
    return job_of(
        kind,
        chance.choice(SHAPES),
        id=job_id,
        user_id=wish.user_id,
        model=model,
        priority=wish.priority,
        guild_id=guild_id,
    )
