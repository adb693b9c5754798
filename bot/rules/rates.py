"""How often one member may ask for something: orders, pictures to be looked at, and anything at all, per minute.

Discord lets everybody press and type as fast as they like. Credits and the number of waiting jobs bound what is drawn;
these bound what it costs to be asked. They count in this process's memory and hold for moderators too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from generation.clock import Clock
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.orders import Customer
    from generation.job import NewJob

MINUTE = 60.0  # seconds
MANY = 1000  # people remembered before those are forgotten of whom nothing counts any more


class TooFast(RequestRejected):
    """A member did so many things within a minute. Fields: `limit`, `again_at`."""

    key = "too_fast"


class TooManyOrdersAMinute(RequestRejected):
    """A member ordered so often within a minute. Fields: `limit`, `again_at`."""

    key = "too_many_orders_a_minute"


class TooManyPicturesAMinute(RequestRejected):
    """A member brought so many pictures within a minute. Fields: `limit`, `again_at`."""

    key = "too_many_pictures_a_minute"


@dataclass(frozen=True, slots=True)
class _Taken:
    at: float
    key: str | None


class Rate:
    """So many within any minute, for each person by themselves. What is refused does not count."""

    def __init__(self, refusal: type[RequestRejected], *, per_minute: int, clock: Clock) -> None:
        self._refusal = refusal
        self._limit = per_minute
        self._clock = clock
        self._taken: dict[int, deque[_Taken]] = {}
        self._many = MANY

    def take(self, user_id: int, key: str | None = None) -> None:
        """Count one, unless one of that key is counted already. Raises the refusal, which says when it would be taken.

        A key is that of one request, which Discord may send twice.
        """
        now = self._clock.monotonic()
        if len(self._taken) > self._many:
            self._taken = {who: taken for who, taken in self._taken.items() if now - taken[-1].at < MINUTE}
            self._many = max(MANY, 2 * len(self._taken))  # so that this is not done at every call
        taken = self._taken.setdefault(user_id, deque())
        while taken and now - taken[0].at >= MINUTE:
            taken.popleft()
        if key is not None and any(one.key == key for one in taken):
            return
        if len(taken) >= self._limit:
            again_at = self._clock.now() + timedelta(seconds=taken[0].at + MINUTE - now)
            raise self._refusal(limit=self._limit, again_at=again_at)
        taken.append(_Taken(now, key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The three that there are: of all that is typed, pressed and filled in, and of what costs more than that."""

    interactions: Rate
    orders: Rate
    pictures: Rate

    @classmethod
    def of(
        cls, *, interactions_per_minute: int, orders_per_minute: int, pictures_per_minute: int, clock: Clock
    ) -> Rates:
        """By the limits of the configuration."""
        return cls(
            interactions=Rate(TooFast, per_minute=interactions_per_minute, clock=clock),
            orders=Rate(TooManyOrdersAMinute, per_minute=orders_per_minute, clock=clock),
            pictures=Rate(TooManyPicturesAMinute, per_minute=pictures_per_minute, clock=clock),
        )


class OrderRate:
    """The rule: a series counts once when it is asked about and once when it is placed, however many jobs it has."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises `TooManyOrdersAMinute`."""
        self._rate.take(customer.user_id, customer.request_key)
