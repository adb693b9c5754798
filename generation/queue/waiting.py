"""Waiting for one thing or another, whichever comes first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def comes_within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event, but not longer than that; whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def unless(event: asyncio.Event, awaitable: Awaitable[T]) -> T | None:
    """What the awaitable gives, or None when the event comes before; then it is cancelled."""
    wanted = asyncio.ensure_future(awaitable)
    coming = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({wanted, coming}, return_when=asyncio.FIRST_COMPLETED)
        return None if event.is_set() else wanted.result()
    finally:
        wanted.cancel()
        coming.cancel()
        await asyncio.gather(wanted, coming, return_exceptions=True)
