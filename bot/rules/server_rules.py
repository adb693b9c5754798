"""What moderators decided for their server, asked of everybody: moderators too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.rules.account_age import check_account_age
from bot.rules.channels import check_channel
from bot.rules.limits import check_limits
from bot.rules.pauses import check_pause

if TYPE_CHECKING:
    from bot.orders import Customer
    from generation.clock import Clock
    from generation.job import NewJob
    from storage.guild_rules import GuildRules
    from storage.storage import Storage


class ServerRules:
    """Bans, channels, the age of accounts, pauses and limits of the server in which something is asked for."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Whether these jobs may be ordered. Raises what `admit` and `check_limits` raise, or `ServerPaused`."""
        rules = await self.admit(customer)
        check_pause(rules)
        check_limits(rules, new)

    async def admit(self, customer: Customer) -> GuildRules:
        """Whether the person may have Limner post for them here; the server's rules.

        Raises `Banned`, `BannedForGood`, `ChannelNotAllowed` or `AccountTooYoung`.
        """
        rules = await self._storage.rulebook.of(customer.guild_id)
        await self._storage.bans.check(customer.user_id, customer.guild_id)
        check_channel(rules, customer)
        check_account_age(rules, customer, now=self._clock.now())
        return rules
