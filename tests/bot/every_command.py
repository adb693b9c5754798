"""Every slash command with something in each of its options, for what has to hold for all of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import discord
from PIL import Image
from simcord.actors import MemberActor
from simcord.interactions import command_leaves
from simcord.results import InteractionResult

from tests.bot.world import World

STRING = 3  # as a type of options


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One command that can be typed, as Discord was told of it: `quota set` with its options."""

    path: str
    options: tuple[dict[str, Any], ...]

    @property
    def texts(self) -> list[str]:
        """The options that take any text."""
        return [option["name"] for option in self.options if option["type"] == STRING and not option.get("choices")]

    def filled(self, world: World, *also: str, text: str = "1") -> dict[str, Any]:
        """What has to be filled in, and these options too."""
        return {
            option["name"]: _value(world, option, text)
            for option in self.options
            if option.get("required") or option["name"] in also
        }


def leaves(world: World) -> list[Leaf]:
    """All there are, in the order in which they were registered."""
    tree = world.app.client.tree
    told = [command.to_dict(tree) for command in tree.get_commands(type=discord.AppCommandType.chat_input)]
    found = [leaf for command in told for leaf in command_leaves(command)]
    return [Leaf(path=" ".join(path), options=tuple(node.get("options") or ())) for path, node in found]


def shown_to_all(world: World) -> None:
    """Take Discord's own guard away, as a server's owner may, or whoever forges an interaction."""
    for leaf in leaves(world):
        registered = world.env.backend.find_command(leaf.path.split()[0], world.guild.id, type=1)
        assert registered is not None
        registered["default_member_permissions"] = None


async def typed(world: World, leaf: Leaf, by: MemberActor, options: dict[str, Any]) -> InteractionResult:
    """Type it, a while after what was typed before."""
    world.clock.ahead += 10
    return await by.slash(world.channel, leaf.path, **options)


def said_in(result: InteractionResult) -> Iterator[discord.Message]:
    """All messages that an interaction was answered with."""
    yield from (message.message for message in (result.response, *result.followups) if message is not None)


def picture() -> bytes:
    """A small one that was not drawn here."""
    file = io.BytesIO()
    Image.new("RGB", (128, 128), "teal").save(file, "PNG")
    return file.getvalue()


def _value(world: World, option: dict[str, Any], text: str) -> object:
    match option["type"]:
        case _ if option.get("choices"):
            return option["choices"][0]["value"]
        case 3:
            return text[: option.get("max_length", 6000)]
        case 4 | 10:
            return option.get("min_value", 1)
        case 5:
            return False
        case 6:
            return world.stranger
        case 7:
            return world.channel
        case 8:
            return world.guild.create_role("Patrons")
        case 11:
            return ("a.png", picture())
    raise AssertionError(f"an option of another type: {option}")
