"""An idle worker waits a little for company, where that costs nobody else anything, and says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from generation.catalogue import LoraSpec
from generation.engine.protocol import Task
from generation.errors import EngineDead, ModelUnavailable
from generation.job import JobStatus, Priority
from generation.queue.assembly import batch_of
from generation.queue.estimate import Speeds
from generation.queue.gathering import Gathering
from generation.queue.outlooks import Outlooks
from generation.queue.policy import FairQueue, QueuedJob
from generation.queue.running import RunningBatch
from generation.queue.settings import QueueSettings
from generation.recipe import LoraUse
from tests.queue.bench import CATALOGUE, QUICK, at_work, new_bench, order, recipe, until
from tests.queue.test_outlooks import Ticking
from tests.queue.test_policy import job, worker

WAIT = 3.0
LONG = replace(QUICK, batch_wait_seconds=3600)  # longer than any test waits


class Desk:
    """A queue, a clock, and what is said of waiting."""

    def __init__(self, seconds: float = WAIT) -> None:
        self.clock = Ticking()
        self.queue = FairQueue()
        settings = QueueSettings(batch_wait_seconds=seconds)
        self.gathering = Gathering(queue=self.queue, settings=settings, clock=self.clock)

    def order(self, queued: QueuedJob) -> None:
        self.queue.add(queued)
        self.gathering.came(queued.id)

    @property
    def left(self) -> float:
        return self.gathering.seconds_left(worker())


def test_it_is_counted_from_the_first_order() -> None:
    desk = Desk()
    desk.order(job(1, 1))
    desk.clock.seconds = 2.0
    desk.order(job(2, 2))
    assert desk.left == pytest.approx(1.0)
    desk.clock.seconds = 5.0
    assert desk.left == 0


def test_without_a_setting_nobody_waits() -> None:
    desk = Desk(0)
    desk.order(job(1, 1))
    assert desk.left == 0


@pytest.mark.parametrize(
    "others",
    [
        [job(2, 2, pixels=3)],  # it fills the batch
        [job(2, 2, model="other")],
        [job(2, 2, alone=True)],
        [job(2, 2), job(3, 3, priority=Priority.RELAX)],
    ],
    ids=["full", "other model", "alone", "other class"],
)
def test_nobody_waits_where_that_brings_nothing_or_delays_another(others: list[QueuedJob]) -> None:
    desk = Desk()
    desk.order(job(1, 1))
    assert desk.left == WAIT
    for other in others:
        desk.order(other)
    assert desk.left == 0


def test_nobody_waits_for_company_of_a_job_that_runs_alone_or_was_there_before() -> None:
    desk = Desk()
    desk.order(job(1, 1, alone=True))
    assert desk.left == 0
    desk = Desk()
    desk.queue.add(job(1, 1))
    desk.order(job(2, 2))
    assert desk.left == 0


def test_those_who_left_the_queue_are_forgotten() -> None:
    desk = Desk()
    for number in range(1, 100):
        desk.order(job(number, number))
        desk.queue.remove(number)
    assert len(desk.gathering._came) <= 1


def test_what_is_told_holds_the_wait() -> None:
    desk = Desk()
    outlooks = Outlooks(
        queue=desk.queue,
        running=[],
        workers=lambda: [worker("sdxl")],
        speeds=Speeds(CATALOGUE),
        clock=desk.clock,
        gathering=desk.gathering.seconds_left,
    )
    desk.order(job(1, 1))
    desk.clock.seconds = 1.0
    told = outlooks.of(1)
    assert told is not None
    assert told.position == 1
    assert told.wait_seconds == pytest.approx(2.0)


def test_a_wait_for_company_counts_while_the_batch_before_is_finished() -> None:
    desk = Desk()
    desk.order(job(1, 1))
    at = worker("sdxl")
    ending = RunningBatch(at, [job(9, 9)], expected_seconds=0.0, now=0.0)
    outlooks = Outlooks(
        queue=desk.queue,
        running=[ending],
        workers=lambda: [at],
        speeds=Speeds(CATALOGUE),
        clock=desk.clock,
        gathering=desk.gathering.seconds_left,
    )
    told = outlooks.of(1)
    assert told is not None
    assert told.wait_seconds == pytest.approx(WAIT)


async def test_those_who_come_meanwhile_are_drawn_together_and_a_full_batch_waits_no_longer() -> None:
    async with at_work(new_bench(settings=LONG)) as bench:
        first = bench.submit(order("red", "blue", user=1))
        await until(lambda: bench.dispatcher.outlook(first.id) is not None)
        outlook = bench.dispatcher.outlook(first.id)
        assert outlook is not None
        assert 0 < outlook.wait_seconds <= LONG.batch_wait_seconds
        second = bench.submit(order("green", "grey", user=2))
        await bench.end_of(first, second)
    assert bench.engine.begun == [(first.id, second.id)]


async def test_somebody_who_cannot_come_along_ends_the_wait() -> None:
    async with at_work(new_bench(settings=LONG)) as bench:
        first = bench.submit(order("red", user=1))
        bench.submit(order("blue", user=2, model="other"))
        await bench.end_of(first)
    assert bench.engine.begun == [(first.id,)]


async def test_after_the_wait_it_is_begun_alone() -> None:
    async with at_work(new_bench(settings=replace(QUICK, batch_wait_seconds=0.01))) as bench:
        job = bench.submit(order("red"))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: JobStatus.DONE}


async def test_who_waits_for_company_can_be_called_off_paused_and_stopped() -> None:
    async with at_work(new_bench(settings=LONG)) as bench:
        gone, paused = bench.submit(order("red", user=1)), bench.submit(order("blue", user=2))
        assert await bench.dispatcher.cancel(gone.id)
        bench.dispatcher.pause(None)
    assert bench.engine.begun == []
    assert bench.store.jobs[paused.id].status is JobStatus.QUEUED


async def test_an_engine_that_dies_ends_the_wait() -> None:
    bench = new_bench(settings=LONG)
    async with asyncio.timeout(120):
        bench.start()
        job = bench.submit(order("red"))
        await until(lambda: (told := bench.dispatcher.outlook(job.id)) is not None and told.wait_seconds > 0)
        await until(lambda: not bench.dispatcher._wake.is_set())
        bench.engine.die()
        assert bench.run is not None
        with pytest.raises(EngineDead):
            await bench.run


async def test_one_lora_that_cannot_be_had_does_not_take_its_neighbours_down() -> None:
    bench = new_bench()
    unlucky = order("unavailable", user=2)
    unlucky = replace(unlucky, recipes=(replace(unlucky.recipes[0], loras=(LoraUse(name="neon"),)),))
    good, bad = bench.submit(order("red", user=1)), bench.submit(unlucky)
    async with at_work(bench):
        await bench.end_of(good, bad)
    assert bench.engine.begun[0] == (good.id, bad.id)
    assert bench.ear.ends() == {good.id: JobStatus.DONE, bad.id: JobStatus.FAILED}
    assert {job.error for job in bench.ear.ended} == {None, ModelUnavailable.key}


class TestLoras:
    NEON, INK = LoraUse(name="neon"), LoraUse(name="ink", weight=0.5)

    def queued(self, job_id: int, *loras: LoraUse) -> QueuedJob:
        return replace(job(job_id, job_id), lora_uses=loras)

    def test_on_a_cpu_they_share_a_batch(self) -> None:
        queue = FairQueue()
        for each in (self.queued(1), self.queued(2, self.NEON), self.queued(3, self.INK)):
            queue.add(each)
        assert [each.id for each in queue.pick(worker())] == [1, 2, 3]

    def test_on_a_gpu_they_do_not(self) -> None:
        queue = FairQueue()
        for each in (self.queued(1), self.queued(2, self.NEON), self.queued(3, self.NEON)):
            queue.add(each)
        gpu = replace(worker(), device="cuda:0")
        assert [[each.id for each in queue.pick(gpu)] for _ in range(2)] == [[1], [2, 3]]

    def test_a_batch_brings_all_that_its_pictures_name(self) -> None:
        catalogue = replace(CATALOGUE, loras={name: LoraSpec(name=name, path=Path(name)) for name in "ab"})
        a, b = LoraUse(name="a"), LoraUse(name="b")
        tasks = [Task(job_id=n, recipe=replace(recipe(), loras=uses)) for n, uses in enumerate([(), (b,), (a, b)])]
        assert [lora.name for lora in batch_of(tasks, catalogue).loras] == ["b", "a"]
