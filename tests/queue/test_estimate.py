"""Speeds that are learned, and forecasts made from them."""

from __future__ import annotations

import pytest
from hypothesis import given

from generation.catalogue import Catalogue, ModelSpec
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.queue.estimate import PRIOR_LOAD_SECONDS, PRIOR_SECONDS, Speeds, forecast
from generation.queue.policy import QueuedJob
from tests.queue.test_policy import drained, filled, job, many_jobs, worker

CATALOGUE = Catalogue(
    models={
        "sdxl": ModelSpec(name="sdxl", source="/"),
        "pocket": ModelSpec(name="pocket", source="/", native_size=128, cross_attention_dim=160),
    },
    default_model="sdxl",
)


def test_before_anything_is_measured_a_rough_prior_stands() -> None:
    speeds = Speeds(CATALOGUE)
    assert speeds.painting_seconds("cuda:1", "sdxl", work=2) == 2 * PRIOR_SECONDS["cuda"]
    assert speeds.loading_seconds("cuda:1", "sdxl") == PRIOR_LOAD_SECONDS
    assert speeds.painting_seconds("cpu", "pocket", work=4) < 15
    assert speeds.painting_seconds("cpu", "a model that left", work=1) == PRIOR_SECONDS["cpu"]


def test_the_first_batch_takes_the_priors_place_and_later_ones_move_it() -> None:
    speeds = Speeds(CATALOGUE)
    speeds.learn_painting("cpu", "sdxl", work=4, seconds=40)
    assert speeds.painting_seconds("cpu", "sdxl", work=1) == 10
    speeds.learn_painting("cpu", "sdxl", work=1, seconds=20)
    assert 10 < speeds.painting_seconds("cpu", "sdxl", work=1) < 20
    assert speeds.painting_seconds("cuda", "sdxl", work=1) == PRIOR_SECONDS["cuda"]


def test_a_change_of_model_takes_its_time_and_batches_take_theirs() -> None:
    speeds = Speeds(CATALOGUE)
    for model in CATALOGUE.models:
        speeds.learn_painting("cpu", model, work=1, seconds=1)
        speeds.learn_loading("cpu", model, seconds=10)
    queue = filled([job(1, 1, pixels=4), job(2, 2, pixels=1), job(3, 3, pixels=1), job(4, 4, model="pocket")])
    told = forecast(queue, [(worker("sdxl"), 5.0)], speeds)
    assert {job_id: outlook.position for job_id, outlook in told.items()} == {1: 1, 2: 2, 3: 3, 4: 4}
    assert [told[job_id].wait_seconds for job_id in (1, 2, 3, 4)] == pytest.approx([5, 9, 9, 11])
    assert [told[job_id].work_seconds for job_id in (1, 2, 3, 4)] == pytest.approx([4, 2, 2, 11])
    assert len(queue) == 4


def test_several_workers_share_the_line() -> None:
    speeds = Speeds(CATALOGUE)
    speeds.learn_painting("cpu", "sdxl", work=1, seconds=1)
    seats = [
        (WorkerInfo(name=name, device="cpu", state=WorkerState.BUSY, model="sdxl"), seconds)
        for name, seconds in (("a", 0.0), ("b", 1.0))
    ]
    told = forecast(filled([job(n, n, pixels=4) for n in range(1, 5)]), seats, speeds)
    assert [told[job_id].wait_seconds for job_id in range(1, 5)] == pytest.approx([0, 1, 4, 5])


@given(many_jobs(priorities=True))
def test_places_are_what_repeated_picks_give(jobs: list[QueuedJob]) -> None:
    queue = filled(jobs)
    told = forecast(queue, [(worker(), 0.0)], Speeds(CATALOGUE))
    order = [each.id for batch in drained(queue) for each in batch]
    assert sorted(told, key=lambda job_id: told[job_id].position) == order
    waits = [told[job_id].wait_seconds for job_id in order]
    assert waits == sorted(waits)
