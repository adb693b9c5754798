"""Verbs that are carried through, whatever becomes of the task that asked for them."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

C = TypeVar("C", bound=type)
P = ParamSpec("P")
T = TypeVar("T")


def uninterrupted(verbs: C) -> C:
    """Class decorator: each public coroutine method, once begun, runs to its end even if its caller is cancelled.

    The caller still gets its `CancelledError`, but only when the transaction is over: committed or undone, and no lock
    held. Without this a task that is cancelled in the midst of a statement can leave a connection behind in an open
    transaction; with SQLite that stops every writer until the program ends (a test cancels at many moments to show it).
    """
    for name, verb in list(vars(verbs).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(verb):
            setattr(verbs, name, _carried_through(verb))
    return verbs


def _carried_through(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(verb)
    async def carried_through(*args: P.args, **kwargs: P.kwargs) -> T:
        work = asyncio.create_task(verb(*args, **kwargs))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():
                with suppress(asyncio.CancelledError):  # cancelled again while it waits
                    await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # nobody is left to be told
            raise

    return carried_through
