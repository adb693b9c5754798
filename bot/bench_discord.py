"""An in-memory Discord with a stopwatch on it, for `bot/bench_bot.py`.

simcord's own members wait after each action until the bot has come to rest, and what they set off runs on simcord's
clock. Here interactions are handed to discord.py as its gateway does it, whatever the bot is at, and run on the real
one; simcord keeps the server and answers requests. What comes back is timed where it leaves discord.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import discord
from simcord.env import Env
from simcord.interactions import base_payload

APPLICATION_COMMAND = 2  # of Discord's types of interactions
STRING_OPTION = 3  # of Discord's types of options
DEFERRED = 5  # of Discord's types of interaction callbacks
RESULT_PREFIX = "limner-"  # what the file of a finished job is called; a preview's is not


@dataclass(slots=True, kw_only=True)
class SentOrder:
    """An `/imagine` on its way. Times are seconds of `time.perf_counter`."""

    record: Any  # simcord's own note of the interaction
    payload: Mapping[str, Any]
    arrived: float = 0.0
    acknowledged: float = 0.0
    deferred: bool = False
    queued: float = 0.0  # its message says its place in the queue
    shown: float = 0.0  # its result stands in its message
    acknowledgement: asyncio.Event = field(default_factory=asyncio.Event)
    result: asyncio.Event = field(default_factory=asyncio.Event)


class TimedDiscord:
    """One server with one channel and `members` members."""

    def __init__(self, env: Env, client: discord.Client, *, members: int) -> None:
        self._backend = env.backend
        self._receive = client._connection.parsers["INTERACTION_CREATE"]
        guild = env.create_guild("Bench")
        self._guild_id, self._channel_id = guild.id, guild.create_text_channel("pictures").id
        self._members = [guild.add_member(env.create_user(f"member-{number}")).id for number in range(members)]
        self._orders: dict[int, SentOrder] = {}  # by interaction
        self._tokens: dict[str, SentOrder] = {}
        (self._command,) = (
            command
            for command in self._backend.visible_commands(user_id=self._members[0], channel_id=self._channel_id)
            if command["name"] == "imagine"
        )
        self._backend.http_requests = _Heard(self._on_request)
        self._backend.transcript = _Heard(lambda event: None)  # nobody will read it, and it would grow
        self._backend.subscribers.append(self._on_event)

    def prepare(self, prompts: Sequence[str]) -> list[SentOrder]:
        """An order for each prompt, the members taking turns; nothing is sent yet."""
        return [self._order(prompt, self._members[place % len(self._members)]) for place, prompt in enumerate(prompts)]

    async def send(self, orders: Sequence[SentOrder]) -> None:
        """Let them all arrive at once: as fast as a gateway's frames are read, one a turn of the event loop."""
        for order in orders:
            order.arrived = time.perf_counter()
            self._receive(order.payload)
            await asyncio.sleep(0)

    def _order(self, prompt: str, member: int) -> SentOrder:
        record, payload = base_payload(
            self._backend,
            type=APPLICATION_COMMAND,
            channel_id=self._channel_id,
            guild_id=self._guild_id,
            user_id=member,
            data={
                "id": self._command["id"],
                "name": self._command["name"],
                "type": self._command.get("type", 1),
                "options": [{"name": "prompt", "type": STRING_OPTION, "value": prompt}],
            },
        )
        order = self._orders[record.id] = self._tokens[record.token] = SentOrder(record=record, payload=payload)
        return order

    def _on_request(self, request: Any) -> None:
        """The bot calls Discord."""
        match request.path.strip("/").split("/"):
            case ["interactions", interaction_id, _, "callback"]:
                order = self._orders[int(interaction_id)]
                order.acknowledged = time.perf_counter()
                order.deferred = request.json["type"] == DEFERRED
                if not order.deferred:
                    order.queued = order.acknowledged
                order.acknowledgement.set()
            case ["webhooks", _, token, "messages", "@original"]:
                order = self._tokens[token]
                order.queued = order.queued or time.perf_counter()

    def _on_event(self, event: str, payload: Mapping[str, Any]) -> None:
        """Something changed on Discord."""
        if event != "MESSAGE_UPDATE":
            return
        if any(file["filename"].startswith(RESULT_PREFIX) for file in payload.get("attachments", ())):
            now, message_id = time.perf_counter(), int(payload["id"])
            order = next(order for order in self._orders.values() if order.record.message_id == message_id)
            order.shown = now
            order.result.set()


class _Heard(list[Any]):
    """A log that tells of its entries and keeps none."""

    def __init__(self, hear: Callable[[Any], None]) -> None:
        super().__init__()
        self._hear = hear

    def append(self, entry: Any, /) -> None:
        self._hear(entry)
