"""A server that speaks Discord's API over real HTTP and a real gateway, for one bot that comes and goes.

It keeps Discord's rules where the bot relies on them: an interaction is answered once and within three seconds, its
token lives for 15 minutes, what follows a deferral takes its place, and a nonce that is enforced names one message.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import BodyPartReader, WSMsgType, web

from bot.drills import payloads
from bot.drills.discord_state import ANSWER_SECONDS, TOKEN_SECONDS, Deed, DiscordState, Failure, Message

VERSION = "/api/v10"
HELLO, HEARTBEAT, HEARTBEAT_ACK, IDENTIFY, RESUME, INVALID_SESSION, DISPATCH = 10, 1, 11, 2, 6, 9, 0
RETRY_AFTER = 0.3  # seconds, of a 429
# Discord's own codes, for those statuses whose code the bot might look at.
CODES = {403: 50013, 404: 10008, 413: 40005}

# Every call to Discord that we make, by name. A test holds the code to this list.
CALLS: dict[str, tuple[str, re.Pattern[str]]] = {
    name: (method, re.compile(path))
    for name, method, path in (
        ("answer", "POST", r"/interactions/(\d+)/(\w+)/callback"),
        ("get_answer", "GET", r"/webhooks/\d+/(\w+)/messages/@original"),
        ("edit_answer", "PATCH", r"/webhooks/\d+/(\w+)/messages/@original"),
        ("delete_answer", "DELETE", r"/webhooks/\d+/(\w+)/messages/@original"),
        ("follow_up", "POST", r"/webhooks/\d+/(\w+)"),
        ("send", "POST", r"/channels/(\d+)/messages"),
        ("read", "GET", r"/channels/(\d+)/messages/(\d+)"),
        ("edit", "PATCH", r"/channels/(\d+)/messages/(\d+)"),
        ("delete", "DELETE", r"/channels/(\d+)/messages/(\d+)"),
        ("open_direct", "POST", r"/users/@me/channels"),
        ("who_am_i", "GET", r"/users/@me"),
        ("application", "GET", r"/oauth2/applications/@me"),
        ("commands", "GET", r"/applications/\d+/commands"),
        ("sync_commands", "PUT", r"/applications/\d+/commands"),
        ("gateway", "GET", r"/gateway/bot"),
    )
}


class Refused(Exception):
    """A call that Discord refuses, with its status and its own code."""

    def __init__(self, status: int, code: int) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as it came in: what the pattern of its path found, the JSON, the names of its files."""

    found: tuple[str, ...]
    body: Any
    files: tuple[str, ...]


class DiscordServer:
    """HTTP and the gateway over a `DiscordState`. `calls` counts all that were made, by name."""

    def __init__(self) -> None:
        self.state = DiscordState()
        self.port = 0
        self.calls: dict[str, int] = {}
        self.sessions = 0  # how often a bot has connected
        self.upload_limit: int | None = None  # bytes of a whole request
        self._gateway: web.WebSocketResponse | None = None
        self._sequence = 0
        self._verbs: dict[str, Callable[[Call], Any]] = {
            "answer": self._answer,
            "get_answer": lambda call: self._original(call).payload(),
            "edit_answer": self._edit_answer,
            "delete_answer": lambda call: self._delete(self._original(call)),
            "follow_up": self._follow_up,
            "send": self._send,
            "read": lambda call: self._found(call).payload(),
            "edit": lambda call: self._change(self._found(call), call),
            "delete": lambda call: self._delete(self._found(call)),
            "open_direct": lambda call: {"id": call.body["recipient_id"], "type": 1, "recipients": []},
            "who_am_i": lambda call: payloads.user(payloads.BOT, bot=True),
            "application": lambda call: payloads.application(),
            "commands": lambda call: self.state.commands,
            "sync_commands": self._sync,
            "gateway": lambda call: {
                "url": f"ws://127.0.0.1:{self.port}{VERSION}/gateway",
                "shards": 1,
                "session_start_limit": {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1},
            },
        }

    @property
    def url(self) -> str:
        """What `discord.api_url` has to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connected(self) -> bool:
        """Whether a bot hears what happens."""
        return self._gateway is not None and not self._gateway.closed

    async def tell(self, deed: Deed, kind: int, data: dict[str, Any], *, on: Message | None = None) -> bool:
        """Let the bot know what somebody did. False: there is none that hears it, and the person is told so."""
        told = payloads.interaction(
            deed.id, deed.token, kind, data, member_id=deed.member_id, channel_id=deed.channel_id
        )
        if on is not None:
            deed.on = on.id
            told["message"] = on.payload()
        gateway = self._gateway
        if gateway is None or gateway.closed:
            return False
        self._sequence += 1
        try:
            await gateway.send_json({"op": DISPATCH, "t": "INTERACTION_CREATE", "s": self._sequence, "d": told})
        except ConnectionError:
            return False
        return True

    # HTTP

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request of the bot's."""
        path = request.path.removeprefix(VERSION)
        if path == request.path:
            return _refusal(404, 0)
        if path == "/gateway":
            return await self._speak(request)
        if self.upload_limit is not None and (request.content_length or 0) > self.upload_limit:
            await request.read()  # or the connection would break before the answer is heard
            self.state.failed += 1
            return _refusal(413, CODES[413])
        body, files = await _read(request)
        for name, (method, pattern) in CALLS.items():
            if request.method == method and (match := pattern.fullmatch(path)):
                self.calls[name] = self.calls.get(name, 0) + 1
                call = Call(found=match.groups(), body=body, files=files)
                return self._served(request, name, call, self.state.failure(name, path))
        return _refusal(404, 0)

    def _served(self, request: web.Request, name: str, call: Call, failure: Failure | None) -> web.Response:
        if isinstance(failure, int):
            return _refusal(failure, CODES.get(failure, 0))
        told = web.Response()
        if failure != "unheard":
            try:
                told = _json(self._verbs[name](call))
            except Refused as refused:
                told = _refusal(refused.status, refused.code)
        if failure is not None and request.transport is not None:
            request.transport.close()
        return told

    def _deed(self, token: str) -> Deed:
        deed = self.state.deeds.get(token)
        if deed is None or time.monotonic() - deed.sent_at > TOKEN_SECONDS:
            raise Refused(404, 10015)
        return deed

    def _answer(self, call: Call) -> Any:
        _, token = call.found
        deed = self._deed(token)
        if time.monotonic() - deed.sent_at > ANSWER_SECONDS:
            raise Refused(404, 10062)
        if deed.answer is not None:
            raise Refused(400, 40060)
        kind, data = call.body["type"], call.body.get("data") or {}
        deed.answer, deed.answered_at = kind, time.monotonic()
        told: dict[str, Any] = {"interaction": {"id": str(deed.id), "type": 2}}
        if kind in (payloads.DEFERRED_UPDATE, payloads.UPDATE):
            deed.message_id = deed.on
            if (message := self.state.live(deed.on)) is not None:
                _write(message, data, call.files)
        if kind in (payloads.ANSWER, payloads.DEFERRED_ANSWER):
            message = self.state.add(deed.channel_id)
            deed.message_id = message.id
            message.ephemeral = bool(data.get("flags", 0) & payloads.EPHEMERAL)
            message.thinking = kind == payloads.DEFERRED_ANSWER
            told["interaction"]["response_message_id"] = str(message.id)
            if kind == payloads.ANSWER:
                _write(message, data, call.files)
                told["resource"] = {"type": kind, "message": message.payload()}
        return told

    def _original(self, call: Call) -> Message:
        message = self.state.live(self._deed(call.found[0]).message_id)
        if message is None:
            raise Refused(404, 10008)
        return message

    def _edit_answer(self, call: Call) -> Any:
        message = self._original(call)
        told = self._change(message, call)
        deed = self._deed(call.found[0])
        # Of a button the message may be another order's.
        deed.queued |= deed.answer == payloads.DEFERRED_ANSWER and bool(message.cancellable)
        return told

    def _follow_up(self, call: Call) -> Any:
        deed = self._deed(call.found[0])
        if deed.answer is None:
            raise Refused(404, 10015)
        original = self.state.live(deed.message_id)
        if original is None or not original.thinking:
            original = self.state.add(deed.channel_id)
            original.ephemeral = bool(call.body.get("flags", 0) & payloads.EPHEMERAL)
        return self._change(original, call)

    def _send(self, call: Call) -> Any:
        nonce = call.body.get("nonce") if call.body.get("enforce_nonce") else None
        message = self.state.add(int(call.found[0]), nonce=nonce)
        if not message.content:
            _write(message, call.body, call.files)
        return message.payload()

    def _found(self, call: Call) -> Message:
        message = self.state.live(int(call.found[1]))
        if message is None or message.ephemeral:
            raise Refused(404, 10008)
        return message

    def _change(self, message: Message, call: Call) -> Any:
        message.thinking = False
        _write(message, call.body, call.files)
        return message.payload()

    def _delete(self, message: Message) -> None:
        message.deleted = True

    def _sync(self, call: Call) -> Any:
        told = {"description": "", "version": "1", "application_id": str(payloads.APPLICATION)}
        self.state.commands = [{**told, **command, "id": str(self.state.new_id())} for command in call.body]
        return self.state.commands

    # The gateway

    async def _speak(self, request: web.Request) -> web.WebSocketResponse:
        self._gateway = None  # of a bot that was killed; the new one hears nothing until it has said who it is
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": 40_000}})
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            match frame.json()["op"]:
                case code if code == HEARTBEAT:
                    await socket.send_json({"op": HEARTBEAT_ACK})
                case code if code == RESUME:
                    await socket.send_json({"op": INVALID_SESSION, "d": False})
                case code if code == IDENTIFY:
                    self._sequence = 1
                    await socket.send_json({"op": DISPATCH, "t": "READY", "s": 1, "d": self._ready()})
                    self._gateway = socket
                    self.sessions += 1
        return socket

    def _ready(self) -> dict[str, Any]:
        return {
            "v": 10, "user": payloads.user(payloads.BOT, bot=True), "guilds": [], "session_id": "s", "shard": [0, 1],
            "resume_gateway_url": f"ws://127.0.0.1:{self.port}{VERSION}/gateway",
            "application": {"id": str(payloads.APPLICATION), "flags": 0},
        }  # fmt: skip


@asynccontextmanager
async def discord_server() -> AsyncIterator[DiscordServer]:
    """The server, on a free port of this machine."""
    server = DiscordServer()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.2, access_log=None)  # it would write down tokens
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()


async def _read(request: web.Request) -> tuple[Any, tuple[str, ...]]:
    """The JSON of a request and the names of its files, whose bytes nobody asks for."""
    if not request.content_type.startswith("multipart/"):
        return (await request.json() if request.can_read_body else None), ()
    body, files = None, []
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        data = await part.read()
        if part.name == "payload_json":
            body = json.loads(data)
        else:
            files.append(str(part.filename))
    return body, tuple(files)


def _write(message: Message, body: Any, files: tuple[str, ...]) -> None:
    """What a message says from now on. Files that are not named any more go, as an edit of its attachments asks."""
    message.content = body.get("content") or message.content
    if "components" in body:
        message.components = body["components"] or []
    if files or "attachments" in body:
        message.files = files


def _json(data: Any) -> web.Response:
    # discord.py wants exactly this content type, without the character set that aiohttp's own function adds.
    return web.Response(body=json.dumps(data).encode(), content_type="application/json")


def _refusal(status: int, code: int) -> web.Response:
    body: dict[str, Any] = {"message": HTTPStatus(status).phrase, "code": code}
    headers = {}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        body["retry_after"], body["global"] = RETRY_AFTER, False
        headers["Via"] = "1.1 drill"  # without it discord.py takes the answer for that of a wall before Discord
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers)


async def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for what has no event of its own; whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True
