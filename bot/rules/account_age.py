"""The age of accounts: whoever makes new ones to get more is told from when on they may order."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from generation.errors import RequestRejected

if TYPE_CHECKING:
    from bot.orders import Customer
    from storage.guild_rules import GuildRules


class AccountTooYoung(RequestRejected):
    """The person's account is not as old as this server wants. Fields: `days`, `from_then`."""

    key = "account_too_young"


def check_account_age(rules: GuildRules, customer: Customer, *, now: datetime) -> None:
    """Raises `AccountTooYoung`. Of an account of unknown age nothing is held against its person."""
    if not rules.account_age_days or customer.account_created_at is None:
        return
    from_then = customer.account_created_at + timedelta(days=rules.account_age_days)
    if now < from_then:
        raise AccountTooYoung(days=rules.account_age_days, from_then=from_then)
