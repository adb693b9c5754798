"""Direct messages: no server's rules hold there, so whoever runs the bot may want no orders in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.orders import Customer
    from generation.job import NewJob


class NoDirectMessages(RequestRejected):
    """The people who run this bot want no orders in direct messages."""

    key = "no_direct_messages"


class DirectMessageRule:
    """No order of a direct message passes where none are wanted."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises `NoDirectMessages`."""
        if customer.guild_id is None and not self._wanted:
            raise NoDirectMessages
