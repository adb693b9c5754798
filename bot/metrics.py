"""What Prometheus may ask: counts, waiting times, the queue and the workers as they are. And whether all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from bot.standing import Standing
from generation.engine.protocol import Batch, Painted, WorkerState
from generation.errors import (
    LimnerError,
    ModelUnavailable,
    OutOfMemory,
    PaintingFailed,
    PictureUnchecked,
    WorkerLost,
)
from generation.job import Job, JobStatus, Priority

# From a picture of the pocket model to a long queue before full SDXL, in seconds.
SECONDS = (0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600)
# Of an answer to an interaction; Discord gives up after 3.
ANSWER_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
# Real over promised time: 1 is a promise that was kept to the second.
RATIOS = (0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4, 10)
# Of shorter promises, what Discord and the disk take is more than the queue's share.
MIN_PROMISE_SECONDS = 2.0
# What alerts look for, and what is most common.
FAILURES = tuple(error.key for error in (WorkerLost, OutOfMemory, PaintingFailed, ModelUnavailable, PictureUnchecked))
BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`problems` says, in a few words each, why this program cannot do its work now; none: all is well."""

    problems: tuple[str, ...] = ()


class Metrics:
    """Counters of one program. Each method is cheap and may be called from the event loop.

    The names are used by the dashboard and the alerts in docs/operating/; a test compares.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._ordered = Counter(
            "limner_jobs_ordered", "Jobs that were queued.", ["kind", "priority"], registry=registry
        )
        self._ended = Counter("limner_jobs_ended", "Jobs that ended, by how.", ["kind", "status"], registry=registry)
        self._failed = Counter("limner_jobs_failed", "Jobs that failed, by the error.", ["error"], registry=registry)
        for error in FAILURES:
            self._failed.labels(error)  # there from the start: the rise to the first one would not be seen
        self._pictures = Counter("limner_pictures", "Pictures that were drawn.", registry=registry)
        self._credits = Counter(
            "limner_credits", "Credits that were held for jobs, spent for good, or returned.", ["movement"],
            registry=registry,
        )  # fmt: skip
        for movement in ("held", "spent", "returned"):
            self._credits.labels(movement)
        self._waited = Histogram(
            "limner_job_wait_seconds", "From the order to the last start.", ["priority"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        for priority in Priority:
            self._waited.labels(_word(priority))
        self._drawn = Histogram(
            "limner_job_drawing_seconds", "From the last start to the end.", buckets=SECONDS, registry=registry
        )
        self._promises = Histogram(
            "limner_promise_ratio", "Real over promised time, from the order to the pictures.", buckets=RATIOS,
            registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "limner_batch_pictures", "Pictures that shared a batch.", ["model"], buckets=BATCH_SIZES, registry=registry
        )
        self._batch_seconds = Histogram(
            "limner_batch_seconds", "What a worker took for a batch.", ["model"], buckets=SECONDS, registry=registry
        )
        self._batches_failed = Counter(
            "limner_batches_failed", "Batches that failed, by the error; most are tried again.", ["error"],
            registry=registry,
        )  # fmt: skip
        for error in FAILURES:
            self._batches_failed.labels(error)
        self._answered = Histogram(
            "limner_answer_seconds", "From an interaction's receipt to the first answer.", buckets=ANSWER_SECONDS,
            registry=registry,
        )  # fmt: skip

    def watch(self, look: Callable[[], Standing]) -> None:
        """Tell how the program stands, too, whenever somebody asks."""
        self.registry.register(_Now(look))

    def answered(self, seconds: float) -> None:
        """An interaction was answered for the first time, so long after it was received."""
        self._answered.observe(seconds)

    def ordered(self, job: Job) -> None:
        """A job was queued."""
        self._ordered.labels(job.kind, _word(job.priority)).inc()
        self._credits.labels("held").inc(job.price)

    def ended(self, job: Job, *, promised_seconds: float | None = None) -> None:
        """A job is done, failed or cancelled. `promised_seconds` is how long its owner was told to wait for it."""
        self._ended.labels(job.kind, job.status).inc()
        if job.status is not JobStatus.DONE:
            self._credits.labels("returned").inc(job.price)
            if job.status is JobStatus.FAILED:
                self._failed.labels(job.error or LimnerError.key).inc()
            return
        self._pictures.inc(len(job.recipes))
        self._credits.labels("spent").inc(job.price)
        if job.started_at is None or job.finished_at is None:
            return
        self._waited.labels(_word(job.priority)).observe((job.started_at - job.created_at).total_seconds())
        self._drawn.observe((job.finished_at - job.started_at).total_seconds())
        if promised_seconds is not None and promised_seconds >= MIN_PROMISE_SECONDS:
            self._promises.observe((job.finished_at - job.created_at).total_seconds() / promised_seconds)

    def batch_painted(self, batch: Batch, painted: Painted) -> None:
        """A worker painted a batch."""
        self._batches.labels(batch.model.name).observe(len(batch.tasks))
        self._batch_seconds.labels(batch.model.name).observe(painted.seconds)

    def batch_failed(self, error: LimnerError) -> None:
        """A worker could not."""
        self._batches_failed.labels(error.key).inc()


class _Now(Collector):
    """What is looked at when it is asked for."""

    def __init__(self, look: Callable[[], Standing]) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        now = self._look()
        waiting = GaugeMetricFamily("limner_jobs_waiting", "Jobs that wait to be drawn.", labels=["priority"])
        for priority, count in now.waiting.items():
            waiting.add_metric([_word(priority)], count)
        yield waiting
        for name, meaning, value in (
            ("limner_jobs_paused", "Jobs that wait for a resume, their server's or all servers'.", now.paused),
            ("limner_jobs_running", "Jobs that are being drawn.", now.running),
            ("limner_jobs_undelivered", "Jobs that have ended and were not told yet.", now.undelivered),
            ("limner_draining", "1 while nothing new is started: /admin drain.", now.draining),
            ("limner_connected", "1 while all shards are connected to Discord.", now.connected),
            ("limner_servers", "Servers that the bot is in.", now.servers),
            ("limner_free_bytes", "Room on the disk of the pictures.", now.free_bytes),
        ):
            if value is not None:  # a bucket has no end
                yield GaugeMetricFamily(name, meaning, value=float(value))
        states = GaugeMetricFamily("limner_workers", "Workers by state.", labels=["state"])
        for state in WorkerState:
            states.add_metric([state], sum(worker.state is state for worker in now.workers))
        yield states
        restarts = CounterMetricFamily("limner_worker_restarts", "How often a worker was restarted.", labels=["worker"])
        for worker in now.workers:
            restarts.add_metric([worker.name], worker.restarts)
        yield restarts


def _word(priority: Priority) -> str:
    return priority.name.lower()


@asynccontextmanager
async def serve_metrics(metrics: Metrics, *, host: str, port: int, health: Callable[[], Health]) -> AsyncIterator[int]:
    """Serve `/metrics` and `/healthz` while the block runs; yields the port (`port` 0 takes a free one).

    `/healthz` answers 200 when there are no problems, 503 otherwise, with JSON that lists them. Raises `OSError` when
    the address is taken.
    """

    async def show_metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def show_health(request: web.Request) -> web.Response:
        problems = health().problems
        return web.json_response({"ok": not problems, "problems": problems}, status=503 if problems else 200)

    app = web.Application()
    app.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", show_health)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
