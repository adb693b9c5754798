"""A job whose message is kept up to date: what is known about it, and what it shows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.message_routes import Place, Receipt
from generation.job import Job

if TYPE_CHECKING:
    from bot.orders import Customer
    from generation.queue.estimate import Outlook
    from generation.queue.listener import JobProgress


RETRY_SECONDS = 2.0  # after a failed delivery; doubles …
MAX_RETRY_SECONDS = 600.0  # … up to this


class FollowedJob:
    """What is known about one job, and what its message shows."""

    def __init__(
        self,
        job: Job,
        *,
        customer: Customer | None = None,
        receipt: Receipt | None = None,
        locale: str | None = None,
        again: bool = False,
    ) -> None:
        self.job = job
        self.place = Place(
            nonce=f"job-{job.id}",
            user_id=job.user_id,
            guild_id=job.guild_id,
            channel_id=job.channel_id,
            message_id=job.message_id,
            receipt=receipt,
        )
        self.customer = customer  # as they were when they ordered; None for orders of an earlier run
        self.locale = locale if receipt is None else receipt.interaction.locale.value
        self.recalled = False  # for orders of an earlier run: whether it was looked up how they were answered
        self.to_announce = False  # no interaction is answered with its message, so one has to be sent
        self.unclaimed = False  # another bot did something with it before the order came back to us
        self.again = again  # it was running when the program stopped, and waits once more
        self.progress: JobProgress | None = None
        self.shown = ""
        self.promised_seconds: float | None = None  # until the pictures, as the person was first told
        self.reachable = True  # by edits on the way: once they lead nowhere, they are not tried again
        self._delay = RETRY_SECONDS
        self._unreachable_since: float | None = None
        self.answered = asyncio.Event()  # the first answer went through, or failed
        self.moves = 0  # of the queue, when its place in it was shown last
        self.changed = asyncio.Event()  # there is something new to show
        self.turned = asyncio.Event()  # … and it is another status
        self.ended = asyncio.Event()
        if receipt is None:
            self.answered.set()
        self.note(job)

    def claim(self, customer: Customer, *, receipt: Receipt | None = None, locale: str | None = None) -> None:
        """Its order has come back: whose it is, and what it is answered with. Without a receipt it is announced."""
        self.unclaimed = False
        self.customer = customer
        self.place.receipt = receipt
        self.locale = locale if receipt is None else receipt.interaction.locale.value
        if receipt is None:
            self.answered.set()

    def answer(self, message_id: int | None) -> None:
        """The first answer is that message. None: it failed, or Discord took it and we were not told so.

        Whether there is an answer that can be changed, the interaction will tell when that is tried.
        """
        self.place.message_id = message_id
        self.answered.set()

    def next_delay(self) -> float:
        """Seconds to wait after a delivery that failed; more each time."""
        delay, self._delay = self._delay, min(self._delay * 2, MAX_RETRY_SECONDS)
        return delay

    def unreachable_seconds(self, now: float) -> float:
        """No way to the person is open at `now`, in seconds of a monotonic clock: since when that is known, in seconds.

        However long the program did not run, or Discord was down, they may be reached by the next attempt.
        """
        if self._unreachable_since is None:
            self._unreachable_since = now
        return now - self._unreachable_since

    def note(self, job: Job) -> None:
        """A newer state of the job."""
        self.job = job
        self.progress = None
        self.changed.set()
        self.turned.set()
        if job.status.terminal:
            self.ended.set()

    def note_promise(self, outlook: Outlook | None) -> None:
        """What the person is told about its place in the queue. Nothing is promised of what is paused."""
        if outlook is not None and not outlook.paused:
            self.promised_seconds = outlook.wait_seconds + outlook.work_seconds

    def note_progress(self, progress: JobProgress) -> None:
        """Some step is done. Most come without previews: the last ones stay in sight until there are newer ones."""
        if not progress.previews and self.progress is not None:
            progress = replace(progress, previews=self.progress.previews)
        self.progress = progress
        self.changed.set()
