"""What Discord shows of the commands comes from the message catalogue, and follows Discord's rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.commands.texts import CatalogueTranslator
from bot.messages import Messages, load_messages
from tests.bot.world import World

DOCS = Path(__file__).parent.parent.parent / "docs"
NAME = re.compile(r"[a-z]{1,32}")
SUBCOMMAND = 1  # as a type of options


def nodes(command: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """A command, its subcommands and all their options, by path."""
    here = f"{path} {command['name']}".strip()
    return [(here, command), *(node for option in command.get("options", ()) for node in nodes(option, here))]


async def test_every_name_and_description_keeps_the_rules_and_comes_from_the_catalogue(world: World) -> None:
    tree, messages = world.app.client.tree, load_messages()
    sentences = {messages.say(key) for key in messages.keys_of("en") if key.startswith("commands.")}
    commands = [command for command in tree.get_commands() if not isinstance(command, app_commands.ContextMenu)]
    found = [node for command in commands for node in nodes(command.to_dict(tree))]
    paths = [path for path, _ in found]
    assert len(paths) == len(set(paths))
    for path, node in found:
        assert NAME.fullmatch(node["name"]), path
        assert node["description"] in sentences, path
        assert 1 <= len(node["description"]) <= 100, path


async def test_every_command_is_documented(world: World) -> None:
    tree = world.app.client.tree
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))
    commands = [command for command in tree.get_commands() if not isinstance(command, app_commands.ContextMenu)]
    found = [node for command in commands for node in nodes(command.to_dict(tree))]
    leaves = [
        path
        for path, node in found
        if node["type"] == SUBCOMMAND and not any(option["type"] == SUBCOMMAND for option in node.get("options", ()))
    ]
    assert "moderate words add" in leaves
    assert [path for path in leaves if f"`/{path}" not in pages] == []


async def test_menus_are_named_by_the_catalogue(world: World) -> None:
    messages = load_messages()
    names = [command.name for command in world.app.client.tree.get_commands(type=discord.AppCommandType.message)]
    assert "Vary" in names
    assert set(names) <= {messages.say(key) for key in messages.keys_of("en") if key.startswith("menus.")}
    assert all(1 <= len(name) <= 32 for name in names)


@pytest.mark.parametrize("name", ["quota", "moderate"])
async def test_some_are_for_moderators_in_servers(world: World, name: str) -> None:
    tree = world.app.client.tree
    command = tree.get_command(name)
    assert command is not None
    spoken = command.to_dict(tree)
    assert int(spoken["default_member_permissions"]) == discord.Permissions(moderate_members=True).value
    assert spoken["contexts"] == [0] or spoken["dm_permission"] is False


async def test_another_language_is_another_file() -> None:
    messages = Messages({"en": {"commands.queue": "Your jobs"}, "zh-CN": {"commands.queue": "你的任务"}})
    translator = CatalogueTranslator(messages)
    text = app_commands.locale_str("Your jobs", key="commands.queue")
    context: Any = None
    assert await translator.translate(text, discord.Locale.chinese, context) == "你的任务"
    assert await translator.translate(text, discord.Locale.french, context) is None
    assert await translator.translate(text, discord.Locale.british_english, context) is None
