"""Work that goes on beside everything else, and must not end because one piece of it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog


async def attempted(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; whatever it raises is logged as `<name>_failed`, for whoever waits comes back to it later."""
    task = asyncio.create_task(work, name=name)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])  # a verb of storage is carried through, and storage is closed after this
        raise
    if not task.cancelled() and (error := task.exception()) is not None:
        structlog.get_logger(__name__).error(f"{name}_failed", exc_info=error)
