"""One message per job, kept up to date: queued → preview and percent → pictures and buttons, or why there are none.

The queue calls the methods of `QueueListener`; they only note what happened and return. Each unfinished job has a task
here that follows it: what comes in between two edits is skipped, the end never is. All these tasks are children of
`Courier.run()`, not of the command that ordered: a command is over when its order is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from bot.message_routes import Destination, MessageRoutes, Parcel, Place, Receipt, Undeliverable
from bot.wording import percent_of
from generation.job import Job, JobStatus

if TYPE_CHECKING:
    from bot.metrics import Metrics
    from bot.orders import Customer
    from bot.status import StatusWriter
    from generation.queue.estimate import Outlook
    from generation.queue.listener import JobProgress
    from storage.storage import Storage

log = structlog.get_logger(__name__)

EDIT_SECONDS = 2.0  # between two edits of one message
POSITION_SECONDS = 5.0  # between two edits that only tell a new place in the queue …
POSITION_EDITS_PER_SECOND = 4.0  # … and how many of those all waiting jobs together may make
FIRST_ANSWER_SECONDS = 10.0  # an answer to an interaction that has not gone through by then never will
RETRY_SECONDS = 2.0  # after a failed delivery; doubles …
MAX_RETRY_SECONDS = 600.0  # … up to this
GIVE_UP_AFTER = timedelta(days=7)  # a result that could not be delivered for a week is not tried again


class Status:
    """What is known about one job, and what its message shows."""

    def __init__(
        self, job: Job, *, customer: Customer | None = None, receipt: Receipt | None = None, again: bool = False
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
        self.locale = None if receipt is None else receipt.interaction.locale.value
        self.again = again  # it was running when the program stopped, and waits once more
        self.progress: JobProgress | None = None
        self.shown = ""
        self.answered = asyncio.Event()  # the first answer went through, or failed
        self.changed = asyncio.Event()  # there is something new to show
        self.turned = asyncio.Event()  # … and it is another status
        self.ended = asyncio.Event()
        if receipt is None:
            self.answered.set()
        self.note(job)

    def answer(self, message_id: int | None) -> None:
        """The first answer is that message. None: there is none, and so the interaction is of no use."""
        self.place.message_id = message_id
        if message_id is None:
            self.place.receipt = None
        self.answered.set()

    def note(self, job: Job) -> None:
        """A newer state of the job."""
        self.job = job
        self.progress = None
        self.changed.set()
        self.turned.set()
        if job.status.terminal:
            self.ended.set()

    def note_progress(self, progress: JobProgress) -> None:
        self.progress = progress
        self.changed.set()


class Courier:
    """Tells people how their jobs are going. Implements `generation.queue.listener.QueueListener`.

    Everything is called on one event loop. `outlook` tells a queued job's place in the queue.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        routes: MessageRoutes,
        writer: StatusWriter,
        outlook: Callable[[int], Outlook | None],
        metrics: Metrics,
    ) -> None:
        self._storage = storage
        self._routes = routes
        self._writer = writer
        self._outlook = outlook
        self._metrics = metrics
        self._statuses: dict[int, Status] = {}
        self._new: asyncio.Queue[Status] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._known_channels: set[int] = set()

    # What the queue tells.

    def job_started(self, job: Job) -> None:
        self._status(job).note(job)

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        if status := self._statuses.get(job_id):
            status.note_progress(progress)

    def job_ended(self, job: Job) -> None:
        self._metrics.ended(job)
        self._status(job).note(job)

    def queue_changed(self) -> None:
        for status in self._statuses.values():
            if status.job.status is JobStatus.QUEUED:
                status.changed.set()

    # What commands and buttons tell.

    def expect(self, job: Job, receipt: Receipt, customer: Customer) -> bool:
        """A job was ordered through that interaction, which is about to be answered with `first_words`.

        To be called before anything else is awaited, so that no news of the job comes first. False: it is no new job,
        the interaction came twice.
        """
        if job.id in self._statuses or job.status is not JobStatus.QUEUED or job.message_id is not None:
            return False
        self._metrics.ordered(job)
        self._open(Status(job, customer=customer, receipt=receipt))
        return True

    def first_words(self, job_id: int) -> Parcel:
        """What the first answer says: where the job stands by now."""
        status = self._statuses[job_id]
        parcel = self._writer.queued(status.job, self._outlook(job_id), status.locale)
        status.shown = parcel.content
        return parcel

    async def answered(self, job_id: int, message_id: int | None) -> None:
        """The first answer went through as that message, or did not (None)."""
        if message_id is not None:
            await self._storage.jobs.set_message(job_id, message_id)
        status = self._statuses.get(job_id)
        if status is not None and not status.answered.is_set():
            status.answer(message_id)

    def percent(self, job_id: int) -> int:
        """How much of a running job is done, as far as that is known."""
        status = self._statuses.get(job_id)
        return 0 if status is None or status.progress is None else percent_of(status.progress)

    def first_time_in(self, channel_id: int) -> bool:
        """Whether this is asked for the first time about that channel, in this run of the program."""
        known = channel_id in self._known_channels
        self._known_channels.add(channel_id)
        return not known

    # Its own life.

    async def run(self) -> None:
        """Follow jobs until cancelled."""
        try:
            while True:
                status = await self._new.get()
                task = asyncio.create_task(self._follow(status), name=f"job-{status.job.id}")
                self._tasks.add(task)
                task.add_done_callback(self._over)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_up(self, jobs: Sequence[Job], *, again: bool) -> None:
        """At the start: jobs of an earlier run. `again`: they were running then and are queued now."""
        for job in jobs:
            if job.id not in self._statuses:
                self._open(Status(job, again=again))

    async def drain(self, seconds: float) -> None:
        """Wait for the results of jobs that have ended to be delivered, but not longer."""
        ended = [task for task in self._tasks if self._has_ended(task)]
        if ended:
            await asyncio.wait(ended, timeout=seconds)

    def _has_ended(self, task: asyncio.Task[None]) -> bool:
        status = self._statuses.get(int(task.get_name().removeprefix("job-")))
        return status is not None and status.ended.is_set()

    def _status(self, job: Job) -> Status:
        status = self._statuses.get(job.id)
        if status is None:  # ordered by an earlier run of the program
            status = Status(job)
            self._open(status)
        return status

    def _open(self, status: Status) -> None:
        self._statuses[status.job.id] = status
        self._new.put_nowait(status)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The job stays undelivered: the next start tries again.
            log.error("delivery_broke", task=task.get_name(), exc_info=error)

    async def _follow(self, status: Status) -> None:
        try:
            await _wait(status.answered, FIRST_ANSWER_SECONDS)
            if not status.answered.is_set():
                status.answer(None)
            while not status.ended.is_set():
                await status.changed.wait()
                status.changed.clear()
                status.turned.clear()
                if not status.ended.is_set():
                    await self._show(status)
                    await self._pause(status)
            await self._deliver(status)
        finally:
            self._statuses.pop(status.job.id, None)

    async def _pause(self, status: Status) -> None:
        """Between two edits of one message; the end is never kept waiting."""
        await _wait(status.ended, EDIT_SECONDS)
        if status.job.status is JobStatus.QUEUED:
            queued = sum(other.job.status is JobStatus.QUEUED for other in self._statuses.values())
            await _wait(status.turned, max(POSITION_SECONDS, queued / POSITION_EDITS_PER_SECOND) - EDIT_SECONDS)

    async def _show(self, status: Status) -> None:
        """One edit on the way; it may be lost."""
        job = status.job
        if job.status is JobStatus.QUEUED:
            # A place in the queue is not worth the channel's rate limit; that there was a restart is, once.
            if not self._routes.fresh(status.place) and (not status.again or status.shown):
                return
            parcel = self._writer.queued(job, self._outlook(job.id), status.locale, again=status.again)
        else:
            parcel = await self._writer.running(job, status.progress, status.locale)
        if parcel.content == status.shown and parcel.picture is None:
            return

        async def write(_: Destination) -> Parcel:
            return parcel

        try:
            await self._routes.edit(status.place, write)
        except Undeliverable as error:
            log.debug("progress_lost", job_id=job.id, reason=repr(error.__cause__))
        else:
            status.shown = parcel.content

    async def _deliver(self, status: Status) -> None:
        """Bring the end of the job to the person, however long that takes."""
        job, place, delay = status.job, status.place, RETRY_SECONDS
        if job.finished_at is not None and datetime.now(UTC) - job.finished_at > GIVE_UP_AFTER:
            log.error("given_up", job_id=job.id, user_id=job.user_id, channel_id=job.channel_id)
            await self._storage.jobs.delivered(job.id)
            return
        write = await self._writer.ended(job, status.customer, status.locale)
        before = place.message_id
        while True:
            try:
                await self._routes.deliver(place, write)
                break
            except Undeliverable as error:
                log.warning(
                    "undelivered", job_id=job.id, passing=error.passing, retry_in=delay, reason=repr(error.__cause__)
                )
            await asyncio.sleep(delay)
            delay = min(delay * 2, MAX_RETRY_SECONDS)
        if place.message_id is not None and place.message_id != before:
            await self._storage.jobs.set_message(job.id, place.message_id)
        await self._storage.jobs.delivered(job.id)
        log.info("delivered", job_id=job.id, user_id=job.user_id, status=job.status.value)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but not longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
