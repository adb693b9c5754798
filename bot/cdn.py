"""Fetching from Discord's own CDN, and from nowhere else: people's links must not make us knock at other doors."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, Self

import aiohttp
from yarl import URL

from generation.errors import RequestRejected
from generation.intake.errors import UploadTooLarge
from generation.intake.limits import MEGA
from generation.intake.picture_file import PictureFile, received

DISCORD_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
# What people upload; those of interactions, which only one person sees, begin with `ephemeral-`.
ATTACHMENT_PATH = re.compile(r"/(?:ephemeral-)?attachments/[0-9]{1,20}/[0-9]{1,20}/[^/]+", re.ASCII)
MAX_ADDRESS = 2000  # characters
MAX_REDIRECTS = 3
CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
FETCH_SECONDS = 30.0
_MOVED = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
# What yarl raises for text that is no address; the second where there are brackets and no host.
UNREADABLE = (ValueError, IndexError)


class LinkRefused(RequestRejected):
    """A link leads elsewhere than to a picture on Discord's CDN."""

    key = "link_refused"


class LinkDead(RequestRejected):
    """Discord has no such file, or its link has expired."""

    key = "link_dead"


class FetchFailed(RequestRejected):
    """Discord did not hand the file over: no connection, an error of its own, or too slow."""

    key = "fetch_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The beginning of an answer: its status, where it sends us, how long it says it is, and its bytes as they come."""

    status: int
    location: str | None = None
    length: int | None = None
    chunks: AsyncIterator[bytes]


class Cdn(Protocol):
    """Where files of people lie. `hosts` are all that it is: exact names, https, the usual port."""

    @property
    def hosts(self) -> frozenset[str]: ...

    def get(self, url: URL) -> AbstractAsyncContextManager[Reply]:
        """Ask for one address; does not follow redirects. Raises `aiohttp.ClientError`, `OSError` or `TimeoutError`."""


class DiscordCdn:
    """Discord's. An async context manager that holds the connections; they carry no token and no cookies."""

    hosts = DISCORD_HOSTS

    def __init__(self, *, seconds: float = FETCH_SECONDS) -> None:
        self._timeout = aiohttp.ClientTimeout(total=seconds, connect=min(seconds, CONNECT_SECONDS))
        self._session: aiohttp.ClientSession | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def get(self, url: URL) -> AsyncIterator[Reply]:
        if self._session is None:  # most bots start, and stop, before anybody brings a picture
            session = aiohttp.ClientSession(
                timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
            self._session = await self._stack.enter_async_context(session)
        async with self._session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response:
            yield Reply(
                status=response.status,
                location=response.headers.get("Location"),
                length=response.content_length,
                chunks=response.content.iter_chunked(CHUNK_BYTES),
            )


def address(text: str, hosts: frozenset[str]) -> URL:
    """The address of a file on those hosts. Raises `LinkRefused` for any other.

    What is checked is the parsed address that is then asked for, so no two parsers can see different hosts in it.
    """
    if len(text) > MAX_ADDRESS:
        raise LinkRefused
    try:
        url = URL(text)
        expected = (
            url.scheme == "https"
            and url.raw_host in hosts
            and url.explicit_port is None
            and url.raw_user is None
            and url.raw_password is None
            and ATTACHMENT_PATH.fullmatch(url.raw_path) is not None
        )
    except UNREADABLE as error:
        raise LinkRefused from error
    if not expected:
        raise LinkRefused
    return url.with_fragment(None)


async def fetch(cdn: Cdn, url: URL, *, megabytes: int) -> PictureFile:
    """The file at an address that `address` has passed, and at those it is sent on to, which are checked the same way.

    It goes to the disk as it comes; whoever called closes it.
    Raises `LinkRefused`, `LinkDead`, `FetchFailed`, or `UploadTooLarge` as soon as more than `megabytes` are announced
    or have come.
    """
    try:
        for _ in range(1 + MAX_REDIRECTS):
            async with cdn.get(url) as reply:
                if reply.status in _MOVED and reply.location is not None:
                    url = address(str(url.join(URL(reply.location))), cdn.hosts)
                    continue
                if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status == HTTPStatus.TOO_MANY_REQUESTS:
                    raise FetchFailed
                if reply.status != HTTPStatus.OK:
                    raise LinkDead
                return await _body(reply, megabytes)
    except (aiohttp.ClientError, OSError, TimeoutError, *UNREADABLE) as error:
        raise FetchFailed from error
    raise LinkRefused


async def _body(reply: Reply, megabytes: int) -> PictureFile:
    if reply.length is not None and reply.length > megabytes * MEGA:
        raise UploadTooLarge(limit=megabytes)
    return await received(reply.chunks, megabytes=megabytes)
