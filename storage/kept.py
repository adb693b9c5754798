"""What moderators and members set, kept in memory: every order asks for it, and it changes a few times a day."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")

KEPT_SECONDS = 5.0  # another bot on the same PostgreSQL may have changed it, and nobody hear of that
MOST = 10_000  # values, before all are forgotten
CHANGED = "settings_changed"  # where a session notes that it changes what is kept


class Kept:
    """Values that were read, until a transaction that changes any of them is committed, for `KEPT_SECONDS` at most.

    What another program commits is heard by `storage.wakeups`, which lets all be forgotten.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._values: dict[Hashable, tuple[float, Any]] = {}
        self._changes = 0

    async def of(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The value of that key, which `read` gives where it is not at hand. Callers share it: it must not change."""
        until, value = self._values.get(key, (float("-inf"), None))
        if self._now() < until:
            return cast(T, value)
        changes = self._changes
        until = self._now() + KEPT_SECONDS
        value = await read()
        if self._changes == changes:  # else what was read may be what was there before
            if len(self._values) >= MOST:
                self._values.clear()
            self._values[key] = until, value
        return value

    def committed(self, session: AsyncSession) -> None:
        """Forget everything if the transaction that was just committed, or may have been, changed some of it."""
        if session.info.get(CHANGED):
            self.forget()

    def forget(self) -> None:
        """Read everything anew: some of it was changed, or may have been."""
        self._changes += 1
        self._values.clear()


def settings_changed(session: AsyncSession) -> None:
    """To be called in every transaction that changes what is `Kept`."""
    session.info[CHANGED] = True
