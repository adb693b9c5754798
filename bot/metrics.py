"""What Prometheus may ask: counts, waiting times, the queue and the workers as they are. And whether all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from generation.engine.protocol import WorkerInfo, WorkerState
from generation.job import Job, JobStatus

# From a picture of the pocket model to a long queue before full SDXL, in seconds.
SECONDS = (0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600)
# Of an answer to an interaction; Discord gives up after 3.
ANSWER_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`problems` says, in a few words each, why this program cannot do its work now; none: all is well."""

    problems: tuple[str, ...] = ()


class Metrics:
    """Counters of one program. Each method is cheap and may be called from the event loop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._ordered = Counter("limner_jobs_ordered", "Jobs that were queued.", ["kind"], registry=self.registry)
        self._ended = Counter(
            "limner_jobs_ended", "Jobs that ended, by how.", ["kind", "status"], registry=self.registry
        )
        self._pictures = Counter("limner_pictures", "Pictures that were drawn.", registry=self.registry)
        self._credits = Counter("limner_credits", "Credits that were spent for good.", registry=self.registry)
        self._waited = Histogram(
            "limner_job_wait_seconds", "From the order to the last start.", buckets=SECONDS, registry=self.registry
        )
        self._drawn = Histogram(
            "limner_job_drawing_seconds", "From the last start to the end.", buckets=SECONDS, registry=self.registry
        )
        self._answered = Histogram(
            "limner_answer_seconds", "From an interaction's receipt to the first answer.", buckets=ANSWER_SECONDS,
            registry=self.registry,
        )  # fmt: skip

    def watch(self, *, depth: Callable[[], int], workers: Callable[[], Sequence[WorkerInfo]]) -> None:
        """Tell the queue and the workers too, as they are whenever somebody asks."""
        self.registry.register(_Now(depth, workers))

    def answered(self, seconds: float) -> None:
        """An interaction was answered for the first time, so long after it was received."""
        self._answered.observe(seconds)

    def ordered(self, job: Job) -> None:
        """A job was queued."""
        self._ordered.labels(job.kind).inc()

    def ended(self, job: Job) -> None:
        """A job is done, failed or cancelled."""
        self._ended.labels(job.kind, job.status).inc()
        if job.status is not JobStatus.DONE:
            return
        self._pictures.inc(len(job.recipes))
        self._credits.inc(job.cost)
        if job.started_at is not None and job.finished_at is not None:
            self._waited.observe((job.started_at - job.created_at).total_seconds())
            self._drawn.observe((job.finished_at - job.started_at).total_seconds())


class _Now(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, depth: Callable[[], int], workers: Callable[[], Sequence[WorkerInfo]]) -> None:
        self._depth = depth
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("limner_jobs_waiting", "Jobs that wait to be drawn.", value=self._depth())
        workers = self._workers()
        states = GaugeMetricFamily("limner_workers", "Workers by state.", labels=["state"])
        for state in WorkerState:
            states.add_metric([state], sum(worker.state is state for worker in workers))
        yield states
        restarts = GaugeMetricFamily("limner_worker_restarts", "How often a worker was restarted.", labels=["worker"])
        for worker in workers:
            restarts.add_metric([worker.name], worker.restarts)
        yield restarts


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
