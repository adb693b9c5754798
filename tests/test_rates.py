"""How often one may ask: so many in any minute, neither more nor fewer, and whoever waits as told gets in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import Config
from bot.orders import Customer
from bot.rules.rates import MANY, MINUTE, OrderRate, Rate, TooFast, TooManyOrdersAMinute
from generation.errors import RequestRejected

# A person, a pause before they ask, and perhaps the key of their request.
asked = st.tuples(st.integers(1, 3), st.floats(0, 70), st.none() | st.sampled_from("abcd"))


@dataclass(slots=True)
class HandClock:
    """Implements `Clock`: goes on only when it is told to."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@given(limit=st.integers(1, 5), steps=st.lists(asked, max_size=60))
def test_any_minute_has_as_many_as_are_allowed_and_refusals_are_only_for_more(
    limit: int, steps: list[tuple[int, float, str | None]]
) -> None:
    clock, counted = HandClock(), dict[int, list[tuple[float, str | None]]]()
    rate = Rate(TooFast, per_minute=limit, clock=clock)
    for person, pause, key in steps:
        clock.seconds += pause
        mine = counted.setdefault(person, [])
        recent = [(at, known) for at, known in mine if clock.seconds - at < MINUTE]
        again = key is not None and key in [known for _, known in recent]
        if len(recent) < limit or again:
            rate.take(person, key)
            if not again:
                mine.append((clock.seconds, key))
            continue
        with pytest.raises(TooFast) as refused:
            rate.take(person, key)
        wait = (refused.value.fields["again_at"] - clock.now()).total_seconds()
        assert recent[0][0] + MINUTE - clock.seconds == pytest.approx(wait, abs=1e-5)


@given(limit=st.integers(1, 5), pauses=st.lists(st.floats(0, 30), min_size=5, max_size=20))
def test_who_waits_as_long_as_told_gets_in(limit: int, pauses: list[float]) -> None:
    clock = HandClock()
    rate = Rate(TooFast, per_minute=limit, clock=clock)
    for pause in pauses:
        clock.seconds += pause
        try:
            rate.take(1)
        except TooFast as refused:
            clock.seconds += (refused.fields["again_at"] - clock.now()).total_seconds() + 1e-5
            rate.take(1)


def test_people_are_forgotten() -> None:
    clock = HandClock()
    rate = Rate(TooFast, per_minute=1, clock=clock)
    for person in range(20 * MANY):
        clock.seconds += 0.1
        rate.take(person)
    assert len(rate._taken) <= 3 * MANY
    with pytest.raises(TooFast):
        rate.take(20 * MANY - 1)


async def test_the_rule_counts_a_request_once_however_often_it_arrives() -> None:
    rule = OrderRate(Rate(TooManyOrdersAMinute, per_minute=1, clock=HandClock()))
    for _ in range(3):
        await rule.check(Customer(user_id=1, guild_id=2, channel_id=3, request_key="a"), [])
    with pytest.raises(TooManyOrdersAMinute):
        await rule.check(Customer(user_id=1, guild_id=2, channel_id=3, request_key="b"), [])
    await rule.check(Customer(user_id=4, guild_id=2, channel_id=3, request_key="b"), [])


def test_the_configuration_sets_all_three() -> None:
    rates = Config().limits.rates(HandClock())
    for rate, limit in ((rates.interactions, 60), (rates.orders, 20), (rates.pictures, 15)):
        for _ in range(limit):
            rate.take(1)
        with pytest.raises(RequestRejected) as refused:
            rate.take(1)
        assert refused.value.fields["limit"] == limit
