"""The CDN of an in-memory Discord (simcord): what is uploaded there never leaves this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import discord
from yarl import URL

from bot.cdn import Reply


class DemoCdn:
    """Implements `bot.cdn.Cdn` through the client, whose Discord is in memory."""

    hosts = frozenset({"cdn.simcord.invalid"})

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    @asynccontextmanager
    async def get(self, url: URL) -> AsyncIterator[Reply]:
        try:
            data = await self._client.http.get_from_cdn(str(url))
        except discord.NotFound:
            yield Reply(status=HTTPStatus.NOT_FOUND, chunks=_chunks(b""))
        else:
            yield Reply(status=HTTPStatus.OK, length=len(data), chunks=_chunks(data))


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data
