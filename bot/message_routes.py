"""The ways by which a message reaches a person: the interaction, the channel, a new message, a direct message.

An interaction's token edits its answer without any permission, but lives for 15 minutes. After that the bot edits its
message as itself, which needs access to the channel; where the message or the access is gone it sends a new one, and
where it may not write at all, it writes to the person directly.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import discord
import structlog
from discord.utils import DEFAULT_FILE_SIZE_LIMIT_BYTES

from bot.pictures import Upload

if TYPE_CHECKING:
    from bot.client import Interaction, LimnerClient
    from generation.clock import Clock

TOKEN_SECONDS = 14 * 60  # of the 15 minutes that Discord gives; the last one is left for slow uploads
# What an attempt may fail with for reasons that pass: no connection, a server error, too many requests.
CONNECTION_ERRORS = (aiohttp.ClientError, OSError)
SMALLEST_BYTES = 64 * 1024  # of a picture: one that is smaller was not refused for its size
MENTION_NOBODY = discord.AllowedMentions.none()


class RouteClosed(Exception):
    """This way does not lead there, now or later: no access, no such message, a token that is too old."""


class Undeliverable(Exception):
    """No way is open. `passing` tells whether that may change by itself."""

    def __init__(self, *, passing: bool) -> None:
        super().__init__(passing)
        self.passing = passing


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What a message is to hold: text, at most one picture, buttons (or None)."""

    content: str
    picture: Upload | None = None
    filename: str = "limner"
    view: discord.ui.View | None = None

    def files(self) -> list[discord.File]:
        """Made anew for every attempt: sending reads a file to its end."""
        if self.picture is None:
            return []
        return [discord.File(io.BytesIO(self.picture.data), self.picture.filename(self.filename))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An interaction that can be answered for some time. `received_at` is in seconds of the routes' clock."""

    interaction: Interaction
    received_at: float


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a message is or shall be. `message_id` and `receipt` change as ways open and close.

    `nonce` (up to 20 characters) names what the message is about, so that it is never sent twice. `upload_limit` is in
    bytes, where less could be uploaded than Discord says.
    """

    nonce: str
    user_id: int
    guild_id: int | None
    channel_id: int
    message_id: int | None
    receipt: Receipt | None = None
    upload_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What a message has to be written for: the bytes that may be uploaded, and whether it goes to the person alone."""

    upload_limit: int
    direct: bool = False


Writer = Callable[[Destination], Awaitable[Parcel]]


class MessageRoutes:
    """Edits and sends messages. Knows nothing about what they say."""

    def __init__(self, client: LimnerClient, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def receipt(self, interaction: Interaction) -> Receipt:
        """To be taken as soon as an interaction arrives: its age counts from here."""
        return Receipt(interaction=interaction, received_at=self._clock.monotonic())

    def recalled(self, token: str, *, ordered_at: datetime, channel_id: int, guild_id: int | None) -> Receipt | None:
        """The receipt of an interaction that an earlier run of the program took; None if its time is over.

        Whether that run answered it is not known: if it did not, changing its answer finds the way closed.
        """
        age = max(0.0, (self._clock.now() - ordered_at).total_seconds())
        if age >= TOKEN_SECONDS:
            return None
        guild = self._client.get_guild(guild_id) if guild_id is not None else None
        payload: Any = {
            "id": "0", "type": discord.InteractionType.application_command.value, "version": 1, "token": token,
            "application_id": self._client.application_id, "channel": {"id": channel_id},
            "attachment_size_limit": DEFAULT_FILE_SIZE_LIMIT_BYTES if guild is None else guild.filesize_limit,
        }  # fmt: skip
        state: Any = self._client._connection
        interaction: Interaction = discord.Interaction(data=payload, state=state)
        return Receipt(interaction=interaction, received_at=self._clock.monotonic() - age)

    def age(self, receipt: Receipt) -> float:
        """Seconds since the interaction came in."""
        return self._clock.monotonic() - receipt.received_at

    def fresh(self, place: Place) -> bool:
        """Whether the interaction can still be used."""
        return place.receipt is not None and self.age(place.receipt) < TOKEN_SECONDS

    async def edit(self, place: Place, write: Writer) -> None:
        """Change the message where it stands. Raises `Undeliverable` if it cannot be changed (now)."""
        await self._first_open(place, write, (self._through_interaction, self._through_channel))

    async def announce(self, place: Place, write: Writer) -> None:
        """Send a first message to the channel. Raises `Undeliverable`."""
        await self._first_open(place, write, (self._as_first_message,))

    async def deliver(self, place: Place, write: Writer) -> None:
        """Change the message, or else send a new one. Raises `Undeliverable`; called again, it makes no second one."""
        await self._first_open(
            place,
            write,
            (self._through_interaction, self._through_channel, self._as_new_message, self._as_direct_message),
        )

    async def _first_open(
        self, place: Place, write: Writer, routes: tuple[Callable[[Place, Writer], Awaitable[None]], ...]
    ) -> None:
        for route in routes:
            try:
                await self._take(route, place, write)
            except RouteClosed:
                continue
            except discord.HTTPException as error:
                if error.status == 429 or error.status >= 500:
                    raise Undeliverable(passing=True) from error
                structlog.get_logger(__name__).info(
                    "route_closed", about=place.nonce, route=route.__name__, status=error.status, code=error.code
                )
            except (discord.RateLimited, *CONNECTION_ERRORS) as error:
                raise Undeliverable(passing=True) from error
            else:
                return
        raise Undeliverable(passing=False)

    async def _take(self, route: Callable[[Place, Writer], Awaitable[None]], place: Place, write: Writer) -> None:
        """Go that way, with a picture half as large each time that this one was too large after all.

        Discord's limits have been lowered before, and a proxy on the way may have one of its own.
        """
        tried = 0

        async def written(destination: Destination) -> Parcel:
            nonlocal tried
            limit = min(destination.upload_limit, place.upload_limit or destination.upload_limit)
            parcel = await write(replace(destination, upload_limit=limit))
            tried = 0 if parcel.picture is None else len(parcel.picture.data)
            return parcel

        while True:
            try:
                return await route(place, written)
            except discord.HTTPException as error:
                if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or tried < SMALLEST_BYTES:
                    raise
                place.upload_limit = tried // 2

    async def _through_interaction(self, place: Place, write: Writer) -> None:
        if place.receipt is None or not self.fresh(place):
            place.receipt = None
            raise RouteClosed
        interaction = place.receipt.interaction
        parcel = await write(Destination(upload_limit=interaction.filesize_limit))
        try:
            message = await interaction.edit_original_response(
                content=parcel.content, attachments=parcel.files(), view=parcel.view, allowed_mentions=MENTION_NOBODY
            )
        except discord.HTTPException as error:
            if error.status in (401, 403, 404):  # the token died before its time, or the message is gone
                place.receipt = None
            raise
        if place.message_id is None:  # an earlier run sent it and could not remember it any more
            place.message_id = message.id

    async def _through_channel(self, place: Place, write: Writer) -> None:
        if place.message_id is None:
            raise RouteClosed
        parcel = await write(Destination(upload_limit=self._guild_limit(place)))
        message = self._channel(place).get_partial_message(place.message_id)
        await message.edit(
            content=parcel.content, attachments=parcel.files(), view=parcel.view, allowed_mentions=MENTION_NOBODY
        )

    async def _as_first_message(self, place: Place, write: Writer) -> None:
        # Not the nonce of a later one: should somebody delete this message, that one must not be taken for it.
        parcel = await write(Destination(upload_limit=self._guild_limit(place)))
        message = await self._send(self._channel(place), place, parcel, nonce=f"{place.nonce}-1")
        place.message_id = message.id

    async def _as_new_message(self, place: Place, write: Writer) -> None:
        parcel = await write(Destination(upload_limit=self._guild_limit(place)))
        message = await self._send(self._channel(place), place, parcel, nonce=place.nonce)
        place.message_id = message.id

    async def _as_direct_message(self, place: Place, write: Writer) -> None:
        parcel = await write(Destination(upload_limit=DEFAULT_FILE_SIZE_LIMIT_BYTES, direct=True))
        channel = await self._client.create_dm(discord.Object(place.user_id))
        await self._send(channel, place, parcel, nonce=f"{place.nonce}-dm")

    async def _send(
        self, channel: discord.abc.Messageable, place: Place, parcel: Parcel, *, nonce: str
    ) -> discord.Message:
        """With a nonce that Discord enforces: the same one twice within minutes gives back the first message."""
        return await channel.send(
            parcel.content,
            files=parcel.files(),
            nonce=nonce,
            allowed_mentions=discord.AllowedMentions(
                everyone=False, roles=False, replied_user=False, users=[discord.Object(place.user_id)]
            ),
            view=parcel.view or discord.utils.MISSING,
        )

    def _channel(self, place: Place) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(place.channel_id, guild_id=place.guild_id)

    def _guild_limit(self, place: Place) -> int:
        guild = self._client.get_guild(place.guild_id) if place.guild_id is not None else None
        return guild.filesize_limit if guild is not None else DEFAULT_FILE_SIZE_LIMIT_BYTES
