"""What a day tells of a policy: how equally those were served who always wanted more, how long everybody waited beside
what is fair, and how well the waiting times were told.

- *Jain's index* (Jain, Chiu and Hawe 1984): 1 where all got the same, 1/n where one of n got all. It is taken of the
  work that was served during the rush to those who wanted something from its first to its last second, in fast jobs.
- *Fair time*: when a machine that serves all who wait at once, in equal parts, would have had the job ready
  (`fluid.py`); the same machine, which takes the seconds that each job really took, and is away while it draws a
  relaxed one. To that comes what was left of the batch that ran when the job came, because no picture is interrupted
  for another. A wait is from the order to the pictures.
- *Error of a waiting time*: how far the time that is told when a job is ordered, until its pictures, is from what it
  then was, as a share of that. Taken of jobs that had to wait, for what is drawn at once is easily foretold.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.bench_fairness.day import MEMBERS, MODELS, day
from bot.bench_fairness.fluid import FairDay, fair_day
from bot.simulation.arrivals import HOUR, Arrival
from bot.simulation.fleet import Run, ServiceTimes, Working, work_through
from bot.simulation.policies import FirstComeFirstServed, Policy, RoundRobin
from generation.catalogue import Catalogue, ModelSpec
from generation.engine.protocol import WorkerInfo
from generation.job import Priority
from generation.queue.estimate import Speeds
from generation.queue.outlooks import Outlooks
from generation.queue.policy import FairQueue
from generation.queue.queued import QueuedJob
from generation.queue.running import RunningBatch

SEED = 1
TIMES = ServiceTimes(picture_seconds=1.5, batch_seconds=0.5, load_seconds=4.0)
RUSH = (19 * HOUR, 22 * HOUR)
# A forecast asks what becomes of all who wait: of so many orders, one is asked for its own.
PROMISES = 12
CATALOGUE = Catalogue(models={name: ModelSpec(name=name, source="/") for name in MODELS}, default_model=MODELS[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a day under one policy; `fair` is the same day on the ideal machine, fast jobs alone."""

    run: Run
    fair: FairDay


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A day under three policies, and for some jobs the seconds that were told when they were ordered."""

    arrivals: Sequence[Arrival]
    outcomes: Mapping[str, Outcome]
    promises: Mapping[int, float]

    def figures(self) -> dict[str, float]:
        """Keys as `python -m bot bench fairness --json` prints them."""
        fair = self.outcomes["fair"]
        return {
            "jain": jain(self.served_in_rush(fair).values()),
            "jain_fifo": jain(self.served_in_rush(self.outcomes["fifo"]).values()),
            "jain_round_robin": jain(self.served_in_rush(self.outcomes["round_robin"]).values()),
            "eta_median_error": statistics.median(abs(told - real) / real for told, real in self.told_and_real()),
            "longest_fast_wait_over_fair": max(self.waits_over_fair(fair)),
        }

    def served_in_rush(self, outcome: Outcome) -> dict[int, float]:
        """Work that was served to each of the equally demanding members."""
        begin, end = RUSH
        alone = {each.job.id: TIMES.painting([each.job]) for each in self.arrivals}
        wanting = fair_day(_fast(self.arrivals), alone).wanting
        served = {
            user_id: 0.0
            for user_id, spans in wanting.items()
            if any(since <= begin and until >= end for since, until in spans)
        }
        for each in _fast(self.arrivals):
            if each.job.user_id in served:
                began, ready = outcome.run.began[each.job.id], outcome.run.ready[each.job.id]
                within = max(0.0, min(end, ready) - max(begin, began))
                served[each.job.user_id] += each.job.work * within / (ready - began)
        return served

    def waits_over_fair(self, outcome: Outcome) -> list[float]:
        """For each fast job."""
        run, fair = outcome.run, outcome.fair
        return [
            (run.ready[each.job.id] - each.time) / (fair.ready[each.job.id] - each.time + run.held_up[each.job.id])
            for each in _fast(self.arrivals)
        ]

    def told_and_real(self, priority: Priority | None = None) -> list[tuple[float, float]]:
        """Seconds until the pictures, of jobs that had to wait: as told and as they were."""
        run = self.outcomes["fair"].run
        return [
            (self.promises[each.job.id], run.ready[each.job.id] - each.time)
            for each in self.arrivals
            if each.job.id in self.promises
            and run.began[each.job.id] > each.time
            and priority in (None, each.job.priority)
        ]


def measure(seed: int = SEED, *, members: int = MEMBERS) -> Measured:
    """Let a day pass under each policy."""
    arrivals = day(seed, members=members)
    queue = FairQueue()
    promises = Promises(queue)
    outcomes = {
        "fair": _outcome(arrivals, queue, seed, promises),
        "fifo": _outcome(arrivals, FirstComeFirstServed(), seed),
        "round_robin": _outcome(arrivals, RoundRobin(), seed),
    }
    return Measured(arrivals=arrivals, outcomes=outcomes, promises=promises.told)


def jain(served: Iterable[float]) -> float:
    """Jain's index of these shares, which are not all 0."""
    shares = list(served)
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


class Promises:
    """Tells people how long it takes, by what the queue's dispatcher tells them by, and learns from each batch."""

    def __init__(self, queue: FairQueue) -> None:
        self.told: dict[int, float] = {}
        self._speeds = Speeds(CATALOGUE)
        self._clock = _CountedClock()
        self._workers: list[WorkerInfo] = []
        self._running: list[RunningBatch] = []
        self._outlooks = Outlooks(
            queue=queue, running=self._running, workers=lambda: self._workers, speeds=self._speeds, clock=self._clock
        )

    def job_came(self, job: QueuedJob, time: float, workers: Sequence[Working]) -> None:
        if job.id % PROMISES:
            return
        self._clock.seconds = time
        self._workers[:] = [each.afterwards() for each in workers]
        self._running[:] = [
            RunningBatch(
                each.worker,
                each.batch,
                expected_seconds=self._speeds.batch_seconds(each.worker, each.batch),
                now=each.began,
            )
            for each in workers
            if each.batch
        ]
        self._outlooks.catch_up()  # which takes the dispatcher seconds, and no time by this clock
        outlook = self._outlooks.of(job.id)
        assert outlook is not None
        self.told[job.id] = outlook.wait_seconds + outlook.work_seconds

    def batch_done(self, done: Working) -> None:
        device, model = done.worker.device, done.batch[0].model
        if done.loading:
            self._speeds.learn_loading(device, model, seconds=done.loading)
        work = sum(job.work for job in done.batch)
        self._speeds.learn_painting(device, model, work=work, seconds=done.ends - done.began - done.loading)


class _CountedClock:
    """The seconds of the day."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def _outcome(arrivals: Sequence[Arrival], queue: Policy, seed: int, promises: Promises | None = None) -> Outcome:
    seconds: dict[int, float] = {}

    def batch_done(done: Working) -> None:
        work = sum(job.work for job in done.batch)
        seconds.update((job.id, (done.ends - done.began) * job.work / work) for job in done.batch)
        if promises is not None:
            promises.batch_done(done)

    def job_came(job: QueuedJob, time: float, workers: Sequence[Working]) -> None:
        if promises is not None:
            promises.job_came(job, time, workers)

    run = work_through(arrivals, queue, TIMES, seed=seed, held=MODELS[0], on_arrival=job_came, on_batch=batch_done)
    relaxed = (each.job.id for each in arrivals if each.job.priority is Priority.RELAX)
    away = sorted({(run.began[job_id], run.ready[job_id]) for job_id in relaxed})
    return Outcome(run=run, fair=fair_day(_fast(arrivals), seconds, away))


def _fast(arrivals: Sequence[Arrival]) -> list[Arrival]:
    return [each for each in arrivals if each.job.priority is Priority.FAST]
