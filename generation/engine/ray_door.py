"""Who is let into a cluster: whether it asks for a token at all, and whether it takes ours.

Ray runs whatever a client sends, so a cluster without a token is open to everybody who reaches it. Ray reads its mode
of authentication once in a process; so each question is asked by a process of its own, `python -m
generation.engine.ray_door ADDRESS`, which prints one of the words of `Answer`.
"""

from __future__ import annotations

import asyncio
import enum
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from generation.engine.ray_asking import ask_apart
from generation.engine.ray_errors import ClusterOpen, ClusterTokenRefused, ClusterUnreachable
from generation.environment import without_secrets

MODE = "RAY_AUTH_MODE"
REACH_SECONDS = 30.0  # for the head to take a connection, and then to answer: it may be busy
PATIENCE = 120.0  # for Ray to be loaded from a cold disk, and to be answered


class Answer(enum.StrEnum):
    """What the cluster's head said to who knocked."""

    WELCOME = "welcome"
    REFUSED = "refused"


async def check_door(address: str) -> None:
    """Raises `ClusterOpen`, `ClusterTokenRefused` or `ClusterUnreachable`."""
    await _reach(address)
    ours = {**os.environ, MODE: "token"}
    nobodys = without_secrets(os.environ) | {MODE: "disabled"}
    with_token, without = await asyncio.gather(_knock(address, ours), _knock(address, nobodys))
    if without is Answer.WELCOME:
        raise ClusterOpen(address=address)
    if with_token is Answer.REFUSED:
        raise ClusterTokenRefused(address=address)


async def _reach(address: str) -> None:
    """Ray would try for a long time where nothing listens. Raises `ClusterUnreachable`."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(REACH_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, ValueError, OverflowError, TimeoutError) as error:  # a port may be too large
        raise ClusterUnreachable(address=address, detail=str(error) or "no answer") from error
    writer.close()


def insist_on_token() -> None:
    """Have Ray speak to clusters with a token only. It read its mode when it was loaded, so it is told again."""
    raylet = _raylet()
    os.environ[MODE] = "token"
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


async def _knock(address: str, environment: Mapping[str, str]) -> Answer:
    """Raises `ClusterUnreachable`."""
    words = await ask_apart("generation.engine.ray_door", address, environment=environment, patience=PATIENCE)
    if words not in tuple(Answer):
        raise ClusterUnreachable(address=address, detail=words)
    return Answer(words)


def main(address: str) -> None:
    """Knock, and print what came of it: a word of `Answer`, or else what is in the way."""
    from ray.exceptions import AuthenticationError, RayError

    try:
        _raylet().GcsClient(address=address).internal_kv_keys(b"", namespace=None, timeout=REACH_SECONDS)
    except AuthenticationError:
        print(Answer.REFUSED)  # noqa: T201
    except (RayError, RuntimeError, OSError) as error:
        print(" ".join(str(error).split())[:200] or type(error).__name__)  # noqa: T201
    else:
        print(Answer.WELCOME)  # noqa: T201


def _raylet() -> Any:
    """Ray's core, whose stubs do not tell all that is in it."""
    return import_module("ray._raylet")


if __name__ == "__main__":
    main(sys.argv[1])
