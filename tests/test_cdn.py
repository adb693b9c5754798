"""Fetching from Discord's CDN: its addresses and no others, as much as is allowed and no more."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bot.cdn import DISCORD_HOSTS, Cdn, DiscordCdn, FetchFailed, LinkDead, LinkRefused, Reply, address, fetch
from bot.picture_links import MessageLink, TwoPictures, take_link
from generation.errors import RequestRejected
from generation.intake.errors import UploadTooLarge
from generation.intake.limits import MEGA

GOOD = "https://cdn.discordapp.com/attachments/123/456/boat.png?ex=6f&is=6e&hm=ab"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "https://cdn.discordapp.com/attachments/123/456/boat",
        "https://cdn.discordapp.com/ephemeral-attachments/123/456/a%20boat.png",
        "https://media.discordapp.net/attachments/123/456/boat.png?format=webp&width=100",
        "https://CDN.discordapp.com/attachments/123/456/boat.png#top",
    ],
)
def test_addresses_of_discords_own_files(text: str) -> None:
    url = address(text, DISCORD_HOSTS)
    assert url.host in DISCORD_HOSTS
    assert url.scheme == "https"
    assert not url.fragment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "boat.png",
        "//cdn.discordapp.com/attachments/1/2/a.png",
        "http://cdn.discordapp.com/attachments/1/2/a.png",
        "ftp://cdn.discordapp.com/attachments/1/2/a.png",
        "https://cdn.discordapp.com",
        "https://cdn.discordapp.com/avatars/1/2.png",
        "https://cdn.discordapp.com/attachments/1/2/",
        "https://cdn.discordapp.com/attachments/1/2/3/4.png",
        "https://cdn.discordapp.com/attachments/x/2/a.png",
        "https://cdn.discordapp.com/attachments/1/2/..",
        "https://cdn.discordapp.com/attachments/1/2/../../api/v10/users",
        "https://cdn.discordapp.com/attachments/1/2/%2e%2e/%2e%2e/secret.png",
        "https://cdn.discordapp.com./attachments/1/2/a.png",
        "https://cdn.discordapp.com.evil.example/attachments/1/2/a.png",
        "https://evilcdn.discordapp.com/attachments/1/2/a.png",
        "https://discordapp.com/attachments/1/2/a.png",
        "https://cdn.discordapp.com:443/attachments/1/2/a.png",
        "https://cdn.discordapp.com:8443/attachments/1/2/a.png",
        "https://cdn.discordapp.com:443@evil.example/attachments/1/2/a.png",
        "https://cdn.discordapp.com@evil.example/attachments/1/2/a.png",
        "https://user@cdn.discordapp.com/attachments/1/2/a.png",
        "https://user:pass@cdn.discordapp.com/attachments/1/2/a.png",
        "https://evil.example#@cdn.discordapp.com/attachments/1/2/a.png",
        "https://evil.example\\@cdn.discordapp.com/attachments/1/2/a.png",
        "https://evil.example/?https://cdn.discordapp.com/attachments/1/2/a.png",
        "https://сdn.discordapp.com/attachments/1/2/a.png",  # the first letter is Cyrillic
        "https://169.254.169.254/attachments/1/2/a.png",
        "https://[::1]/attachments/1/2/a.png",
        "https://[]@",
        "https://localhost/attachments/1/2/a.png",
        "https://cdn.discordapp.com/attachments/1/2/" + "a" * 3000,
    ],
)
def test_any_other_address_is_refused(text: str) -> None:
    with pytest.raises(LinkRefused):
        address(text, DISCORD_HOSTS)


@given(text=st.text() | st.text(alphabet="htps:/@\\.#?%[]cdnisorapme0123456789-").map(lambda tail: f"https://{tail}"))
def test_no_text_makes_us_ask_another_host(text: str) -> None:
    try:
        url = address(text, DISCORD_HOSTS)
    except LinkRefused:
        return
    assert url.host in DISCORD_HOSTS
    assert url.port == 443


# Links in prompts


def test_a_link_is_taken_out_wherever_it_stands() -> None:
    for text in (f"{GOOD} a red boat", f"a {GOOD} red boat", f"a red boat <{GOOD}>"):
        words, link = take_link(text, DISCORD_HOSTS)
        assert words == "a red boat"
        assert link == URL(GOOD)


def test_links_to_messages() -> None:
    for host in ("discord.com", "canary.discord.com", "ptb.discord.com", "discordapp.com"):
        _, link = take_link(f"https://{host}/channels/1/2/3 boat", DISCORD_HOSTS)
        assert link == MessageLink(guild_id=1, channel_id=2, message_id=3)
    _, link = take_link("https://discord.com/channels/@me/2/3", DISCORD_HOSTS)
    assert link == MessageLink(guild_id=None, channel_id=2, message_id=3)
    for other in ("https://discord.com/channels/1/2", "https://evildiscord.com/channels/1/2/3"):
        assert take_link(f"{other} boat", DISCORD_HOSTS) == (f"{other} boat", None)


def test_addresses_that_mean_no_picture_are_words() -> None:
    for text in (
        "a poster of https://example.org/about",
        "https://example.org",
        "(https://example.org/a.png)",
        "a.png",
    ):
        assert take_link(text, DISCORD_HOSTS) == (text, None)


@pytest.mark.parametrize("ending", [".png", ".JPG", ".jpeg?size=1", ".webp#x", ".gif", ".svg"])
def test_pictures_elsewhere_are_refused(ending: str) -> None:
    with pytest.raises(LinkRefused):
        take_link(f"https://example.org/a{ending} boat", DISCORD_HOSTS)


def test_two_links_are_one_too_many() -> None:
    with pytest.raises(TwoPictures):
        take_link(f"{GOOD} https://discord.com/channels/1/2/3", DISCORD_HOSTS)


@given(st.text())
def test_text_without_a_link_is_left_as_it_is(text: str) -> None:
    try:
        words, link = take_link(text, DISCORD_HOSTS)
    except RequestRejected:
        assert "http" in text.lower()
        return
    assert link is not None or words == text


# Redirects: a CDN that follows a script


class ScriptedCdn:
    """Implements `Cdn`: answers by address, and remembers what it was asked for."""

    hosts = DISCORD_HOSTS

    def __init__(self, answers: dict[str, Reply | str]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    @asynccontextmanager
    async def get(self, url: URL) -> AsyncIterator[Reply]:
        self.asked.append(str(url))
        answer = self._answers[str(url)]
        yield Reply(status=302, location=answer, chunks=chunks()) if isinstance(answer, str) else answer


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def bytes_at(cdn: Cdn, url: URL) -> bytes:
    with await fetch(cdn, url, megabytes=1) as file:
        file.file.seek(0)
        data = file.file.read()
        assert file.digest == hashlib.sha256(data).hexdigest()
    return data


FIRST, SECOND = (f"https://{host}/attachments/1/2/a.png" for host in sorted(DISCORD_HOSTS))


@pytest.mark.parametrize("location", [SECOND, "/attachments/3/4/b.png"])
async def test_a_redirect_within_discord_is_followed(location: str) -> None:
    there = str(URL(FIRST).join(URL(location)))
    cdn = ScriptedCdn({FIRST: location, there: Reply(status=200, chunks=chunks(b"pic", b"ture"))})
    assert await bytes_at(cdn, URL(FIRST)) == b"picture"
    assert cdn.asked == [FIRST, there]


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/attachments/1/2/a.png",
        "http://cdn.discordapp.com/attachments/1/2/a.png",
        "//evil.example/attachments/1/2/a.png",
        "/api/v10/users/@me",
        "https://[broken",
        "https://[]@",
        "http://127.0.0.1:9464/metrics",
    ],
)
async def test_a_redirect_elsewhere_is_not(location: str) -> None:
    cdn = ScriptedCdn({FIRST: location})
    with pytest.raises(RequestRejected):
        await fetch(cdn, URL(FIRST), megabytes=1)
    assert cdn.asked == [FIRST]


async def test_redirects_in_a_circle_end() -> None:
    cdn = ScriptedCdn({FIRST: SECOND, SECOND: FIRST})
    with pytest.raises(LinkRefused):
        await fetch(cdn, URL(FIRST), megabytes=1)
    assert len(cdn.asked) <= 5


# The real thing, against a server on this machine


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[URL]:
    app = web.Application()
    app.router.add_get("/{anything:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield URL.build(scheme="http", host="127.0.0.1", port=runner.addresses[0][1], path="/attachments/1/2/a.png")
    finally:
        await runner.cleanup()


async def fetched(handler: Handler, *, seconds: float = 120.0) -> bytes:
    async with server(handler) as url, DiscordCdn(seconds=seconds) as cdn:
        return await bytes_at(cdn, url)


async def test_a_file_is_fetched_without_cookies_or_tokens() -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        response = web.Response(body=b"picture")
        response.set_cookie("a", "b")
        return response

    async with server(handler) as url, DiscordCdn() as cdn:
        assert await bytes_at(cdn, url) == await bytes_at(cdn, url) == b"picture"
    assert not any("Cookie" in request.headers or "Authorization" in request.headers for request in seen)


async def test_aiohttp_follows_no_redirect_by_itself() -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    with pytest.raises(LinkRefused):
        await fetched(handler)
    assert asked == ["/attachments/1/2/a.png"]


async def test_what_announces_too_much_is_not_read() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bytes(MEGA + 1))

    with pytest.raises(UploadTooLarge):
        await fetched(handler)


async def test_what_never_ends_is_cut_off() -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while sent < 100 * MEGA:
                await response.write(bytes(100_000))
                sent += 100_000
        return response

    with pytest.raises(UploadTooLarge):
        await fetched(handler)
    assert sent < 50 * MEGA


async def test_what_is_compressed_is_not_unpacked() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.Response(body=bytes(50 * MEGA))
        response.enable_compression(web.ContentCoding.gzip)
        response.headers["Content-Encoding"] = "gzip"
        return response

    assert len(await fetched(handler)) < MEGA


async def test_who_is_too_slow_is_given_up() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            while True:
                await response.write(b"drip")
                await asyncio.sleep(0.05)
        return response

    async with asyncio.timeout(120):
        with pytest.raises(FetchFailed):
            await fetched(handler, seconds=0.5)


@pytest.mark.parametrize(
    ("status", "error"), [(404, LinkDead), (403, LinkDead), (204, LinkDead), (429, FetchFailed), (503, FetchFailed)]
)
async def test_what_discord_does_not_hand_over(status: int, error: type[RequestRejected]) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status)

    with pytest.raises(error):
        await fetched(handler)


async def test_nobody_there() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen; meanwhile nobody else can
        port = silent.getsockname()[1]
        async with DiscordCdn() as cdn:
            with pytest.raises(FetchFailed):
                await fetch(cdn, URL.build(scheme="http", host="127.0.0.1", port=port, path="/a.png"), megabytes=1)
