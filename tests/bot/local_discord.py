"""A server that speaks just enough of Discord's API over real HTTP and a real gateway for one bot and one order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, WSMsgType, web

APPLICATION, BOT, GUILD, CHANNEL, MEMBER, INTERACTION, MESSAGE = (str(2**50 + number) for number in range(7))
GOOD_TOKEN = "a-good-token"
ANSWER, DEFERRED_ANSWER = 4, 5  # as types of callbacks
HELLO, HEARTBEAT, HEARTBEAT_ACK, IDENTIFY, DISPATCH = 10, 1, 11, 2, 0


@dataclass(slots=True)
class LocalDiscord:
    """What the bot did: its requests in order as (method, path, JSON), and the files that it uploaded."""

    port: int = 0
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    commands: list[Any] = field(default_factory=list)
    identified: asyncio.Event = field(default_factory=asyncio.Event)
    gateway: web.WebSocketResponse | None = None
    mute: bool = False  # whether nobody is let in to the gateway

    @property
    def url(self) -> str:
        """What `discord.api_url` has to be."""
        return f"http://127.0.0.1:{self.port}"

    async def send_event(self, name: str, data: dict[str, Any]) -> None:
        """Something happened; the bot is told through the gateway."""
        assert self.gateway is not None
        await self.gateway.send_json({"op": DISPATCH, "t": name, "s": 2, "d": data})

    def bodies(self, method: str, part: str) -> list[Any]:
        """The JSON of all requests of that kind."""
        return [body for made, path, body in self.requests if made == method and part in path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/v10")
        if path == request.path:
            return json_response({"message": "no such API version"}, status=404)
        if path == "/gateway":
            return json_response({}, status=503) if self.mute else await self._speak(request)
        body = await self._body(request)
        self.requests.append((request.method, path, body))
        of_an_interaction = "/webhooks/" in path or "/callback" in path
        if not of_an_interaction and request.headers["Authorization"] != f"Bot {GOOD_TOKEN}":
            return json_response({"message": "401: Unauthorized", "code": 0}, status=401)
        match request.method, path.split("/")[1:]:
            case "GET", ["users", "@me"]:
                return json_response(user(BOT, bot=True))
            case "GET", ["oauth2", "applications", "@me"]:
                return json_response(application())
            case "PUT", ["applications", _, "commands"]:
                told = {"description": "", "version": "1", "application_id": APPLICATION}  # menus are sent without
                self.commands = [{**told, **command, "id": str(2**51 + n)} for n, command in enumerate(body)]
                return json_response(self.commands)
            case "GET", ["applications", _, "commands"]:
                return json_response(self.commands)
            case "GET", ["gateway", "bot"]:
                limits = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
                url = f"ws://127.0.0.1:{self.port}/api/v10/gateway"
                return json_response({"url": url, "shards": 1, "session_start_limit": limits})
            case "POST", ["interactions", _, _, "callback"]:
                told = {"interaction": {"id": INTERACTION, "type": 2, "response_message_id": MESSAGE}}
                if body["type"] == ANSWER:  # and no deferral
                    told["resource"] = {"type": ANSWER, "message": message(body["data"])}
                return json_response(told)
            case "PATCH", ["webhooks", _, _, "messages", "@original"]:
                return json_response(message(body))
        return json_response({"message": "Unknown", "code": 0}, status=404)

    async def _body(self, request: web.Request) -> Any:
        if not request.content_type.startswith("multipart/"):
            return await request.json() if request.can_read_body else None
        body = None
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "payload_json":
                body = json.loads(await part.text())
            else:
                self.files[str(part.filename)] = bytes(await part.read())
        return body

    async def _speak(self, request: web.Request) -> web.WebSocketResponse:
        self.gateway = socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": 40_000}})
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            said = frame.json()
            if said["op"] == HEARTBEAT:
                await socket.send_json({"op": HEARTBEAT_ACK})
            elif said["op"] == IDENTIFY:
                ready = {
                    "v": 10,
                    "user": user(BOT, bot=True),
                    "guilds": [],
                    "session_id": "s",
                    "resume_gateway_url": f"ws://127.0.0.1:{self.port}/api/v10/gateway",
                    "shard": [0, 1],
                    "application": {"id": APPLICATION, "flags": 0},
                }
                await socket.send_json({"op": DISPATCH, "t": "READY", "s": 1, "d": ready})
                self.identified.set()
        return socket


@asynccontextmanager
async def local_discord() -> AsyncIterator[LocalDiscord]:
    """The server, on a free port of this machine."""
    discord = LocalDiscord()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", discord.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        discord.port = runner.addresses[0][1]
        yield discord
    finally:
        await runner.cleanup()


def json_response(data: Any, *, status: int = 200) -> web.Response:
    # discord.py wants exactly this content type, without the character set that aiohttp's own function adds.
    return web.Response(body=json.dumps(data).encode(), content_type="application/json", status=status)


def user(user_id: str, *, bot: bool = False) -> dict[str, Any]:
    return {"id": user_id, "username": "limner" if bot else "ada", "discriminator": "0", "avatar": None, "bot": bot}


def application() -> dict[str, Any]:
    return {
        "id": APPLICATION, "name": "Limner", "description": "", "icon": None, "bot_public": True, "flags": 0,
        "bot_require_code_grant": False, "verify_key": "0" * 64, "owner": user(MEMBER), "summary": "", "team": None,
    }  # fmt: skip


def message(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": MESSAGE, "channel_id": CHANNEL, "author": user(BOT, bot=True), "content": body.get("content", ""),
        "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False, "mention_everyone": False,
        "mentions": [], "mention_roles": [], "attachments": [], "embeds": [], "pinned": False, "type": 0, "flags": 0,
        "components": body.get("components", []),
    }  # fmt: skip


def imagine(prompt: str) -> dict[str, Any]:
    """A member of a server where the bot is not itself types /imagine."""
    permissions = str(2**11 + 2**10)  # to see the channel and to write in it
    return {
        "id": INTERACTION, "application_id": APPLICATION, "type": 2, "token": "interaction-token", "version": 1,
        "channel_id": CHANNEL,
        "channel": {"id": CHANNEL, "type": 0, "guild_id": GUILD, "name": "pictures", "position": 0},
        "guild_id": GUILD, "guild_locale": "en-US", "locale": "en-GB", "app_permissions": permissions,
        "entitlements": [], "authorizing_integration_owners": {"0": GUILD}, "context": 0,
        "attachment_size_limit": 10 * 2**20,
        "member": {
            "user": user(MEMBER), "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False,
            "flags": 0, "permissions": permissions,
        },
        "data": {
            "id": str(2**51), "name": "imagine", "type": 1,
            "options": [{"name": "prompt", "type": 3, "value": prompt}],
        },
    }  # fmt: skip
