"""What stands on the server: people's interactions, our messages, and which calls of ours shall go wrong."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from bot.drills import payloads

# What an answer may fail with; "unheard": the call never arrives, "dropped": it is obeyed and its answer is lost.
Failure: TypeAlias = int | Literal["unheard", "dropped"]

ANSWER_SECONDS = 3.0  # Discord waits so long for the first answer to an interaction
TOKEN_SECONDS = 15 * 60.0


@dataclass(slots=True, kw_only=True)
class Message:
    """A message of ours. `thinking`: a deferral that nothing has replaced yet."""

    id: int
    channel_id: int
    content: str = ""
    components: list[Any] = field(default_factory=list)
    files: tuple[str, ...] = ()
    ephemeral: bool = False
    thinking: bool = False
    deleted: bool = False

    def custom_ids(self) -> list[str]:
        """What its buttons and menus send."""
        return [
            str(item["custom_id"])
            for row in self.components
            for item in row.get("components", ())
            if "custom_id" in item
        ]

    @property
    def cancellable(self) -> tuple[int, ...]:
        """The jobs on their way that its buttons end."""
        found = [button.split(":") for button in self.custom_ids() if button.startswith("limner:cancel:")]
        return tuple(int(parts[2]) for parts in found)

    def payload(self) -> dict[str, Any]:
        """As Discord tells of it."""
        return payloads.message(
            self.id,
            self.channel_id,
            content=self.content,
            components=self.components,
            files=self.files,
            flags=payloads.EPHEMERAL if self.ephemeral else 0,
        )


@dataclass(slots=True, kw_only=True)
class Deed:
    """An interaction: somebody types a command, presses a button, fills in a form. Times are of a monotonic clock.

    `on` is the message of the button, `answer` the type of our first answer, `message_id` the message that it made or
    changes. `queued`: an edit of a deferred answer said that a job is on its way.
    """

    id: int
    token: str
    name: str
    member_id: int
    channel_id: int
    sent_at: float
    on: int | None = None
    answer: int | None = None
    answered_at: float = 0.0
    message_id: int | None = None
    queued: bool = False

    @property
    def promised(self) -> bool:
        """Whether the person saw an answer that says more than that one is on its way."""
        return self.answer == payloads.ANSWER or self.queued


@dataclass(slots=True, kw_only=True)
class Fault:
    """Calls of that name (see `discord_server.CALLS`) go wrong, where `part` stands in their path, `times` at most."""

    call: str
    failure: Failure
    part: str = ""
    times: int | None = None
    hits: int = 0


class DiscordState:
    """The server with its channels. Nothing here knows of HTTP."""

    def __init__(self) -> None:
        self.deeds: dict[str, Deed] = {}  # by token
        self.messages: dict[int, Message] = {}
        self.faults: list[Fault] = []
        self.weather: Callable[[], Failure | None] = lambda: None  # how any call may go wrong, beside those
        self.failed = 0  # calls that went wrong
        self.commands: list[Any] = []
        self._nonces: dict[tuple[int, str], int] = {}
        self._ids = itertools.count(2**51)

    def new_id(self) -> int:
        """The next snowflake."""
        return next(self._ids)

    def begin(self, name: str, *, member_id: int, channel_id: int) -> Deed:
        """Somebody does something."""
        token = secrets.token_hex(16)
        deed = Deed(
            id=self.new_id(),
            token=token,
            name=name,
            member_id=member_id,
            channel_id=channel_id,
            sent_at=time.monotonic(),
        )
        self.deeds[token] = deed
        return deed

    def add(self, channel_id: int, *, nonce: str | None = None) -> Message:
        """A new message; or the one that bears that nonce already in that channel, as `enforce_nonce` asks."""
        known = None if nonce is None else self._nonces.get((channel_id, nonce))
        if known is not None:
            return self.messages[known]
        message = Message(id=self.new_id(), channel_id=channel_id)
        self.messages[message.id] = message
        if nonce is not None:
            self._nonces[channel_id, nonce] = message.id
        return message

    def live(self, message_id: int | None) -> Message | None:
        """The message, unless it is gone."""
        message = None if message_id is None else self.messages.get(message_id)
        return None if message is None or message.deleted else message

    def public(self) -> Iterator[Message]:
        """All that people can see, oldest first, without what one person alone was told."""
        return (message for message in self.messages.values() if not message.deleted and not message.ephemeral)

    def failure(self, call: str, path: str) -> Failure | None:
        """How this call shall go wrong, if it shall."""
        for fault in self.faults:
            if fault.call == call and fault.part in path and (fault.times is None or fault.hits < fault.times):
                fault.hits += 1
                self.failed += 1
                return fault.failure
        struck = self.weather()
        self.failed += struck is not None
        return struck
