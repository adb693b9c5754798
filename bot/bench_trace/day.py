"""A seeded day of orders for a fleet: how many come when, and what for.

Orders are a Poisson process whose rate follows the hours, and is several times as high in bursts: something was
announced, or a picture goes around. Who orders, with which model and with which LoRA are each Zipf's: the second most
popular is asked for a certain share as often as the first, the third less, and so on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from bot.simulation.arrivals import DAY, HOUR, HOURS, KINDS, SHAPES, Arrival, Kind, job_of
from generation.job import Priority

ORDERS = 12_000  # in the mean
ORDERS_OF_EACH = 4.0  # how many a member orders in the mean
BURSTS = 10
BURST_SECONDS = 600.0
BURST_RATE = 3.0  # times what is usual at that hour
MODELS = tuple(f"model {number}" for number in range(1, 7))
LORAS = tuple(f"lora {number}" for number in range(1, 41))
# By which power of its rank something is less popular than the first.
MEMBER_POWER, MODEL_POWER, LORA_POWER = 0.4, 1.5, 1.1
LORA_SHARE = 0.45  # of the orders
RELAXED_SHARE = 0.15
KIND_WEIGHTS = (55, 22, 10, 8, 5)  # of `KINDS`


def trace(seed: int, *, orders: int = ORDERS) -> tuple[Arrival, ...]:
    """All orders of the day by their time; the same seed gives the same day."""
    chance = random.Random(seed)
    members = _Zipf(range(1, max(2, round(orders / ORDERS_OF_EACH)) + 1), MEMBER_POWER)
    models, loras = _Zipf(range(len(MODELS)), MODEL_POWER), _Zipf(range(len(LORAS)), LORA_POWER)
    return tuple(
        Arrival(
            time=time,
            job=job_of(
                _kind(chance),
                chance.choice(SHAPES),
                id=number,
                user_id=members.draw(chance),
                model=MODELS[models.draw(chance)],
                loras=(LORAS[loras.draw(chance)],) if chance.random() < LORA_SHARE else (),
                priority=Priority.RELAX if chance.random() < RELAXED_SHARE else Priority.FAST,
            ),
        )
        for number, time in enumerate(_moments(chance, orders), start=1)
    )


def _moments(chance: random.Random, orders: int) -> Iterator[float]:
    """When orders come: candidates at the day's highest rate, of which each stays with the share of its moment's."""
    bursts = sorted(chance.uniform(0, DAY - BURST_SECONDS) for _ in range(BURSTS))
    weights = [_weight(hour * HOUR, ()) for hour in range(24)]
    usual = sum(weights) * HOUR
    more = sum(_weight(begin, bursts) - _weight(begin, ()) for begin in bursts) * BURST_SECONDS
    rate = orders / (usual + more)
    highest = max(HOURS) * BURST_RATE
    time = chance.expovariate(rate * highest)
    while time < DAY:
        if chance.random() * highest < _weight(time, bursts):
            yield time
        time += chance.expovariate(rate * highest)


def _weight(time: float, bursts: Sequence[float]) -> float:
    """How many orders come then, beside those of other moments."""
    bursting = any(begin <= time < begin + BURST_SECONDS for begin in bursts)
    return HOURS[int(time // HOUR)] * (BURST_RATE if bursting else 1.0)


def _kind(chance: random.Random) -> Kind:
    return chance.choices(KINDS, weights=KIND_WEIGHTS)[0]


class _Zipf:
    """Numbers of which each is drawn by its rank among them."""

    def __init__(self, numbers: Sequence[int], power: float) -> None:
        self._numbers = numbers
        self._shares = list(accumulate(rank**-power for rank in range(1, len(numbers) + 1)))

    def draw(self, chance: random.Random) -> int:
        return chance.choices(self._numbers, cum_weights=self._shares)[0]
