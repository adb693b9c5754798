"""/moderate words: which words prompts may not hold in this server."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from bot.answering import customer_of, rejections_told, tell
from bot.client import LimnerClient, Services
from bot.commands.autocompletion import Choices, choices
from bot.commands.texts import Texts
from bot.message_routes import MENTION_NOBODY
from bot.moderators import admit_moderator
from bot.word_filter.defaults import default_words
from bot.word_filter.word_filter import normal_form
from bot.wording import code
from generation.errors import RequestRejected
from storage.blocked_words import MAX_LENGTH

if TYPE_CHECKING:
    from bot.client import Interaction

MOST_WORDS = 1000  # of one server; they are gone through at every order
SHOWN = 1500  # characters of a list, as it is shown in the message, that holds 2,000; a longer one comes as a file


class WordEmpty(RequestRejected):
    """A word without a letter or digit blocks nothing."""

    key = "word_empty"


class WordUnknown(RequestRejected):
    """The server does not block that word. Fields: `word`."""

    key = "word_unknown"


class TooManyWords(RequestRejected):
    """The server blocks as many words as it can. Fields: `limit`."""

    key = "too_many_words"


def add_words_commands(group: app_commands.Group, services: Services, texts: Texts) -> None:
    """Add `words add`, `remove`, `list` and `default` to `/moderate`."""
    words = app_commands.Group(name="words", description=texts.text("commands.moderate_words"), parent=group)
    say, blocked = services.messages.say, services.storage.blocked_words

    async def add(interaction: discord.Interaction[LimnerClient], word: app_commands.Range[str, 1, MAX_LENGTH]) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            word = " ".join(word.split())
            if not normal_form(word):
                raise WordEmpty
            same = _same(word, (await blocked.of(guild_id)).words)
            if same:
                await tell(interaction, say("words.known", interaction.locale.value, word=code(same[0])))
                return
            if not await blocked.add(guild_id, word, by=interaction.user.id, at_most=MOST_WORDS):
                raise TooManyWords(limit=MOST_WORDS)
            await tell(interaction, say("words.added", interaction.locale.value, word=code(word)))

    async def remove(
        interaction: discord.Interaction[LimnerClient], word: app_commands.Range[str, 1, MAX_LENGTH]
    ) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            same = _same(word, (await blocked.of(guild_id)).words)
            if not await blocked.remove(guild_id, same, by=interaction.user.id):
                raise WordUnknown(word=word)
            await tell(interaction, say("words.removed", interaction.locale.value, word=code(word)))

    async def list_(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            guild_id, locale = await admit_moderator(interaction), interaction.locale.value
            server = await blocked.of(guild_id)
            shown, file = " ".join(code(word) for word in server.words), None
            if len(shown) > SHOWN:
                shown, file = "", discord.File(io.BytesIO("\n".join(server.words).encode()), "words.txt")
            key = "words.with_defaults" if server.defaults else "words.without_defaults"
            lines = [
                say("words.listed", locale, count=len(server.words)),
                *([shown] if shown else []),
                say(key, locale, count=len(default_words())),
            ]
            await interaction.followup.send(
                "\n".join(lines),
                file=file or discord.utils.MISSING,
                ephemeral=True,
                allowed_mentions=MENTION_NOBODY,
            )

    async def default(interaction: discord.Interaction[LimnerClient], use: bool) -> None:
        async with rejections_told(interaction):
            guild_id = await admit_moderator(interaction)
            await blocked.use_defaults(guild_id, use, by=interaction.user.id)
            key = "words.with_defaults" if use else "words.without_defaults"
            await tell(interaction, say(key, interaction.locale.value, count=len(default_words())))

    async def known(interaction: Interaction, typed: str) -> Choices:
        """Moderators' own words, for moderators."""
        if interaction.guild_id is None or not customer_of(interaction).moderator:
            return []
        server = await blocked.of(interaction.guild_id)
        return choices({word: word for word in server.words}, typed)

    words.add_command(texts.command("moderate_words_add", add))
    removing = texts.command("moderate_words_remove", remove)
    removing.autocomplete("word")(known)
    words.add_command(removing)
    words.add_command(texts.command("moderate_words_list", list_))
    words.add_command(texts.command("moderate_words_default", default))


def _same(word: str, words: Sequence[str]) -> list[str]:
    """Those of the words that are this one, in whatever writing."""
    return [blocked for blocked in words if normal_form(blocked) == normal_form(word)]
