"""Which programs work with a PostgreSQL database, and which part of Discord is whose: held as advisory locks.

The server lets go of them when a program's connection ends, however it ended. So no two programs have one name, and no
two serve one shard: whoever serves it is the one who answers there.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.errors import InstanceTaken, ShardCountsDiffer, ShardsUndivided, ShardTaken

# The first of the two numbers that name a lock: what the second one is.
_NAMES, _SHARDS, _COUNTS = 1_279_872_001, 1_279_872_002, 1_279_872_003
# A program that was killed a moment ago holds its locks until the server sees that.
_TRIES, _AGAIN = 10, 0.2

PLACE_TAKEN = (InstanceTaken, ShardsUndivided, ShardCountsDiffer, ShardTaken)  # what `take_place` raises


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A program and what it serves. `shard_ids` are those of `shard_count`; () and 0: it serves all there is."""

    instance: str
    shard_ids: tuple[int, ...] = ()
    shard_count: int = 0


async def take_place(connection: AsyncConnection, presence: Presence) -> None:
    """Hold a program's place for as long as the connection lasts, which commits by itself.

    Raises one of `PLACE_TAKEN`; then the connection must be closed.
    """
    # A host that vanished without a word is forgotten after half a minute, and not after two hours; nor after the
    # quarter of an hour that what was sent to it is sent again, where the server's system can be told that.
    for setting, seconds in (("idle", 15), ("interval", 5), ("count", 3)):
        await connection.execute(text(f"SET tcp_keepalives_{setting} = {seconds}"))
    await connection.execute(text("DO $$ BEGIN SET tcp_user_timeout = '30s'; EXCEPTION WHEN OTHERS THEN NULL; END $$"))
    if not await _held(connection, _NAMES, _number(presence.instance)):
        raise InstanceTaken(instance=presence.instance)
    count = presence.shard_count if presence.shard_ids else 0
    # Held first and looked at then: of two that start at once, one or both see the other.
    if not await _held(connection, _COUNTS, count, shared=count > 0):
        raise ShardsUndivided
    other = await _other_count(connection, count)
    if other is not None:
        raise ShardsUndivided if 0 in (count, other) else ShardCountsDiffer(ours=count, theirs=other)
    for shard_id in presence.shard_ids:
        if not await _held(connection, _SHARDS, shard_id):
            raise ShardTaken(shard=shard_id)


async def _other_count(connection: AsyncConnection, count: int) -> int | None:
    """Another number of shards than ours by which a program works, if one still does after a while."""
    others = text(
        "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :kind AND objid <> :count"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
    )
    found = None
    for _ in range(_TRIES):
        found = await connection.scalar(others, {"kind": _COUNTS, "count": count})
        if found is None:
            return None
        await asyncio.sleep(_AGAIN)
    return None if found is None else int(found)


async def _held(connection: AsyncConnection, kind: int, number: int, *, shared: bool = False) -> bool:
    # The server's functions take numbers of 32 bits, which is not what a driver takes Python's for.
    take = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    lock = text(f"SELECT {take}(CAST(:kind AS integer), CAST(:number AS integer))")
    for _ in range(_TRIES):
        if await connection.scalar(lock, {"kind": kind, "number": number}):
            return True
        await asyncio.sleep(_AGAIN)
    return False


def _number(name: str) -> int:
    """A name as a number of 32 bits with a sign, as locks have them."""
    return zlib.crc32(name.encode()) - 2**31
