"""Whoever asks too often is told when to ask again, whatever they ask with; others are not held up."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.bot.world import SETTINGS, World, custom_ids, open_world, private, public

LIMITS = """
[limits]
orders_per_minute = 2
uploads_per_minute = 2
interactions_per_minute = 6
"""


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[World]:
    """A bot with little patience, which draws nothing. Its clock stands still: no minute passes on a slow machine."""
    async with open_world(tmp_path, settings=SETTINGS + LIMITS, working=False) as opened:
        opened.clock.stopped_at = opened.clock.monotonic()
        yield opened


def a_minute_later(world: World) -> None:
    assert world.clock.stopped_at is not None
    world.clock.stopped_at += 61


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, "PNG")
    return file.getvalue()


async def test_orders_have_a_rate_and_what_is_refused_costs_nothing(hasty: World) -> None:
    await hasty.imagine("a boat")
    await hasty.imagine("a boat")
    said = await hasty.refused("a boat")
    assert said.startswith("You may order 2 times a minute. Try again <t:")
    assert await hasty.credits() == 92
    await hasty.imagine("a boat", by=hasty.stranger)
    a_minute_later(hasty)
    await hasty.imagine("a boat")


async def test_a_series_counts_when_it_is_asked_about_and_when_it_is_placed(hasty: World) -> None:
    asked = await hasty.member.slash(hasty.channel, "imagine", prompt="a {red, blue} boat --n 1")
    question = [said for said in (asked.response, *asked.followups) if said is not None][-1].message
    await hasty.member.click(question, custom_id=custom_ids(question)[0])
    assert await hasty.credits() == 98
    assert "You may order" in await hasty.refused("a boat")


async def test_pictures_to_be_looked_at_have_a_rate(hasty: World) -> None:
    for _ in range(2):
        await hasty.member.slash(hasty.channel, "inspect", image=("a.png", picture()))
    said = private(await hasty.member.slash(hasty.channel, "inspect", image=("a.png", picture())))
    assert said.startswith("You may bring 2 pictures a minute")
    said = private(await hasty.member.slash(hasty.channel, "upscale", image=("a.png", picture())))
    assert said.startswith("You may bring 2 pictures a minute")


async def test_commands_buttons_and_forms_have_one_together(hasty: World) -> None:
    message = await hasty.imagine("a boat")
    a_minute_later(hasty)
    for _ in range(6):
        await hasty.member.slash(hasty.channel, "queue")
    said = private(await hasty.member.slash(hasty.channel, "info"))
    assert said.startswith("That was a lot at once: I answer 6 times a minute. Try again <t:")
    assert "a lot at once" in private(await hasty.press(message, "Cancel"))
    a_minute_later(hasty)
    assert "Cancelled" in private(await hasty.press(message, "Cancel"))


async def test_suggestions_while_typing_are_free(hasty: World) -> None:
    for _ in range(20):
        assert await hasty.member.autocomplete(hasty.channel, "imagine", "style", "in")
    public(await hasty.member.slash(hasty.channel, "imagine", prompt="a boat"))


async def test_moderators_are_not_above_it(hasty: World) -> None:
    for _ in range(6):
        await hasty.moderator.slash(hasty.channel, "queue")
    said = private(await hasty.moderator.slash(hasty.channel, "quota default", credits=5))
    assert "a lot at once" in said
