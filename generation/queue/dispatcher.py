"""Sees every job through: picks, leases, paints, settles, retries, cancels, and takes back what was lost.

What happens is durable first and told to the listener afterwards. Everything runs on one event loop; `Dispatcher.run`
owns all tasks. A lease in the store decides who may settle a job: whatever this program believes, the store drops a
result for a job that is no longer leased to its worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import structlog

from generation.catalogue import Catalogue
from generation.clock import Clock
from generation.engine.protocol import Batch, Engine, Progress, Task, WorkerInfo, WorkerState
from generation.errors import EngineDead, LimnerError, ModelUnavailable, PaintingCancelled, WorkerError
from generation.job import Job, JobStatus, Priority
from generation.queue.assembly import SOURCE_GONE, CannotRun, batch_of, tasks_of
from generation.queue.coming_model import ComingModel
from generation.queue.elsewhere import Elsewhere
from generation.queue.estimate import Outlook, Speeds
from generation.queue.gathering import Gathering
from generation.queue.listener import JobProgress, QueueListener
from generation.queue.outlooks import Outlooks
from generation.queue.policy import FairQueue, QueuedJob
from generation.queue.running import RunningBatch
from generation.queue.settings import QueueSettings
from generation.queue.settling import OnBlocked, Settling
from generation.queue.store import JobStore
from generation.queue.trouble import Trouble
from generation.queue.waiting import comes_within, unless
from generation.safety import SafetyPolicy

__all__ = ["SOURCE_GONE", "Dispatcher", "JobProgress", "Outlook", "QueueListener", "QueueSettings"]


class Dispatcher:
    """Give it a task of its own to `run` in, `submit` what was ordered, `stop` it before the engine is closed."""

    def __init__(
        self,
        *,
        store: JobStore,
        engine: Engine,
        catalogue: Catalogue,
        listener: QueueListener,
        settings: QueueSettings,
        clock: Clock,
        instance: str,
        safety: SafetyPolicy | None = None,
        on_blocked: OnBlocked | None = None,
        shared: bool = False,
        on_elsewhere: Callable[[Job], None] = lambda job: None,
        other_workers: Callable[[], Sequence[WorkerInfo]] = tuple,
    ) -> None:
        """`safety` is what the workers' image classifier decides about, None where they have none.

        `shared`: other programs work with the same store. `on_elsewhere` is called on the event loop with each job that
        one of them starts or ends, or that is found to have ended and not to be delivered, as it is then, perhaps more
        than once; `other_workers` are theirs, for the outlooks.
        """
        self._store = store
        self._engine = engine
        self._catalogue = catalogue
        self._listener = listener
        self._settings = settings
        self._clock = clock
        self._log = structlog.get_logger(__name__).bind(instance=instance)
        self._queue = FairQueue()
        self._speeds = Speeds(catalogue)
        self._trouble = Trouble(settings, clock)
        self._safety = safety
        self._settling = Settling(
            store=store,
            queue=self._queue,
            catalogue=catalogue,
            listener=listener,
            trouble=self._trouble,
            safety=safety,
            on_blocked=on_blocked,
        )
        # In order of their start; a worker's next one may begin while its last one is still being settled.
        self._running: list[RunningBatch] = []
        self._gathering = Gathering(queue=self._queue, settings=settings, clock=clock)
        self._outlooks = Outlooks(
            queue=self._queue,
            running=self._running,
            workers=lambda: [*engine.workers(), *other_workers()],
            speeds=self._speeds,
            clock=clock,
            gathering=self._gathering.seconds_left,
        )
        self._coming_model = ComingModel(
            queue=self._queue, running=self._running, engine=engine, catalogue=catalogue, clock=clock
        )
        self._elsewhere = Elsewhere(
            store=store,
            queue=self._queue,
            running=self._running,
            catalogue=catalogue,
            settings=settings,
            trouble=self._trouble,
            instance=instance,
            shared=shared,
            drop=self._drop,
            told=on_elsewhere,
            moved=self._moved,
        )
        self._wake = asyncio.Event()  # something waits to be picked, or the program stops
        self._stopping = asyncio.Event()
        self._drained = asyncio.Event()
        self._ended = asyncio.Event()
        self._in_run = False
        self._grace = 0.0

    # What others call

    async def run(self) -> None:
        """Until `stop`. Raises `EngineDead` when no worker can be started any more, with nothing left leased."""
        dead: EngineDead | None = None
        self._in_run = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_up())
                tasks.create_task(self._look_ahead())
                tasks.create_task(self._elsewhere.run(self._drained))
                try:
                    await self._serve(tasks)
                except EngineDead as error:
                    dead = error
                await self._drain()
                self._drained.set()
                self._elsewhere.hear(())
        finally:
            self._ended.set()
        if dead is not None:
            raise dead

    async def stop(self, *, grace: float) -> None:
        """Lease nothing more. What runs may finish for `grace` seconds and is then handed back, attempt not counted."""
        self._grace = grace
        self._stopping.set()
        self._wake.set()
        if self._in_run:
            await self._ended.wait()

    def submit(self, job: Job) -> None:
        """A job was ordered; it is durable already."""
        self._queue.add(QueuedJob.of(job, self._catalogue))
        self._gathering.came(job.id)
        self._moved()

    def moved_elsewhere(self, job_ids: Collection[int] | None) -> None:
        """Another program on the same store changed these jobs; None: it may have been any."""
        if job_ids is None:
            self._elsewhere.hear_nothing()
        else:
            self._elsewhere.hear(job_ids)

    async def cancel(self, job_id: int, *, by: int | None = None) -> bool:
        """Call off a queued or running job, `by` a moderator or its owner (None). False: it had already ended."""
        if not await self._store.cancel(job_id, by=by):
            return False
        self._drop(job_id)
        job = await self._store.get(job_id)
        if job is not None:
            self._listener.job_ended(job)
        self._moved()
        return True

    def pause(self, guild_id: int | None) -> None:
        """Start nothing of a server (None: nothing at all) until `resume`. What runs goes on; what waits stays there.

        Pausing what is paused changes nothing. It is forgotten with the program.
        """
        self._queue.pause(guild_id)
        self._moved()

    def resume(self, guild_id: int | None) -> None:
        """Undo that `pause`. A server that was paused by itself stays so when all are resumed."""
        self._queue.resume(guild_id)
        self._moved()

    def outlook(self, job_id: int) -> Outlook | None:
        """Place and times of a job that waits; None for any other."""
        return self._outlooks.of(job_id)

    def depth(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    def depths(self) -> dict[Priority, int]:
        """How many jobs wait in each priority class."""
        return self._queue.depths()

    def held_back(self) -> int:
        """How many of those that wait are paused."""
        return self._queue.held_back()

    def running(self) -> int:
        """How many jobs are being drawn."""
        return sum(len(running.ids) for running in self._running)

    @property
    def draining(self) -> bool:
        """Whether nothing at all is started until `resume(None)`."""
        return self._queue.all_paused

    # The loop

    async def _serve(self, tasks: asyncio.TaskGroup) -> None:
        """Give batches to idle workers until the program stops."""
        await self._load()
        while not self._stopping.is_set():
            await self._rest()
            if await unless(self._stopping, self._engine.idle()) is None:
                return
            idle = [info for info in self._engine.workers() if info.state is WorkerState.IDLE]
            if not idle:  # it died in this moment
                continue
            if self._queue.ready:
                info = self._queue.place(idle)
                if (seconds := self._gathering.seconds_left(info)) > 0:
                    self._wake.clear()
                    with contextlib.suppress(TimeoutError):  # and look again
                        async with asyncio.timeout(seconds):
                            await unless(self._stopping, unless(self._wake, self._engine.death()))
                else:
                    await self._start_batch(info, tasks)
            elif not self._stopping.is_set():  # its wake-up may have come by now, and shall not be wiped out
                self._wake.clear()
                await unless(self._wake, self._engine.death())  # and ask again: the worker may have died meanwhile

    async def _load(self) -> None:
        """Take in what the store remembers, however long it takes until it answers."""
        while not self._stopping.is_set():
            with self._trouble.survive("queue_not_loaded") as attempt:
                await self._take_back_expired()
                waiting = await self._store.waiting()
                self._take_in(waiting)
            if attempt.error is None:
                self._elsewhere.hear_nothing()
                return
            await self._rest()

    async def _start_batch(self, worker: WorkerInfo, tasks: asyncio.TaskGroup) -> None:
        """Pick a batch, lease its jobs, and let the worker paint it in a task of its own."""
        picked = self._queue.pick(worker)
        running = RunningBatch(
            worker,
            picked,
            expected_seconds=self._speeds.batch_seconds(worker, picked),
            now=self._clock.monotonic(),
        )
        self._running.append(running)
        batch = None
        with self._trouble.survive("batch_not_leased", *running.ids) as attempt:
            batch = await self._lease(running)
        if attempt.error is not None:
            await self._settling.hand_back(running)
        if batch is None:
            self._running.remove(running)
        else:
            running.task = tasks.create_task(self._see_through(running, batch))
            # The task runs up to the engine, which no longer calls this worker idle then.
            await asyncio.sleep(0)
        self._moved()

    async def _lease(self, running: RunningBatch) -> Batch | None:
        """Lease the picked jobs and fetch what they need. None: there is nothing to paint after all."""
        worker = running.worker.name
        needed: list[Task] = []
        leased = await self._store.lease(running.ids, worker=worker, seconds=self._settings.lease_seconds)
        self._elsewhere.missed(running, set(running.ids) - {job.id for job in leased})
        for job in leased:
            try:
                needed += await tasks_of(job, store=self._store, catalogue=self._catalogue)
            except CannotRun as error:
                self._log.warning("job_cannot_run", job_id=job.id, error=error.key, reason=str(error.__cause__ or ""))
                await self._settling.fail(running, job, error=error.key)
            else:
                running.jobs[job.id] = job
        for job in running.wanted_jobs():  # some may have been called off while the sources were read
            self._listener.job_started(job)
        needed = [task for task in needed if task.job_id not in running.cancelled]
        return batch_of(needed, self._catalogue) if needed else None

    # The end of a batch

    async def _see_through(self, running: RunningBatch, batch: Batch) -> None:
        """Paint a batch, then settle each of its jobs."""
        try:
            with self._trouble.survive("batch_not_settled", *running.ids) as attempt:
                await self._paint(running, batch)
            if attempt.error is not None:
                await self._settling.try_again(running, attempt.error)
        finally:
            self._running.remove(running)
            self._moved()

    async def _paint(self, running: RunningBatch, batch: Batch) -> None:
        def on_progress(progress: Progress) -> None:
            for job_id, told in running.advance(batch, progress, self._clock.monotonic()).items():
                self._listener.job_progress(job_id, self._seemly(running.jobs[job_id], told))

        if not running.wanted_jobs():
            return
        if not self._is_idle(running.worker.name):
            # It died while its jobs were being leased. That is no attempt at painting them.
            await self._settling.hand_back(running)
            return
        running.painting = True
        try:
            painted = await self._engine.paint(running.worker.name, batch, on_progress)
        except PaintingCancelled:
            running.painting = False
            await self._settling.hand_back(running)
        except LimnerError as error:
            running.painting = False
            self._log.warning("batch_failed", job_ids=running.ids, worker=running.worker.name, error=str(error))
            # Weights that all of it name are at fault in all of it; whatever else is wrong may be one neighbour's.
            alone = len(running.jobs) == 1 and not isinstance(error, WorkerError)
            same_weights = len({(task.recipe.loras, task.recipe.embeddings) for task in batch.tasks}) == 1
            useless = alone or (same_weights and isinstance(error, ModelUnavailable))
            await self._settling.try_again(running, error, useless=useless)
        else:
            running.painting = False
            running.teach(self._speeds, batch, painted, self._clock.monotonic())
            for job in running.wanted_jobs():
                await self._settling.finish(running, job, running.pictures(batch, painted, job.id))

    def _seemly(self, job: Job, progress: JobProgress) -> JobProgress:
        """Without the previews where the picture may yet be hidden: no classifier looks at those."""
        if self._safety is None or self._safety.shows_previews(age_restricted=job.age_restricted, spoiler=job.spoiler):
            return progress
        return replace(progress, previews=())

    async def _drain(self) -> None:
        """Let running batches end for as long as the grace lasts, then hand back what is still being painted."""
        batches = list(self._running)
        tasks = [running.task for running in batches if running.task is not None]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=self._grace)
        painting = [running for running in batches if running.painting]
        for running in painting:
            if running.task is not None:
                running.task.cancel()
        await asyncio.wait(tasks)  # a batch that is being settled is left to its end
        for running in painting:
            await self._settling.hand_back(running)

    # Upkeep

    async def _keep_up(self) -> None:
        """Renew the leases of what runs, take back what was lost, and take in what trouble hid from us."""
        while not await comes_within(self._settings.lease_seconds / 3, self._drained):
            with self._trouble.survive("leases_not_kept"):
                for running in list(self._running):
                    await self._store.renew(
                        running.ids, worker=running.worker.name, seconds=self._settings.lease_seconds
                    )
                await self._take_back_expired()
                if self._trouble.doubtful:
                    self._trouble.doubtful = False
                    self._take_in(await self._store.waiting())

    async def _look_ahead(self) -> None:
        """Forecast for all who wait, piece by piece, where they are too many for doing it at once."""
        while not await comes_within(self._outlooks.go_on(), self._drained):
            pass

    async def _take_back_expired(self) -> None:
        jobs = await self._store.take_back_expired(self._clock.now())
        for job in jobs:
            self._log.warning("lease_expired", job_id=job.id, attempt=job.attempt, status=job.status)
            if job.status is JobStatus.FAILED:
                self._drop(job.id)
                self._listener.job_ended(job)
        self._take_in([job for job in jobs if job.status is JobStatus.QUEUED])

    def _drop(self, job_id: int) -> None:
        """A job has ended early: nobody wants its pictures."""
        self._queue.remove(job_id)
        latest = {running.worker.name: running for running in self._running}
        for running in self._running:
            if job_id in running.picked:
                running.cancelled.add(job_id)
                # One that is only finished while its worker has the next is soon done, and dropped then.
                if running.painting and not running.wanted_jobs() and running is latest[running.worker.name]:
                    self._engine.cancel(running.worker.name)

    def _take_in(self, jobs: Sequence[Job]) -> None:
        """Let queued jobs wait, except those that were picked since the store was asked.

        One that is picked although its lease ran out waits again when its batch is settled.
        """
        picked = {job_id for running in self._running for job_id in running.picked}
        for job in jobs:
            if job.id not in picked:
                self._queue.add(QueuedJob.of(job, self._catalogue))
        if jobs:
            self._moved()

    def _is_idle(self, worker: str) -> bool:
        return any(info.name == worker and info.state is WorkerState.IDLE for info in self._engine.workers())

    def _moved(self) -> None:
        """Something came, went or ended."""
        self._outlooks.forget()
        if self._queue.ready:
            self._wake.set()
        self._coming_model.tell()
        self._listener.queue_changed()

    async def _rest(self) -> None:
        """Leave the store alone for a while after trouble with it; a stop ends the rest."""
        await comes_within(self._trouble.rest_seconds(), self._stopping)
