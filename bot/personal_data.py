"""A person's own data: handed out as a file, or deleted, with the messages that show it."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from bot.background import attempted
from generation.errors import RequestRejected
from generation.queue.waiting import comes_within

if TYPE_CHECKING:
    from bot.deleting import Deleting
    from generation.queue.dispatcher import Dispatcher
    from generation.queue.listener import QueueListener
    from storage.personal_data import Forgotten
    from storage.storage import Storage

STEM = "limner-data"
# How long after a deletion the messages are removed: when what was cancelled has been told, and again for what was slow
# or could not be removed then.
PAUSES = (1.0, 30.0, 600.0)  # seconds
BETWEEN_MESSAGES = 0.5  # seconds: there may be thousands, and Discord's limit is everybody's


class DataTooLarge(RequestRejected):
    """The file would be larger than Discord takes. Fields: `limit` (megabytes)."""

    key = "data_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """All that is remembered about a person, as JSON, packed with gzip where it is large."""

    name: str
    data: bytes


class PersonalDataDesk:
    """Tells and deletes. Messages are removed in a task of its own (`run`); storage knows which are left."""

    def __init__(
        self, *, storage: Storage, dispatcher: Dispatcher, listener: QueueListener, deleting: Deleting
    ) -> None:
        self._storage = storage
        self._dispatcher = dispatcher
        self._listener = listener
        self._deleting = deleting
        self._wanted = asyncio.Event()
        self._wanted.set()  # an earlier run may have left some

    async def told(self, user_id: int, *, limit: int) -> DataFile:
        """The file for a person; `limit` is in bytes. Raises `DataTooLarge`."""
        told = await self._storage.personal_data.told(user_id)
        data = await asyncio.to_thread(lambda: json.dumps(told, ensure_ascii=False, indent=1).encode())
        if len(data) <= limit:
            return DataFile(name=f"{STEM}.json", data=data)
        packed = await asyncio.to_thread(gzip.compress, data)
        if len(packed) > limit:
            raise DataTooLarge(limit=limit // 1_000_000)
        return DataFile(name=f"{STEM}.json.gz", data=packed)

    async def delete(self, user_id: int) -> Forgotten:
        """Cancel what has not ended, then delete all that may be; the messages follow one by one."""
        for job_id in await self._storage.personal_data.unfinished(user_id):
            await self._dispatcher.cancel(job_id)
        forgotten = await self._storage.personal_data.delete(user_id)
        for job in forgotten.cancelled:  # ordered in between
            self._listener.job_ended(job)
        structlog.get_logger(__name__).info(
            "data_deleted", user_id=user_id, pictures=forgotten.pictures, jobs=forgotten.jobs, uploads=forgotten.uploads
        )
        self._wanted.set()
        return forgotten

    async def run(self) -> None:
        """Remove the messages of people who deleted their data, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for pause in PAUSES:
                if await comes_within(pause, self._wanted):  # somebody else: begin anew
                    break
                await attempted("message_removal", self._remove_messages())

    async def _remove_messages(self) -> None:
        for showing in await self._storage.personal_data.messages_left():
            await self._deleting.remove(None, showing.channel_id, showing.message_id)
            await asyncio.sleep(BETWEEN_MESSAGES)
