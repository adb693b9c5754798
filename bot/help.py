"""What /help tells, page by page: what can be typed, with example pictures, all flags, all commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot.answering import customer_of
from bot.examples import Shown, examples
from bot.listings import LONGEST, ROOM_FOR_TITLE, Page, in_portions
from bot.wording import code

if TYPE_CHECKING:
    from bot.client import Interaction
    from bot.flag_table import Flag

# The pages that are written, with the examples on each; those of flags and commands are made from what there is.
START = ("start", ("boat", "sunset", "wide"))
WRITTEN = (
    ("words", ("night", "less-night", "blend")),
    ("drawing", ("tile", "draft", "style-ink")),
    ("pictures", ()),
    ("buttons", ()),
    ("credits", ()),
)


async def help_pages(interaction: Interaction) -> list[Page]:
    """The start, flags, what else can be said and pressed, and last all commands that this person may use here."""
    services, locale = interaction.client.services, interaction.locale.value
    flags = [_flag_line(interaction, flag) for flag in services.orders.parser.flags]
    return [
        _written(interaction, *START),
        *_listed(interaction, services.messages.say("help.flags", locale), flags),
        *(_written(interaction, key, names) for key, names in WRITTEN),
        *_listed(interaction, services.messages.say("help.commands", locale), list(_command_lines(interaction))),
    ]


def _written(interaction: Interaction, key: str, names: Sequence[str]) -> Page:
    say, locale = interaction.client.services.messages.say, interaction.locale.value
    title = say(f"help.{key}.title", locale)
    lines = [say("help.title", locale, title=title), say(f"help.{key}.text", locale).strip()]
    shown = [examples()[name] for name in names]
    lines += [f"{number}. {code(f'/imagine {example.typed}')}" for number, example in enumerate(shown, 1)]
    if shown:
        lines.append(say("pages.examples", locale))
    pictures = tuple(Shown(example=example, label=str(number)) for number, example in enumerate(shown, 1))
    return Page(title=title, content="\n".join(lines), shown=pictures)


def _listed(interaction: Interaction, title: str, lines: Sequence[str]) -> list[Page]:
    """Lines on as many pages as they need."""
    say, locale = interaction.client.services.messages.say, interaction.locale.value
    portions = in_portions(lines, room=LONGEST - ROOM_FOR_TITLE, most=len(lines))
    titles = [title if len(portions) == 1 else f"{title} {number}" for number in range(1, len(portions) + 1)]
    return [
        Page(title=name, content="\n".join([say("help.title", locale, title=name), *some]))
        for name, some in zip(titles, portions, strict=True)
    ]


def _flag_line(interaction: Interaction, flag: Flag) -> str:
    say = interaction.client.services.messages.say
    names = ", ".join(code(f"--{name}") for name in (flag.name, *flag.aliases))
    takes = f" {code(flag.allowed)}" if flag.allowed else ""
    return f"{names}{takes}: {say(f'flags.{flag.name}', interaction.locale.value)}"


def _command_lines(interaction: Interaction) -> Iterator[str]:
    """Each command with what it does, groups taken apart, those of moderators for them alone; then the menu's."""
    messages, locale, tree = interaction.client.services.messages, interaction.locale.value, interaction.client.tree
    for command in sorted(tree.get_commands(type=discord.AppCommandType.chat_input), key=lambda command: command.name):
        if _may_use(interaction, command):
            for one in _leaves(command):
                key = f"commands.{one.qualified_name.replace(' ', '_')}"
                text = messages.say(key, locale) if messages.has(key) else one.description
                yield f"{code(f'/{one.qualified_name}')}: {text}"
    menus = tree.get_commands(type=discord.AppCommandType.message)
    names = ", ".join(code(menu.name) for menu in menus if _may_use(interaction, menu))
    yield messages.say("help.menus", locale, names=names)


def _may_use(interaction: Interaction, command: Any) -> bool:
    """As Discord is told who may; what a server changed about that, only Discord knows."""
    wanted: discord.Permissions | None = command.default_permissions
    if wanted is None:
        return not getattr(command, "guild_only", False) or interaction.guild_id is not None
    if interaction.guild_id is None:
        return False
    return interaction.permissions.administrator or (
        customer_of(interaction).moderator and wanted <= interaction.permissions
    )


def _leaves(command: Any) -> Iterator[app_commands.Command[Any, ..., None]]:
    if isinstance(command, app_commands.Group):
        for inner in sorted(command.commands, key=lambda inner: inner.name):
            yield from _leaves(inner)
    else:
        yield command
