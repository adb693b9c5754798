"""Presses, menus and forms that Discord would never have let anybody make, against the whole bot.

Each is answered with a sentence for the presser alone, none of them is a surprise to the program, and from another
server nothing that is here can be seen, changed or paid for.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from simcord.actors import MemberActor
from simcord.backend import serializers
from simcord.builders import ChannelHandle
from simcord.results import InteractionResult

from bot.surface import BUTTONS, DIALOGS
from tests.bot.world import World, open_world
from tests.fuzz.inputs import scalars, texts, values

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
COMPONENT, FORM = 3, 5  # as types of interactions
BUTTON, MENU = 2, 3  # as types of components
PAUSE = 5.0  # seconds between two of them: how fast one may press is tested elsewhere
FAMILIES = [button.__discord_ui_compiled_template__ for button in BUTTONS]
FORMS = [dialog.template for dialog in DIALOGS]
_ID = re.compile(r":[1-9][0-9]{0,17}(?=:|$)")


def custom_ids(families: list[re.Pattern[str]]) -> st.SearchStrategy[str]:
    """Those of every family alike, mostly with the ids of rows that are there."""
    of_a_family = st.sampled_from(families).flatmap(lambda family: st.from_regex(family, fullmatch=True))
    row = st.sampled_from(["1", "1", "2", "3", "4", "5", "77", "9" * 18])
    return st.builds(lambda custom_id, number: _ID.sub(f":{number}", custom_id)[:100], of_a_family, row)


chosen = st.lists(
    st.sampled_from(["1", "2", "25", "26", "9" * 18, "-1", "٣", "-", "ink", "pocket", "none", "3:2", ""])
    | st.text(max_size=9),
    max_size=4,
)
presses = st.fixed_dictionaries(
    {
        "type": st.just(COMPONENT),
        "component_type": st.sampled_from([BUTTON, BUTTON, BUTTON, MENU]),
        "custom_id": custom_ids(FAMILIES),
        "values": chosen,
        "there": st.sampled_from([True, True, True, False]),
    }
)
fields = st.fixed_dictionaries(
    {
        "type": st.just(4),
        "custom_id": st.sampled_from(["prompt", "words", "mask", "reason", "id"]),
        "value": texts | scalars,
    }
)
files = st.fixed_dictionaries(
    {"type": st.just(19), "custom_id": st.just("mask"), "values": st.just(["5"]) | st.lists(scalars, max_size=2)}
)
forms = st.fixed_dictionaries(
    {
        "type": st.just(FORM),
        "custom_id": custom_ids(FORMS),
        "components": st.lists(
            st.builds(lambda field: {"type": 18, "component": field}, fields | files) | values, max_size=4
        ),
        "resolved": st.fixed_dictionaries(
            {"attachments": st.dictionaries(st.just("5"), st.fixed_dictionaries({"url": texts}), max_size=1)}
        ),
    }
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One in which a member has a grid and a single picture."""
    async with open_world(tmp_path) as opened:
        await opened.drawn("a boat --n 2 --seed 1")
        await opened.drawn("a boat --n 1 --seed 1")
        await opened.all_told()
        yield opened


Elsewhere = tuple[MemberActor, ChannelHandle]


@pytest.fixture
async def elsewhere(world: World) -> Elsewhere:
    """Somebody in another server, and a channel there."""
    orchard = world.env.create_guild("Orchard")
    return orchard.add_member(world.env.create_user("eve")), orchard.create_text_channel("pictures")


async def forged(world: World, by: MemberActor, channel: ChannelHandle, data: dict[str, Any]) -> InteractionResult:
    """What comes of an interaction as it was made up, on a message of the bot's in that channel."""
    data, backend = dict(data), world.env.backend
    kind, there = data.pop("type"), data.pop("there", True)
    target = world.app.client.get_channel(channel.id)
    assert isinstance(target, discord.TextChannel)
    stored = backend.get_message(channel.id, (await target.send("look")).id)
    message = dict(serializers.message_payload(backend, stored))
    shown = {"type": data.get("component_type", BUTTON), "custom_id": data["custom_id"] if there else "limner:else:1"}
    shown |= {"options": [{"label": "a", "value": "a"}]} if shown["type"] == MENU else {"label": "a", "style": 2}
    message["components"] = [{"type": 1, "components": [shown]}]
    world.clock.ahead += PAUSE
    return await by._dispatch_interaction(kind, channel, data, extra={"message": message}, source_message_id=stored.id)


def answered(result: InteractionResult, data: object) -> list[str]:
    """What was said. It was answered, and was foreseen."""
    assert result.acknowledged or result.modal, data
    said = [message.content for message in (result.response, *result.followups) if message is not None]
    assert not any("went wrong on my side" in sentence for sentence in said), (data, said)
    return said


async def test_a_button_that_calls_itself_a_menu_is_answered_once(world: World) -> None:
    data = {"type": COMPONENT, "component_type": BUTTON, "custom_id": "limner:cells:1", "values": ["3"]}
    (said,) = answered(await forged(world, world.stranger, world.channel, data), data)
    assert "another version" in said


async def state(world: World) -> object:
    """All that could be changed."""
    storage = world.app.services.storage
    jobs = [await storage.jobs.get(number) for number in range(1, 12)]
    images = [await storage.images.get(number) for number in range(1, 12)]
    messages = [message.content for message in world.messages() if message.content != "look"]
    return jobs, images, await world.credits(), await world.credits(world.stranger), messages


# What was made up is small as it is, and to make it smaller takes minutes with a whole bot.
QUIET = settings(
    max_examples=25 * TIMES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUIET
@given(data=presses | forms)
async def test_from_another_server_nothing_here_is_seen_or_changed(
    world: World, elsewhere: Elsewhere, data: dict[str, Any]
) -> None:
    before = await state(world)
    result = await forged(world, *elsewhere, data)
    said = answered(result, data)
    assert "a boat" not in " ".join(said), (data, said)
    assert result.modal is None or "a boat" not in str(result.modal)
    assert await state(world) == before, data


@QUIET
@given(data=presses | forms)
async def test_here_each_is_answered_and_foreseen(world: World, data: dict[str, Any]) -> None:
    answered(await forged(world, world.stranger, world.channel, data), data)
