"""`docs/security.md` says who may do what: it names all there is, and whoever may not is refused, however they ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import discord
from simcord.actors import MemberActor
from simcord.backend import serializers

from bot.messages import load_messages
from bot.surface import BUTTONS, DIALOGS
from tests.bot.every_command import leaves, said_in, shown_to_all, typed
from tests.bot.world import World, private

PAGE = Path(__file__).parent.parent.parent / "docs/security.md"
EVERYONE, OWNER, MODERATORS, OWNERS = "everyone", "the owner and moderators", "moderators", "the bot's owners"
ASKED = "who was asked"
SAY = load_messages().say
# How those are refused who may not.
REFUSALS = {
    MODERATORS: SAY("errors.moderators_only"),
    OWNERS: SAY("errors.owners_only"),
    OWNER: SAY("errors.not_yours"),
    ASKED: SAY("errors.not_asked"),
}
PRESS = 3  # as a type of interactions
# What may stand after an action in a custom_id; `{}` is the id of a message.
ENDINGS = ("", ":1", ":1:{}", ":{}", ":1:ff", ":help", ":help:0", ":styles", ":style")


def table(heading: str) -> dict[str, str]:
    """Who may, by what: of one of the page's tables."""
    _, _, after = PAGE.read_text(encoding="utf-8").partition(f"### {heading}\n")
    rows = [line for line in re.split(r"\n#", after)[0].splitlines() if line.startswith("| `")]
    may: dict[str, str] = {}
    for row in rows:
        names, who = (cell.strip() for cell in row.strip("|").split("|")[:2])
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in may, f"{name} stands there twice"
            may[name] = next(one for one in (EVERYONE, OWNER, MODERATORS, OWNERS, ASKED) if who.startswith(one))
    return may


def actions(template: str) -> Iterator[str]:
    """The words that may stand after `limner:`, up to the next colon."""
    text, depth = template.removeprefix("limner:"), 0
    for end, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == ":" and depth == 0:
            text = text[:end]
            break
    yield from _expanded(re.sub(r"\(\?(P<\w+>|:)", "(", text))


def _expanded(pattern: str) -> Iterator[str]:
    match = re.search(r"\(([^()]*)\)", pattern)
    if match is None:
        yield from pattern.split("|")
        return
    for word in match[1].split("|"):
        inner = f"{pattern[: match.start()]}{word}{pattern[match.end() :]}"
        yield from _expanded(inner)


def test_the_reader_of_templates() -> None:
    assert list(actions("limner:(?P<action>(?:a|b)_now):(?P<id>[1-9])")) == ["a_now", "b_now"]
    assert list(actions("limner:(?P<action>region_(?P<way>c|d)):(?P<id>[1-9])")) == ["region_c", "region_d"]
    assert list(actions("limner:keep")) == ["keep"]
    assert list(actions("limner:pages:(?P<kind>help)")) == ["pages"]


async def test_every_command_and_menu_stands_there_once(world: World) -> None:
    assert set(table("Commands")) == {f"/{leaf.path}" for leaf in leaves(world)}
    menus = world.app.client.tree.get_commands(type=discord.AppCommandType.message)
    assert set(table("Message menus")) == {menu.name for menu in menus}


def test_every_button_and_form_stands_there_once() -> None:
    pressed = [action for button in BUTTONS for action in actions(button.__discord_ui_compiled_template__.pattern)]
    assert set(table("Buttons and menus")) == set(pressed)
    filled = [action for dialog in DIALOGS for action in actions(dialog.template.pattern)]
    assert set(table("Forms")) == set(filled)


async def test_commands_refuse_whoever_may_not_though_discord_shows_them(world: World) -> None:
    shown_to_all(world)
    may = table("Commands")
    before = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
    for leaf in leaves(world):
        who = may[f"/{leaf.path}"]
        said = [message.content for message in said_in(await typed(world, leaf, world.member, leaf.filled(world)))]
        assert (REFUSALS[MODERATORS] in said) == (who == MODERATORS), (leaf.path, said)
        assert (REFUSALS[OWNERS] in said) == (who == OWNERS), (leaf.path, said)
        if who == OWNERS:
            assert REFUSALS[OWNERS] == private(await typed(world, leaf, world.moderator, leaf.filled(world)))
    assert await world.app.services.storage.moderator_log.latest(world.guild.id, 5) == before


async def test_menus_refuse_whoever_may_not(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    for name, who in table("Message menus").items():
        registered = world.env.backend.find_command(name, world.guild.id, type=3)
        assert registered is not None
        registered["default_member_permissions"] = None
        world.clock.ahead += 10
        result = await world.stranger.context_menu(world.channel, name, message)
        said = [message.content for message in said_in(result)]
        assert (REFUSALS[MODERATORS] in said) == (who == MODERATORS), (name, said)


async def press(world: World, action: str, by: MemberActor, message: discord.Message) -> list[str]:
    """Press a button of that family, about the first job and the first picture, as somebody who made it up."""
    [family] = [one for one in BUTTONS if action in actions(one.__discord_ui_compiled_template__.pattern)]
    template = family.__discord_ui_compiled_template__
    made_up = (f"limner:{action}{ending.format(message.id)}" for ending in ENDINGS)
    custom_id = next(one for one in made_up if template.fullmatch(one))
    kind = family.component_type
    shown = {"type": kind.value, "custom_id": custom_id}
    shown |= (
        {"options": [{"label": "1", "value": "1"}]}
        if kind is discord.ComponentType.select
        else {"label": "a", "style": 2}
    )
    stored = world.env.backend.get_message(world.channel.id, message.id)
    payload = dict(serializers.message_payload(world.env.backend, stored))
    payload["components"] = [{"type": 1, "components": [shown]}]
    data = {"component_type": kind.value, "custom_id": custom_id, "values": ["1"]}
    world.clock.ahead += 10
    result = await by._dispatch_interaction(
        PRESS, world.channel, data, extra={"message": payload}, source_message_id=stored.id
    )
    assert result.acknowledged, action
    return [message.content for message in said_in(result)]


async def test_buttons_refuse_whoever_may_not(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    await world.member.slash(world.channel, "imagine", prompt="a {red, blue} boat --n 1")  # a question to the member
    for action, who in table("Buttons and menus").items():
        said = await press(world, action, world.stranger, message)
        for one, refusal in REFUSALS.items():
            assert (refusal in said) == (who == one), (action, said)
