"""Words that a server's moderators do not want in prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.guilds import lock_guild
from storage.kept import settings_changed
from storage.moderator_log import write_down
from storage.settings import read_setting, write_setting
from storage.tables import BlockedWordRow
from storage.uninterrupted import uninterrupted

MAX_LENGTH = 100  # characters of a word, which may be a phrase
_WITHOUT_DEFAULTS = "without_default_words"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerWords:
    """What a server blocks: words as its moderators wrote them, in order, and whether the default list besides."""

    words: Sequence[str]
    defaults: bool


@uninterrupted
class BlockedWords:
    """The words of each server. `by` is the moderator, whose change goes into the log in the same transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, guild_id: int) -> ServerWords:
        """What this server blocks."""
        return await self._database.kept.of(("words", guild_id), lambda: self._read(guild_id))

    async def add(self, guild_id: int, word: str, *, by: int, at_most: int) -> bool:
        """Block a word of up to `MAX_LENGTH` characters. False: the server has `at_most` words already.

        Blocking what is blocked changes nothing.
        """
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_guild(session, guild_id, now)
            words = await _words(session, guild_id)
            if word in words:
                return True
            if len(words) >= at_most:
                return False
            settings_changed(session)
            session.add(BlockedWordRow(guild_id=guild_id, word=word))
            await write_down(session, guild_id, by, "words.add", None, {"word": word}, now=now)
            return True

    async def remove(self, guild_id: int, words: Sequence[str], *, by: int) -> bool:
        """Allow words again. False: none of them was blocked."""
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_guild(session, guild_id, now)
            blocked = [word for word in await _words(session, guild_id) if word in words]
            settings_changed(session)
            of_guild = BlockedWordRow.guild_id == guild_id
            await session.execute(delete(BlockedWordRow).where(of_guild, BlockedWordRow.word.in_(blocked)))
            for word in blocked:
                await write_down(session, guild_id, by, "words.remove", None, {"word": word}, now=now)
            return bool(blocked)

    async def use_defaults(self, guild_id: int, use: bool, *, by: int) -> None:
        """Whether the default list counts in this server. It does unless this says otherwise."""
        async with self._database.writing() as session:
            now = self._database.now()
            await lock_guild(session, guild_id, now)
            if bool(await read_setting(session, "guild", guild_id, _WITHOUT_DEFAULTS)) is not use:
                return
            await write_setting(session, "guild", guild_id, _WITHOUT_DEFAULTS, None if use else True)
            await write_down(session, guild_id, by, "words.default", None, {"used": use}, now=now)

    async def _read(self, guild_id: int) -> ServerWords:
        async with self._database.reading() as session:
            without = await read_setting(session, "guild", guild_id, _WITHOUT_DEFAULTS)
            return ServerWords(words=await _words(session, guild_id), defaults=not without)


async def _words(session: AsyncSession, guild_id: int) -> Sequence[str]:
    words = select(BlockedWordRow.word).where(BlockedWordRow.guild_id == guild_id).order_by(BlockedWordRow.word)
    return (await session.scalars(words)).all()
