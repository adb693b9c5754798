"""How the program stands at this moment: what monitoring and the bot's owner are told alike."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from generation.engine.protocol import WorkerInfo
from generation.job import Priority

if TYPE_CHECKING:
    from bot.client import LimnerClient
    from bot.delivery import Courier
    from generation.engine.protocol import Engine
    from generation.queue.dispatcher import Dispatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`waiting` counts jobs by priority class, `paused` those of them that wait for a resume.

    `undelivered` jobs have ended, and their owners were not told yet. `draining`: nothing new is started. `free_bytes`
    is the room on the disk of the pictures, None for those in a bucket.
    """

    started_at: datetime
    connected: bool
    servers: int
    draining: bool
    waiting: Mapping[Priority, int]
    paused: int
    running: int
    undelivered: int
    workers: Sequence[WorkerInfo]
    free_bytes: int | None


def look(
    *,
    started_at: datetime,
    client: LimnerClient,
    dispatcher: Dispatcher,
    engine: Engine,
    courier: Courier,
    files: Path | str,
) -> Standing:
    """The standing now. Cheap: nothing is asked of Discord or the database."""
    return Standing(
        started_at=started_at,
        connected=client.connected,
        servers=len(client.guilds),
        draining=dispatcher.draining,
        waiting=dispatcher.depths(),
        paused=dispatcher.held_back(),
        running=dispatcher.running(),
        undelivered=courier.undelivered(),
        workers=engine.workers(),
        free_bytes=_free_bytes(files),
    )


def _free_bytes(folder: Path | str) -> int | None:
    """On the disk where the folder is, or will be made."""
    if isinstance(folder, str):
        return None
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free
