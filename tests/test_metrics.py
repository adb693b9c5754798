"""What a monitoring system sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from bot.metrics import Health, Metrics, serve_metrics
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.job import Job, JobKind, JobStatus
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


async def test_jobs_are_counted_and_timed() -> None:
    metrics = Metrics()
    metrics.ordered(JOB)
    metrics.ended(
        replace(
            JOB,
            status=JobStatus.DONE,
            started_at=NOON + timedelta(seconds=3),
            finished_at=NOON + timedelta(seconds=10),
        )
    )
    metrics.ended(replace(JOB, status=JobStatus.FAILED))
    metrics.answered(0.02)
    async with serve_metrics(metrics, host="127.0.0.1", port=0, health=Health) as port:
        status, text = await get(port, "/metrics")
    assert status == 200
    for line in (
        'limner_jobs_ordered_total{kind="imagine"} 1.0',
        'limner_jobs_ended_total{kind="imagine",status="done"} 1.0',
        'limner_jobs_ended_total{kind="imagine",status="failed"} 1.0',
        "limner_pictures_total 4.0",
        "limner_credits_total 4.0",
        "limner_job_wait_seconds_sum 3.0",
        "limner_job_drawing_seconds_sum 7.0",
        'limner_answer_seconds_bucket{le="0.025"} 1.0',
    ):
        assert line in text.splitlines()


async def test_the_queue_and_the_workers_are_told_as_they_are() -> None:
    metrics, workers, depth = Metrics(), [], [5]
    metrics.watch(depth=lambda: depth[0], workers=lambda: workers)
    async with serve_metrics(metrics, host="127.0.0.1", port=0, health=Health) as port:
        _, before = await get(port, "/metrics")
        workers.append(WorkerInfo(name="w/cpu", device="cpu", state=WorkerState.BUSY, restarts=2))
        depth[0] = 6
        _, after = await get(port, "/metrics")
    assert "limner_jobs_waiting 5.0" in before
    assert 'limner_workers{state="busy"} 0.0' in before
    assert "limner_jobs_waiting 6.0" in after
    assert 'limner_workers{state="busy"} 1.0' in after
    assert 'limner_worker_restarts{worker="w/cpu"} 2.0' in after


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
