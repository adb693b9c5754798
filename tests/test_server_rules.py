"""What a server's rules let pass: pure, at their very edges."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.orders import Customer
from bot.rules.account_age import AccountTooYoung, check_account_age
from bot.rules.channels import ChannelNotAllowed, check_channel
from bot.rules.limits import TooLargeHere, TooManyStepsHere, check_limits
from bot.rules.pauses import ServerPaused, check_pause
from generation.job import JobKind, NewJob
from generation.recipe import Recipe
from storage.guild_rules import GuildRules

OPEN = GuildRules()
CUSTOMER = Customer(user_id=1, guild_id=2, channel_id=3, category_ids=(4, 5))
RECIPE = Recipe(prompt="a boat", model="m", width=1000, height=800, seed=1, num_inference_steps=30, guidance_scale=5.0)
NOW = datetime(2026, 3, 14, tzinfo=UTC)


def job(*recipes: Recipe) -> NewJob:
    return NewJob(
        kind=JobKind.IMAGINE, recipes=recipes, request="", style=None, user_id=1, guild_id=2, channel_id=3, cost=1
    )


def test_without_rules_all_pass() -> None:
    check_channel(OPEN, CUSTOMER)
    check_account_age(OPEN, replace(CUSTOMER, account_created_at=NOW), now=NOW)
    check_pause(OPEN)
    check_limits(OPEN, [job(RECIPE)])


@given(st.sets(st.integers(1, 9)), st.integers(1, 9), st.lists(st.integers(1, 9), max_size=2))
def test_a_channel_passes_by_itself_its_parent_or_its_category(
    allowed: set[int], channel_id: int, parents: list[int]
) -> None:
    rules = replace(OPEN, channels=tuple(allowed))
    customer = replace(CUSTOMER, channel_id=channel_id, category_ids=tuple(parents))
    if not allowed or allowed & {channel_id, *parents}:
        check_channel(rules, customer)
    else:
        with pytest.raises(ChannelNotAllowed) as caught:
            check_channel(rules, customer)
        assert str(caught.value.fields["channels"]).count("<#") == min(3, len(allowed))


@pytest.mark.parametrize("age", [timedelta(days=7), timedelta(days=700), timedelta(days=7, microseconds=1)])
def test_an_account_of_that_age_passes(age: timedelta) -> None:
    check_account_age(replace(OPEN, account_age_days=7), replace(CUSTOMER, account_created_at=NOW - age), now=NOW)


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=7, microseconds=-1), timedelta(days=-1)])
def test_a_younger_one_is_told_when_it_will(age: timedelta) -> None:
    customer = replace(CUSTOMER, account_created_at=NOW - age)
    with pytest.raises(AccountTooYoung) as caught:
        check_account_age(replace(OPEN, account_age_days=7), customer, now=NOW)
    assert caught.value.fields == {"days": 7, "from_then": NOW - age + timedelta(days=7)}


def test_limits_are_of_every_picture_of_every_job_and_include_themselves() -> None:
    steps, size = replace(OPEN, steps=30), replace(OPEN, megapixels=0.8)
    for rules in (steps, size):
        check_limits(rules, [job(RECIPE, RECIPE), job(RECIPE)])
    with pytest.raises(TooManyStepsHere) as many:
        check_limits(steps, [job(RECIPE), job(RECIPE, replace(RECIPE, num_inference_steps=31))])
    assert many.value.fields == {"steps": 31, "limit": 30}
    with pytest.raises(TooLargeHere) as large:
        check_limits(size, [job(RECIPE), job(RECIPE, replace(RECIPE, width=1008))])
    assert large.value.fields == {"width": 1008, "height": 800, "limit": "0.8"}


def test_a_pause_lets_nothing_pass() -> None:
    with pytest.raises(ServerPaused):
        check_pause(replace(OPEN, paused=True))
