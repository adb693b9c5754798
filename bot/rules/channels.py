"""Channels: where a server names some, orders are taken in those alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.orders import Customer
    from storage.guild_rules import GuildRules

NAMED = 3  # of the channels, in the sentence; it is to be read


class ChannelNotAllowed(RequestRejected):
    """In this server one may order in other channels only. Fields: `channels` (mentions of some of them)."""

    key = "channel_not_allowed"


def check_channel(rules: GuildRules, customer: Customer) -> None:
    """Raises `ChannelNotAllowed` unless the channel, the one that its thread belongs to, or its category is named."""
    if rules.channels and not {customer.channel_id, *customer.category_ids} & set(rules.channels):
        mentions = [f"<#{channel_id}>" for channel_id in rules.channels[:NAMED]]
        raise ChannelNotAllowed(channels=", ".join(mentions + ["…"] * (len(rules.channels) > NAMED)))
