"""What monitoring sees of people's orders, from the first word to the pictures."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from tests.bot.world import World


def told(world: World) -> dict[str, float]:
    """Each series and its value."""
    text = generate_latest(world.app.services.metrics.registry).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


async def test_an_order_is_seen_from_its_promise_to_its_pictures(world: World) -> None:
    await world.drawn("slow boat --n 1 --steps 15")  # from now on the queue knows how long such a picture takes
    first = told(world)
    message = await world.imagine(f"boat {world.held} --n 1 --steps 15")
    await world.until(lambda: told(world)['limner_workers{state="busy"}'] == 1)
    assert told(world)["limner_jobs_running"] == 1
    world.let_go()
    await world.finished(message)
    await world.all_told()
    await world.until(lambda: told(world)["limner_jobs_undelivered"] == 0)
    now = told(world)
    assert now['limner_jobs_ordered_total{kind="imagine",priority="fast"}'] == 2
    assert now['limner_jobs_ended_total{kind="imagine",status="done"}'] == 2
    assert now["limner_pictures_total"] == 2
    assert now['limner_batch_pictures_sum{model="pocket"}'] == 2
    assert now['limner_batch_pictures_count{model="pocket"}'] == 2
    # That it takes as long as the first one was promised, and is set against what it really took.
    assert now["limner_promise_ratio_count"] == first["limner_promise_ratio_count"] + 1
    ratio = now["limner_promise_ratio_sum"] - first["limner_promise_ratio_sum"]
    job = await world.app.services.storage.jobs.get(2)
    assert job is not None
    assert job.finished_at is not None
    promised = first['limner_batch_seconds_sum{model="pocket"}']
    assert (job.finished_at - job.created_at).total_seconds() / promised == pytest.approx(ratio)
    assert now["limner_connected"] == 1
    assert now["limner_servers"] == 1


async def test_what_fails_and_what_is_called_off_returns_its_credits(world: World) -> None:
    failed = await world.imagine("broken boat --n 1")
    await world.until(lambda: "given back" in world.now(failed).content)
    called_off = await world.imagine(f"boat {world.held} --n 2")
    await world.begun(called_off)
    await world.press(called_off, "Cancel")
    await world.until(lambda: "Cancelled" in world.now(called_off).content)
    now = told(world)
    assert now['limner_jobs_failed_total{error="painting_failed"}'] == 1
    assert now['limner_batches_failed_total{error="painting_failed"}'] >= 1
    assert now['limner_jobs_ended_total{kind="imagine",status="cancelled"}'] == 1
    held, returned = (now[f'limner_credits_total{{movement="{movement}"}}'] for movement in ("held", "returned"))
    assert held == returned > 0
    assert now['limner_credits_total{movement="spent"}'] == 0


async def test_a_worker_that_dies_is_counted(world: World) -> None:
    message = await world.imagine("crash boat --n 1 --steps 2")
    await world.until(lambda: "given back" in world.now(message).content)
    [worker] = world.app.engine.workers()
    await world.until(lambda: told(world)[f'limner_worker_restarts_total{{worker="{worker.name}"}}'] == 3)
    assert told(world)['limner_jobs_failed_total{error="worker_lost"}'] == 1
