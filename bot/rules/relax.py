"""Whether there are relaxed orders at all. How many somebody may have is asked where they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from generation.errors import RequestRejected
from generation.job import Priority

if TYPE_CHECKING:
    from bot.orders import Customer
    from generation.job import NewJob


class RelaxOff(RequestRejected):
    """The people who run this bot want no relaxed orders."""

    key = "relax_off"


class RelaxRule:
    """No relaxed job passes where none are wanted."""

    def __init__(self, *, relaxed_jobs_per_day: int) -> None:
        self._off = relaxed_jobs_per_day == 0

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises `RelaxOff`."""
        if self._off and any(job.priority is Priority.RELAX for job in new):
            raise RelaxOff
