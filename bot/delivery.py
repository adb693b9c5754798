"""One message per job, kept up to date: queued → preview and percent → pictures and buttons, or why there are none.

The queue calls the methods of `QueueListener`; they only note what happened and return. Each unfinished job has a task
here that follows it: what comes in between two edits is skipped, the end never is. All these tasks are children of
`Courier.run()`, not of the command that ordered: a command is over when its order is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from bot.followed_job import FollowedJob
from bot.message_routes import Destination, MessageRoutes, Parcel, Receipt, Undeliverable
from bot.onlookers import POSITION_EDITS_PER_SECOND, Onlookers
from bot.wording import percent_of
from generation.job import Job, JobStatus

if TYPE_CHECKING:
    from bot.metrics import Metrics
    from bot.orders import Customer
    from bot.status import StatusWriter
    from generation.clock import Clock
    from generation.queue.estimate import Outlook
    from generation.queue.listener import JobProgress
    from storage.storage import Storage

log = structlog.get_logger(__name__)

EDIT_SECONDS = 2.0  # between two edits of one message
POSITION_SECONDS = 5.0  # between two edits that only tell a new place in the queue
FIRST_ANSWER_SECONDS = 10.0  # an answer to an interaction that has not gone through by then never will
REMEMBERED = 1000  # jobs that were delivered: what is heard of them late was seen in storage before that
GIVE_UP_SECONDS = 7 * 24 * 3600.0  # a result to which no way was open for a week of this run is not tried again


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
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._routes = routes
        self._writer = writer
        self._outlook = outlook
        self._metrics = metrics
        self._clock = clock
        self._followed: dict[int, FollowedJob] = {}
        self._new: asyncio.Queue[FollowedJob] = asyncio.Queue()
        self._tasks: dict[asyncio.Task[None], FollowedJob] = {}
        self._onlookers = Onlookers()
        self._known_channels: set[int] = set()
        self._delivered: dict[int, None] = {}  # the last ones, oldest first

    # What the queue tells.

    def job_started(self, job: Job) -> None:
        if self._is_delivered(job):
            return
        followed = self._followed_job(job)
        if not followed.ended.is_set():
            followed.note(job)

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        if followed := self._followed.get(job_id):
            followed.note_progress(progress)

    def job_ended(self, job: Job) -> None:
        if self._is_delivered(job):
            return
        followed = self._followed_job(job)
        if followed.ended.is_set():  # told by another bot too: a job ends once
            return
        self._metrics.ended(job, promised_seconds=followed.promised_seconds)
        followed.note(job)

    def queue_changed(self) -> None:
        self._onlookers.moved()

    def heard(self, job: Job) -> None:
        """Another bot started or ended a job of a server of ours; `job` is as it was a moment ago.

        That may be known before the order has come back from storage here. Then nothing is sent for a while: the order
        is about to be answered (`expect`), or it is one of an earlier run.
        """
        if self._is_delivered(job):
            return
        if job.id not in self._followed:
            followed = FollowedJob(job)
            if job.message_id is None:
                followed.unclaimed = True
                followed.answered.clear()
            self._open(followed)
        if job.status.terminal:
            self.job_ended(job)
        else:
            self.job_started(job)

    # What commands and buttons tell.

    def expect(self, job: Job, receipt: Receipt, customer: Customer) -> bool:
        """A job was ordered through that interaction, which is about to be answered with `first_words`.

        To be called before anything else is awaited, so that no news of the job comes first. False: it is no new job,
        the interaction came twice.
        """
        if not self._is_new(job):
            return False
        self._metrics.ordered(job)
        if (followed := self._followed.get(job.id)) is not None:
            followed.claim(customer, receipt=receipt)
        else:
            self._open(FollowedJob(job, customer=customer, receipt=receipt))
        return True

    def announce(self, job: Job, customer: Customer, locale: str) -> None:
        """A job was ordered that no interaction is answered with: its message goes to the channel by itself.

        To be called before anything else is awaited, as `expect`.
        """
        if not self._is_new(job):
            return
        self._metrics.ordered(job)
        if (followed := self._followed.get(job.id)) is not None:
            followed.to_announce = True
            followed.claim(customer, locale=locale)
        else:
            followed = FollowedJob(job, customer=customer, locale=locale)
            followed.to_announce = True
            self._open(followed)

    def first_words(self, job_id: int) -> Parcel | None:
        """What the first answer says: where the job stands by now. None: it comes too late, other ways were taken."""
        followed = self._followed.get(job_id)
        if followed is None or followed.answered.is_set():
            return None
        outlook = self._outlook(job_id)
        followed.note_promise(outlook)
        parcel = self._writer.queued(followed.job, outlook, followed.locale)
        followed.shown = parcel.content
        return parcel

    async def answered(self, job_id: int, message_id: int | None) -> None:
        """The first answer went through as that message, or did not (None)."""
        followed = self._followed.get(job_id)
        if followed is not None and not followed.answered.is_set():
            followed.answer(message_id)
        if message_id is not None:
            await self._storage.jobs.set_message(job_id, message_id)

    def percent(self, job_id: int) -> int:
        """How much of a running job is done, as far as that is known."""
        followed = self._followed.get(job_id)
        return 0 if followed is None or followed.progress is None else percent_of(followed.progress)

    @property
    def following(self) -> int:
        """How many jobs are not told to their end."""
        return len(self._followed)

    def undelivered(self) -> int:
        """How many jobs have ended and were not told yet."""
        return sum(followed.ended.is_set() for followed in self._followed.values())

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
                followed = await self._new.get()
                task = asyncio.create_task(self._follow(followed), name=f"job-{followed.job.id}")
                self._tasks[task] = followed
                task.add_done_callback(self._over)
        finally:
            self._onlookers.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_up(self, jobs: Sequence[Job], *, again: bool) -> None:
        """At the start: jobs of an earlier run. `again`: they were running then and are queued now."""
        for job in jobs:
            if job.id not in self._followed and not self._is_delivered(job):
                self._open(FollowedJob(job, again=again))

    async def drain(self, seconds: float) -> None:
        """Wait for the results of jobs that have ended to be delivered, but not longer."""
        ended = [task for task, followed in self._tasks.items() if followed.ended.is_set()]
        if ended:
            await asyncio.wait(ended, timeout=seconds)

    def _is_new(self, job: Job) -> bool:
        known = self._followed.get(job.id)
        unknown = known is None or known.unclaimed
        return unknown and job.status is JobStatus.QUEUED and job.message_id is None

    def _is_delivered(self, job: Job) -> bool:
        """Whether its end is told: what came before that, or is heard of it once more, is news to nobody."""
        return job.delivered_at is not None or job.id in self._delivered

    def _followed_job(self, job: Job) -> FollowedJob:
        followed = self._followed.get(job.id)
        if followed is None:  # ordered by an earlier run of the program
            followed = FollowedJob(job)
            self._open(followed)
        return followed

    def _open(self, followed: FollowedJob) -> None:
        self._followed[followed.job.id] = followed
        self._new.put_nowait(followed)

    def _over(self, task: asyncio.Task[None]) -> None:
        followed = self._tasks.pop(task)
        job, error = followed.job, None if task.cancelled() else task.exception()
        if error is None:
            self._followed.pop(job.id, None)
            self._onlookers.leave(job.id)
            self._delivered[job.id] = None
            while len(self._delivered) > REMEMBERED:
                del self._delivered[next(iter(self._delivered))]
            return
        # Storage may be in trouble: a full disk, a locked database. The job stays undelivered until that is over.
        delay = followed.next_delay()
        log.error("delivery_broke", job_id=job.id, user_id=job.user_id, retry_in=delay, exc_info=error)
        asyncio.get_running_loop().call_later(delay, self._new.put_nowait, followed)

    async def _follow(self, followed: FollowedJob) -> None:
        await _wait(followed.answered, FIRST_ANSWER_SECONDS)
        if not followed.answered.is_set():
            followed.answer(None)
        followed.unclaimed = False
        if followed.customer is None and not followed.recalled:
            await self._recall(followed)
        if followed.to_announce and not followed.ended.is_set():
            try:
                await self._announce(followed)
            except Undeliverable as error:
                log.info("unannounced", job_id=followed.job.id, reason=repr(error.__cause__))
        while not followed.ended.is_set():
            await self._onlookers.news(followed)
            followed.changed.clear()
            followed.turned.clear()
            if not followed.ended.is_set() and followed.reachable:
                await self._show(followed)
                await self._pause(followed)
        await self._deliver(followed)

    async def _recall(self, followed: FollowedJob) -> None:
        """How an earlier run answered: it may have died before it could remember which message that was."""
        job, place = followed.job, followed.place
        token = await self._storage.jobs.answer_token(job.id)
        followed.recalled = True
        if token is not None:
            place.receipt = self._routes.recalled(
                token, ordered_at=job.created_at, channel_id=job.channel_id, guild_id=job.guild_id
            )
        elif place.message_id is None:
            # Its message was to be sent by itself. If it was, sending it once more gives it back.
            followed.to_announce = True

    async def _announce(self, followed: FollowedJob) -> None:
        """Send the first message of a job. Raises `Undeliverable`.

        If that passes, it is tried again before the end is told: the message may be there, and then it is found so.
        """
        outlook = self._outlook(followed.job.id)
        followed.note_promise(outlook)
        parcel = self._writer.queued(followed.job, outlook, followed.locale)

        async def write(_: Destination) -> Parcel:
            return parcel

        try:
            await self._routes.announce(followed.place, write)
        except Undeliverable as error:
            followed.to_announce = error.passing
            raise
        followed.to_announce = False
        followed.shown = parcel.content
        if followed.place.message_id is not None:
            await self._storage.jobs.set_message(followed.job.id, followed.place.message_id)

    async def _pause(self, followed: FollowedJob) -> None:
        """Between two edits of one message; the end is never kept waiting."""
        await _wait(followed.ended, EDIT_SECONDS)
        if followed.job.status is JobStatus.QUEUED:
            each = len(self._onlookers) / POSITION_EDITS_PER_SECOND
            await _wait(followed.turned, max(POSITION_SECONDS, each) - EDIT_SECONDS)

    async def _show(self, followed: FollowedJob) -> None:
        """One edit on the way; it may be lost."""
        job = followed.job
        if job.status is JobStatus.QUEUED:
            # A place in the queue is not worth the channel's rate limit; that there was a restart is, once.
            if not self._routes.fresh(followed.place) and (not followed.again or followed.shown):
                return
            parcel = self._writer.queued(job, self._outlook(job.id), followed.locale, again=followed.again)
        else:
            parcel = await self._writer.running(job, followed.progress, followed.locale)
        if parcel.content == followed.shown and parcel.picture is None:
            return

        async def write(_: Destination) -> Parcel:
            return parcel

        try:
            await self._routes.edit(followed.place, write)
        except Undeliverable as error:
            followed.reachable = error.passing
            log.debug("progress_lost", job_id=job.id, reason=repr(error.__cause__))
        else:
            followed.shown = parcel.content

    async def _deliver(self, followed: FollowedJob) -> None:
        """Bring the end of the job to the person, however long that takes."""
        job, place = followed.job, followed.place
        while True:
            try:
                if followed.to_announce:
                    await self._announce(followed)
                # Written for each attempt, and kept for none: the pictures may be deleted between two of them.
                await self._routes.deliver(place, await self._writer.ended(job, followed.customer, followed.locale))
                break
            except Undeliverable as error:
                if not error.passing and followed.unreachable_seconds(self._clock.monotonic()) > GIVE_UP_SECONDS:
                    log.error("given_up", job_id=job.id, user_id=job.user_id, channel_id=job.channel_id)
                    await self._storage.jobs.delivered(job.id)
                    return
                delay = followed.next_delay()
                log.warning(
                    "undelivered", job_id=job.id, passing=error.passing, retry_in=delay, reason=repr(error.__cause__)
                )
            await asyncio.sleep(delay)
        if place.message_id is not None and place.message_id != job.message_id:
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
