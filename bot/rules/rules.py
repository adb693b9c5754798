"""All rules in their order: the first that an order breaks is the one that the person is told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bot.orders import Customer
    from generation.job import NewJob


class Rule(Protocol):
    """One kind of rule."""

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises a `RequestRejected` of its own for an order of these jobs that breaks the rule."""


class Rules:
    """What every order has to pass, also those of buttons, dialogs and series."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises a `RequestRejected`; then nothing is queued and nothing charged."""
        for rule in self._rules:
            await rule.check(customer, new)
