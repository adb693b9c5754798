"""Which part of Discord is this bot's: where several serve one, each server is told everything by one of them."""

from __future__ import annotations

from dataclasses import dataclass

SNOWFLAKE_TIME_BITS = 22  # of an id, below its time; Discord divides servers by what is above
DIRECT_MESSAGES = 0  # the shard that hears of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The shards of one bot: those `ids` of `count`. No ids: all there are."""

    ids: tuple[int, ...] = ()
    count: int = 0

    def hold(self, guild_id: int | None) -> bool:
        """Whether what belongs to that server (None: direct messages) is ours to tell.

        https://discord.com/developers/docs/events/gateway#sharding
        """
        if not self.ids:
            return True
        shard = DIRECT_MESSAGES if guild_id is None else (guild_id >> SNOWFLAKE_TIME_BITS) % self.count
        return shard in self.ids
