"""The rules that moderators give their server: limits, channels, a pause, and where notices go."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.guilds import lock_guild
from storage.moderator_log import write_down
from storage.settings import read_setting, write_setting
from storage.tables import SettingRow
from storage.uninterrupted import uninterrupted

_LARGEST = 2**63 - 1  # no id, and nothing that is counted, is larger
_KEY = "rules"  # of all of them, among a server's settings


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildRules:
    """What holds in one server. None: nothing was said, and the configuration's own limits are all there is.

    `max_queued_jobs` (1 or more) is how many unfinished jobs a member may have; `steps` (1 or more) and `megapixels`
    (above 0; millions of pixels) are the most that a picture may have; `account_age_days` (0 or more) is how old an
    account must be. `channels` are the ids of channels, threads and categories in which one may order; none are named
    where all are allowed. `paused`: nothing is drawn and nothing ordered. `log_channel_id` is where Limner tells
    moderators what it did by itself.
    """

    max_queued_jobs: int | None = None
    steps: int | None = None
    megapixels: float | None = None
    account_age_days: int | None = None
    channels: tuple[int, ...] = ()
    paused: bool = False
    log_channel_id: int | None = None


LIMITS = ("max_queued_jobs", "steps", "megapixels", "account_age_days")
"""The fields of `GuildRules` that `Rulebook.limit` changes."""


@uninterrupted
class Rulebook:
    """The rules of servers. Each change is in the moderator log, in the same transaction; `by` is the moderator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, guild_id: int | None) -> GuildRules:
        """What holds in that server. Nobody gives rules to direct messages."""
        if guild_id is None:
            return GuildRules()
        return await self._database.kept.of(("rules", guild_id), lambda: self._read(guild_id))

    async def limit(self, guild_id: int, limits: Mapping[str, int | float | None], *, by: int) -> GuildRules:
        """Change those of `LIMITS` that are named; None takes one away. Raises `ValueError` for what is no limit."""
        for name, value in limits.items():
            if name not in LIMITS:
                raise ValueError(f"{name} is no limit")
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"a limit is above 0, not {value}")
        async with self._database.writing() as session:
            await lock_guild(session, guild_id, self._database.now())
            rules = await _read(session, guild_id)
            changed = {name: value for name, value in limits.items() if getattr(rules, name) != value}
            if changed:
                rules = replace(rules, **changed)  # type: ignore[arg-type]
                for name, value in changed.items():
                    await self._write(session, guild_id, rules, by, f"limit.{name}", None, {"limit": value})
        return rules

    async def change_channels(
        self, guild_id: int, *, allow: Collection[int] = (), remove: Collection[int] = (), clear: bool = False, by: int
    ) -> GuildRules:
        """Change in which channels one may order; `clear` forgets those named so far. None named: all are allowed."""
        async with self._database.writing() as session:
            await lock_guild(session, guild_id, self._database.now())
            rules = await _read(session, guild_id)
            if clear and rules.channels:
                rules = replace(rules, channels=())
                await self._write(session, guild_id, rules, by, "channel.clear", None, {})
            for channel_id in remove:
                if channel_id in rules.channels:
                    rules = replace(rules, channels=tuple(one for one in rules.channels if one != channel_id))
                    await self._write(session, guild_id, rules, by, "channel.remove", channel_id, {})
            for channel_id in allow:
                if channel_id not in rules.channels:
                    rules = replace(rules, channels=(*rules.channels, channel_id))
                    await self._write(session, guild_id, rules, by, "channel.allow", channel_id, {})
        return rules

    async def pause(self, guild_id: int, *, by: int) -> bool:
        """Let nothing be drawn or ordered. False: that is so already."""
        return await self._set_paused(guild_id, True, "pause.begin", by=by)

    async def resume(self, guild_id: int, *, by: int) -> bool:
        """End the pause. False: there is none."""
        return await self._set_paused(guild_id, False, "pause.end", by=by)

    async def post_notices_to(self, guild_id: int, channel_id: int | None, *, by: int) -> bool:
        """Name the channel in which Limner tells moderators what it did; None: in none. False: that is so already."""
        async with self._database.writing() as session:
            await lock_guild(session, guild_id, self._database.now())
            rules = await _read(session, guild_id)
            if rules.log_channel_id == channel_id:
                return False
            rules = replace(rules, log_channel_id=channel_id)
            action = "notices.stop" if channel_id is None else "notices.post"
            await self._write(session, guild_id, rules, by, action, channel_id, {})
        return True

    async def paused(self) -> Sequence[int]:
        """The servers in which nothing is drawn."""
        async with self._database.reading() as session:
            rows = await session.execute(
                select(SettingRow.scope_id, SettingRow.value).where(SettingRow.scope == "guild", SettingRow.key == _KEY)
            )
            return [guild_id for guild_id, value in rows if _rules_of(value).paused]

    async def _read(self, guild_id: int) -> GuildRules:
        async with self._database.reading() as session:
            return await _read(session, guild_id)

    async def _set_paused(self, guild_id: int, paused: bool, action: str, *, by: int) -> bool:
        async with self._database.writing() as session:
            await lock_guild(session, guild_id, self._database.now())
            rules = await _read(session, guild_id)
            if rules.paused is paused:
                return False
            await self._write(session, guild_id, replace(rules, paused=paused), by, action, None, {})
        return True

    async def _write(
        self,
        session: AsyncSession,
        guild_id: int,
        rules: GuildRules,
        by: int,
        action: str,
        target_id: int | None,
        details: Mapping[str, Any],
    ) -> None:
        said = {name: value for name, value in asdict(rules).items() if value != getattr(GuildRules(), name)}
        await write_setting(session, "guild", guild_id, _KEY, said or None)
        await write_down(session, guild_id, by, action, target_id, details, now=self._database.now())


async def _read(session: AsyncSession, guild_id: int) -> GuildRules:
    return _rules_of(await read_setting(session, "guild", guild_id, _KEY))


def _rules_of(value: Any) -> GuildRules:
    """From the stored JSON. What cannot be a rule is passed over: no order shall be refused, or break, for it."""
    said: Mapping[str, Any] = value if isinstance(value, dict) else {}
    channels = said.get("channels")
    return GuildRules(
        max_queued_jobs=_whole(said.get("max_queued_jobs"), least=1),
        steps=_whole(said.get("steps"), least=1),
        megapixels=_size(said.get("megapixels")),
        account_age_days=_whole(said.get("account_age_days"), least=0),
        channels=tuple(channel for channel in channels if type(channel) is int) if isinstance(channels, list) else (),
        paused=said.get("paused") is True,
        log_channel_id=_whole(said.get("log_channel_id"), least=0),
    )


def _size(number: Any) -> float | None:
    return number if type(number) in (int, float) and 0 < number < _LARGEST else None


def _whole(number: Any, *, least: int) -> int | None:
    return number if type(number) is int and least <= number <= _LARGEST else None
