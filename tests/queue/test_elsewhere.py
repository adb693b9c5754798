"""Two dispatchers on one store: each job is drawn by one of them, and each knows what the other does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Collection, Sequence

import pytest

from generation.clock import Clock, SystemClock
from generation.engine.protocol import Picture
from generation.job import Job, JobStatus
from generation.queue.policy import FairQueue
from tests.queue.bench import QUICK, Bench, at_work, new_bench, order, until
from tests.queue.memory_store import MemoryStore
from tests.queue.test_outlooks import Ticking
from tests.queue.test_policy import job, worker

DONE, RUNNING, CANCELLED, FAILED = JobStatus.DONE, JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED
COMPARING = dataclasses.replace(QUICK, compare_seconds=0.02)
DEAF = dataclasses.replace(QUICK, compare_seconds=3600.0)  # what is not heard of is not found either


@pytest.fixture(params=[COMPARING, DEAF], ids=["nothing is heard", "all is heard"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bench, Bench]]:
    """Two at work. They find each other's doings by comparing alone, or by being told alone."""
    store = MemoryStore(SystemClock())
    here, there = (
        new_bench(store=store, settings=request.param, instance=name, shared=True) for name in ("here", "there")
    )
    async with contextlib.AsyncExitStack() as stack:
        if request.param is DEAF:
            stack.enter_context(telling(store, here, there))
        await stack.enter_async_context(at_work(here))
        await stack.enter_async_context(at_work(there))
        yield here, there
        for bench in (here, there):
            bench.engine.release.set()


@contextlib.contextmanager
def telling(store: MemoryStore, *benches: Bench) -> AsyncIterator[None]:  # type: ignore[misc]
    """Every bench hears of every job that anybody changes, its own too, and twice."""
    task = asyncio.create_task(_tell(store, benches))
    yield
    task.cancel()


async def _tell(store: MemoryStore, benches: Sequence[Bench]) -> None:
    known: dict[int, Job] = {}
    while True:
        changed = [job_id for job_id, now in store.jobs.items() if known.get(job_id) != now]
        known = dict(store.jobs)
        for bench in benches if changed else ():
            bench.dispatcher.moved_elsewhere(changed)
            bench.dispatcher.moved_elsewhere(changed)
        await asyncio.sleep(0.001)


def statuses(heard: Sequence[Job]) -> dict[int, list[JobStatus]]:
    return {one.id: [job.status for job in heard if job.id == one.id] for one in heard}


async def test_what_one_was_given_the_other_draws(pair: tuple[Bench, Bench]) -> None:
    here, there = pair
    here.dispatcher.pause(None)
    one = here.submit(order("red"))
    await until(lambda: one.id in {job.id for job in there.ear.ended})
    await until(lambda: DONE in statuses(here.ear.heard).get(one.id, []))
    assert here.dispatcher.depth() == 0
    assert here.engine.batches == []
    assert here.store.settled == {one.id: 1}


async def test_each_job_is_drawn_once_whoever_is_given_it(pair: tuple[Bench, Bench]) -> None:
    here, there = pair
    jobs = [(here, there)[number % 2].submit(order("red", user=number % 5)) for number in range(30)]
    await until(lambda: len(here.store.settled) == len(jobs))
    assert set(here.store.settled.values()) == {1}
    begun = [job_id for bench in pair for ids in bench.engine.begun for job_id in set(ids)]
    assert sorted(begun) == [job.id for job in jobs]
    await until(lambda: here.dispatcher.depth() == there.dispatcher.depth() == 0)


async def test_a_cancel_here_stops_the_drawing_there(pair: tuple[Bench, Bench]) -> None:
    here, there = pair
    here.dispatcher.pause(None)
    one = here.submit(order("wait"))
    await until(lambda: bool(there.engine.batches))  # it is drawn there, and not only picked
    assert await here.dispatcher.cancel(one.id)
    await until(lambda: there.dispatcher.running() == 0)
    assert there.engine.cancels == ["there/cpu"]
    assert here.store.refunded == {one.id: 1}
    assert not here.store.settled


async def test_a_job_that_comes_back_elsewhere_waits_here_again(pair: tuple[Bench, Bench]) -> None:
    here, there = pair
    here.dispatcher.pause(None)
    one = here.submit(order("wait"))
    await until(lambda: there.dispatcher.running() == 1)
    await until(lambda: here.dispatcher.depth() == 0)
    there.dispatcher.pause(None)
    await there.dispatcher.stop(grace=0)  # handed back
    await until(lambda: here.dispatcher.depth() == 1)
    here.engine.release.set()
    here.dispatcher.resume(None)
    await here.end_of(one)
    assert here.store.jobs[one.id].attempt == 1
    assert [job.status for job in here.ear.heard][:1] == [RUNNING]


async def test_the_jobs_of_a_program_that_died_are_drawn_by_the_other() -> None:
    clock = Ticking()
    store = MemoryStore(clock)
    brief = dataclasses.replace(COMPARING, lease_seconds=0.3)
    dead = [store.order(order("red")) for _ in range(3)]
    await store.lease([one.id for one in dead], worker="there/cpu", seconds=0.3)
    async with at_work(new_bench(store=store, settings=brief, clock=clock, shared=True)) as bench:
        clock.seconds += 1
        await bench.end_of(*dead)
    assert store.settled == {one.id: 1 for one in dead}
    assert {store.jobs[one.id].attempt for one in dead} == {2}


class Held(MemoryStore):
    """As SKIP LOCKED leaves a job out: a transaction that notes a message holds the row for a moment."""

    times = 3

    async def lease(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> Sequence[Job]:
        self.times -= 1
        return await super().lease([] if self.times >= 0 else job_ids, worker=worker, seconds=seconds)


async def test_what_another_is_changing_just_now_is_picked_again() -> None:
    for shared in (True, False):
        store = Held(SystemClock())
        async with at_work(new_bench(store=store, settings=DEAF, shared=shared)) as bench:
            one = bench.submit(order("red"))
            await bench.end_of(one)
        assert store.times < 0
        assert store.jobs[one.id].attempt == 1


async def test_what_is_to_be_looked_at_again_outlives_a_store_that_fails() -> None:
    """Nothing is compared here, and no lease is renewed: a job that could not be looked at would never be found."""
    store = Held(SystemClock())
    store.failures["those"] = [OSError("gone")] * 2
    patient = dataclasses.replace(DEAF, lease_seconds=3600.0)
    async with at_work(new_bench(store=store, settings=patient, shared=False)) as bench:
        one = bench.submit(order("red"))
        await bench.end_of(one)
    assert store.failures["those"] == []


class Watched(MemoryStore):
    """Knows which jobs were looked at, and how often all were compared."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[set[int]] = []
        self.looks = 0

    async def those(self, job_ids: Collection[int]) -> Sequence[Job]:
        found = await super().those(job_ids)
        self.asked.append(set(job_ids))
        return found

    async def undelivered_ids(self) -> Collection[int]:
        found = await super().undelivered_ids()
        self.looks += 1
        return found


async def take_there(store: MemoryStore, one: Job) -> None:
    assert [job.id for job in await store.lease([one.id], worker="there/cpu", seconds=60)] == [one.id]


async def end_there(store: MemoryStore, one: Job) -> None:
    picture = Picture(png=b"red", width=8, height=8)
    assert await store.finish(one.id, worker="there/cpu", pictures=[picture]) is not None


async def end_there_meanwhile(store: MemoryStore, job: Job) -> None:
    """Our lease of it runs out, another program draws it, and is faster."""
    assert await store.retry(job.id, worker="here/cpu")
    await take_there(store, job)
    await end_there(store, job)


async def begun_here(store: Watched, here: Bench) -> Job:
    """A job that is being drawn, when the comparison of the start is over."""
    await until(lambda: store.looks == 1)
    one = here.submit(order("wait"))
    await until(lambda: bool(here.engine.batches))
    return one


async def test_what_another_draws_of_ours_is_drawn_here_no_more_and_told() -> None:
    """Our lease ran out in the midst of it."""
    store = Watched(SystemClock())
    async with at_work(new_bench(store=store, settings=DEAF, shared=True)) as here:
        one = await begun_here(store, here)
        assert await store.retry(one.id, worker="here/cpu")
        await take_there(store, one)
        here.dispatcher.moved_elsewhere([one.id])
        await until(lambda: here.engine.cancels == ["here/cpu"])
        await until(lambda: here.dispatcher.running() == 0)
        assert statuses(here.ear.heard) == {one.id: [RUNNING]}
        assert store.jobs[one.id].worker == "there/cpu"
        await end_there(store, one)
        here.dispatcher.moved_elsewhere([one.id])

        def both_told() -> bool:
            here.dispatcher.moved_elsewhere([])  # our batch may not be over yet: it is told with what is heard next
            return len(here.ear.heard) == 2

        await until(both_told)
        assert statuses(here.ear.heard) == {one.id: [RUNNING, DONE]}
        assert here.ear.ended == []


class Gated(Watched):
    """A store that is slow with us: it hands out a lease, or what it read, when the gate is open."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.leasing, self.read, self.gate = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.slow_to_read = False

    async def lease(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> Sequence[Job]:
        if worker == "here/cpu" and not self.slow_to_read:
            self.leasing.set()
            await self.gate.wait()
        return await super().lease(job_ids, worker=worker, seconds=seconds)

    async def those(self, job_ids: Collection[int]) -> Sequence[Job]:
        found = await super().those(job_ids)
        if self.slow_to_read:
            self.read.set()
            await self.gate.wait()
        return found


PATIENT = dataclasses.replace(DEAF, lease_seconds=3600.0)  # a lease that nobody serves is not noticed in time


async def test_a_lease_that_we_get_after_all_is_served() -> None:
    """Another program had the job when we asked for it, and was seen with it, but gave it back before our turn came."""
    store = Gated(SystemClock())
    async with at_work(new_bench(store=store, settings=PATIENT, shared=True)) as here:
        await until(lambda: store.looks == 1)
        one = here.submit(order("red"))
        await store.leasing.wait()
        await take_there(store, one)
        here.dispatcher.moved_elsewhere([one.id])
        await until(lambda: store.asked == [{one.id}])
        assert await store.retry(one.id, worker="there/cpu")
        store.gate.set()
        await here.end_of(one)
        assert store.settled == {one.id: 1}


async def test_a_look_that_is_older_than_our_lease_takes_nothing_from_us() -> None:
    store = Gated(SystemClock())
    store.slow_to_read = True
    async with at_work(new_bench(store=store, settings=PATIENT, shared=True)) as here:
        await until(lambda: store.looks == 1)
        one = store.order(order("wait"))
        await take_there(store, one)
        here.dispatcher.moved_elsewhere([one.id])
        await store.read.wait()
        assert await store.retry(one.id, worker="there/cpu")
        here.dispatcher.submit(store.jobs[one.id])
        await until(lambda: bool(here.engine.batches))
        store.gate.set()
        here.engine.release.set()
        await here.end_of(one)
        assert here.engine.cancels == []
        assert here.ear.heard == []


async def test_what_another_ended_while_we_still_drew_it_is_told_when_our_batch_is_over() -> None:
    """Until then it may be our own end of it, which the store has taken and nobody was told yet."""
    store = Watched(SystemClock())
    async with at_work(new_bench(store=store, settings=DEAF, shared=True)) as here:
        one = await begun_here(store, here)
        await end_there_meanwhile(store, one)
        here.dispatcher.moved_elsewhere([one.id])
        await until(lambda: store.asked == [{one.id}])
        here.engine.release.set()
        await until(lambda: here.dispatcher.running() == 0)
        assert not here.ear.ended
        assert not here.ear.heard
        here.dispatcher.moved_elsewhere([])
        await until(lambda: statuses(here.ear.heard) == {one.id: [DONE]})


async def test_what_ended_elsewhere_before_the_first_look_is_told() -> None:
    """It ran there when our earlier run's undelivered ends were read, and did not any more when we began to compare."""
    store = MemoryStore(SystemClock())
    one = store.order(order("red"))
    await take_there(store, one)
    await end_there(store, one)
    async with at_work(new_bench(store=store, settings=DEAF, shared=True)) as here:
        await until(lambda: statuses(here.ear.heard) == {one.id: [DONE]})
        assert here.engine.batches == []


async def test_what_another_took_from_us_and_ended_between_two_looks_is_told_at_the_next_and_once() -> None:
    """Our lease ran out, and nobody told us anything: when we look it neither waits nor runs, and is not ours."""
    store = Watched(SystemClock())
    async with at_work(new_bench(store=store, settings=DEAF, shared=True)) as here:
        one = await begun_here(store, here)
        await end_there_meanwhile(store, one)
        here.engine.release.set()
        await until(lambda: here.dispatcher.running() == 0)
        assert not here.ear.ended
        assert not here.ear.heard
        for looks in (2, 3, 4):
            here.dispatcher.moved_elsewhere(None)
            await until(lambda looks=looks: store.looks == looks)  # type: ignore[misc]
        await until(lambda: statuses(here.ear.heard) == {one.id: [DONE]})
        assert store.settled == {one.id: 1}


async def test_a_store_that_fails_while_it_is_compared_is_asked_again() -> None:
    store = MemoryStore(SystemClock())
    store.failures["waiting"] = [OSError("gone")] * 2
    async with at_work(new_bench(store=store, settings=COMPARING, shared=True)) as bench:
        one = store.order(order("red"))  # nobody tells of it
        await bench.end_of(one)


def test_who_is_served_elsewhere_has_had_their_turn() -> None:
    queue, twin = FairQueue(), FairQueue()
    for each in (queue, twin):
        for number in range(1, 7):
            each.add(job(number, user_id=1 if number <= 3 else 2, room=1))
    assert queue.serve(1)
    assert not queue.serve(1)
    assert [one.id for one in twin.pick(worker())] == [1]
    rest = [[one.id for _ in range(5) for one in each.pick(worker())] for each in (queue, twin)]
    assert rest[0] == rest[1] == [4, 2, 5, 3, 6]


def test_a_paused_job_can_be_served_elsewhere_too() -> None:
    queue = FairQueue()
    queue.add(job(1, guild_id=5))
    queue.add(job(2, guild_id=6))
    queue.pause(5)
    assert queue.serve(1)
    assert (queue.held_back(), len(queue)) == (0, 1)
    queue.resume(5)
    assert [one.id for one in queue.pick(worker())] == [2]


async def test_whoever_has_ended_is_not_told_of_by_a_stale_look(pair: tuple[Bench, Bench]) -> None:
    """Nothing comes after the end of a job."""
    here, _ = pair
    jobs = [here.submit(order("bug" if number % 3 == 0 else "red")) for number in range(9)]
    await until(lambda: all(here.store.jobs[one.id].status in (DONE, FAILED) for one in jobs))
    for told in statuses(here.ear.heard).values():
        ends = [status for status in told if status.terminal]
        assert told[len(told) - len(ends) :] == ends
