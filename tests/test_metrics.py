"""What a monitoring system sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import aiohttp
import pytest

from bot.measured_engine import MeasuredEngine
from bot.metrics import Health, Metrics, serve_metrics
from bot.standing import Standing
from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Progress, Task, WorkerInfo, WorkerState
from generation.errors import OutOfMemory, PaintingCancelled
from generation.job import Job, JobKind, JobStatus, Priority
from generation.recipe import Recipe

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECIPE = Recipe(
    prompt="a boat", model="pocket", width=128, height=128, seed=7, num_inference_steps=20, guidance_scale=4.0
)
JOB = Job(
    id=1,
    kind=JobKind.IMAGINE,
    recipes=(RECIPE,) * 4,
    request="a boat",
    style=None,
    user_id=1,
    guild_id=2,
    channel_id=3,
    cost=4,
    status=JobStatus.QUEUED,
    created_at=NOON,
)


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


POCKET = ModelSpec(name="pocket", source="/", native_size=128)
STANDING = Standing(
    started_at=NOON,
    connected=True,
    servers=2,
    draining=False,
    waiting={Priority.FAST: 5, Priority.RELAX: 1},
    paused=1,
    running=3,
    undelivered=4,
    workers=(),
    free_bytes=10**9,
)


async def shown(metrics: Metrics) -> list[str]:
    """The lines that Prometheus gets."""
    async with serve_metrics(metrics, host="127.0.0.1", port=0, health=Health) as port:
        status, text = await get(port, "/metrics")
    assert status == 200
    return text.splitlines()


async def test_jobs_are_counted_and_timed() -> None:
    metrics = Metrics()
    done = replace(
        JOB, status=JobStatus.DONE, started_at=NOON + timedelta(seconds=3), finished_at=NOON + timedelta(seconds=10)
    )
    for _ in range(3):
        metrics.ordered(JOB)
    metrics.ended(done, promised_seconds=8)
    metrics.ended(done, promised_seconds=0.5)  # of so short a wait nothing can be learnt
    metrics.ended(replace(JOB, status=JobStatus.FAILED, error="worker_lost"))
    metrics.answered(0.02)
    lines = await shown(metrics)
    for line in (
        'limner_jobs_ordered_total{kind="imagine",priority="fast"} 3.0',
        'limner_jobs_ended_total{kind="imagine",status="done"} 2.0',
        'limner_jobs_ended_total{kind="imagine",status="failed"} 1.0',
        'limner_jobs_failed_total{error="worker_lost"} 1.0',
        "limner_pictures_total 8.0",
        'limner_credits_total{movement="held"} 12.0',
        'limner_credits_total{movement="spent"} 8.0',
        'limner_credits_total{movement="returned"} 4.0',
        'limner_job_wait_seconds_sum{priority="fast"} 6.0',
        "limner_job_drawing_seconds_sum 14.0",
        "limner_promise_ratio_count 1.0",
        "limner_promise_ratio_sum 1.25",
        'limner_answer_seconds_bucket{le="0.025"} 1.0',
    ):
        assert line in lines


async def test_relaxed_jobs_move_no_credits() -> None:
    metrics, relaxed = Metrics(), replace(JOB, priority=Priority.RELAX)
    metrics.ordered(relaxed)
    metrics.ended(replace(relaxed, status=JobStatus.DONE))
    metrics.ended(replace(relaxed, status=JobStatus.CANCELLED))
    lines = await shown(metrics)
    assert 'limner_jobs_ordered_total{kind="imagine",priority="relax"} 1.0' in lines
    for movement in ("held", "spent", "returned"):
        assert f'limner_credits_total{{movement="{movement}"}} 0.0' in lines


async def test_it_is_told_how_the_program_stands_at_that_moment() -> None:
    metrics, now = Metrics(), [STANDING]
    metrics.watch(lambda: now[0])
    before = await shown(metrics)
    worker = WorkerInfo(name="w/cpu", device="cpu", state=WorkerState.BUSY, restarts=2)
    now[0] = replace(STANDING, waiting={Priority.FAST: 6, Priority.RELAX: 0}, workers=(worker,), draining=True)
    after = await shown(metrics)
    for line in (
        'limner_jobs_waiting{priority="fast"} 5.0',
        'limner_jobs_waiting{priority="relax"} 1.0',
        "limner_jobs_paused 1.0",
        "limner_jobs_running 3.0",
        "limner_jobs_undelivered 4.0",
        "limner_draining 0.0",
        "limner_connected 1.0",
        "limner_servers 2.0",
        "limner_free_bytes 1e+09",
        'limner_workers{state="busy"} 0.0',
    ):
        assert line in before
    for line in (
        'limner_jobs_waiting{priority="fast"} 6.0',
        "limner_draining 1.0",
        'limner_workers{state="busy"} 1.0',
        'limner_worker_restarts_total{worker="w/cpu"} 2.0',
    ):
        assert line in after


class OneBatchEngine:
    """Implements `Engine`, as far as it is asked: paints what it was given to say."""

    def __init__(self, outcome: Painted | Exception) -> None:
        self.outcome = outcome

    async def start(self) -> None:
        raise NotImplementedError

    async def close(self, *, grace: float) -> None:
        raise NotImplementedError

    def workers(self) -> Sequence[WorkerInfo]:
        raise NotImplementedError

    async def idle(self) -> str:
        raise NotImplementedError

    async def death(self) -> NoReturn:
        raise NotImplementedError

    async def paint(self, worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def expect(self, worker: str, model: ModelSpec | None) -> None:
        raise NotImplementedError

    def cancel(self, worker: str) -> None:
        raise NotImplementedError


async def test_batches_are_measured_on_their_way_through_the_engine() -> None:
    metrics = Metrics()
    batch = Batch(tasks=tuple(Task(job_id=number, recipe=RECIPE) for number in range(3)), model=POCKET)
    painted = Painted(pictures=(), seconds=1.5)
    assert await MeasuredEngine(OneBatchEngine(painted), metrics).paint("w", batch, lambda _: None) is painted
    for error in (OutOfMemory(detail="1 GiB"), PaintingCancelled()):
        with pytest.raises(type(error)):
            await MeasuredEngine(OneBatchEngine(error), metrics).paint("w", batch, lambda _: None)
    lines = await shown(metrics)
    for line in (
        'limner_batch_pictures_sum{model="pocket"} 3.0',
        'limner_batch_seconds_sum{model="pocket"} 1.5',
        'limner_batches_failed_total{error="out_of_memory"} 1.0',
    ):
        assert line in lines
    assert not any("painting_cancelled" in line for line in lines)


@pytest.mark.parametrize(
    ("problems", "status", "body"),
    [
        ((), 200, '{"ok": true, "problems": []}'),
        (("no worker",), 503, '{"ok": false, "problems": ["no worker"]}'),
    ],
)
async def test_health(problems: tuple[str, ...], status: int, body: str) -> None:
    async with serve_metrics(Metrics(), host="127.0.0.1", port=0, health=lambda: Health(problems=problems)) as port:
        assert await get(port, "/healthz") == (status, body)


async def test_a_taken_port_is_an_error_and_the_server_ends_with_its_block() -> None:
    async with serve_metrics(Metrics(), host="127.0.0.1", port=0, health=Health) as port:
        with pytest.raises(OSError, match="address"):
            async with serve_metrics(Metrics(), host="127.0.0.1", port=port, health=Health):
                pass
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(port, "/healthz")
