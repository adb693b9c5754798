"""Work that goes on beside everything else, and must not end because one piece of it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog

from generation.errors import LimnerError

AGAIN_SECONDS = 5.0  # before work that broke down is begun again


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


async def watched(name: str, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the work; what it raises unforeseen is logged as `<name>_failed`, with its traceback, and raised all the same.

    A `LimnerError` is raised alone: it is a sentence for whoever runs the program.
    """
    try:
        await begin()
    except LimnerError:
        raise
    except Exception:
        structlog.get_logger(__name__).exception(f"{name}_failed")
        raise


async def lasting(name: str, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The same for work that goes on for ever and may be begun again: after what is unforeseen, it is, a little later.

    So it ends when it is cancelled, returns by itself, or raises a `LimnerError`.
    """
    while True:
        try:
            await watched(name, begin)
            return
        except LimnerError:
            raise
        except Exception:  # noqa: BLE001 – `watched` has logged it
            await asyncio.sleep(AGAIN_SECONDS)


async def first_error(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait until one of the tasks ends with an error, and raise that. Returns once all have ended without."""
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in ended:
        if not task.cancelled():
            task.result()
