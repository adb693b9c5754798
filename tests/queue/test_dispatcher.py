"""What becomes of orders, in good days and bad: the dispatcher on a store in memory and an engine without processes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from generation.clock import SystemClock
from generation.engine.protocol import WorkerState
from generation.errors import EngineDead, LimnerError
from generation.job import Job, JobStatus
from generation.queue.dispatcher import SOURCE_GONE
from generation.safety import SafetyPolicy, Verdict
from tests.queue.bench import QUICK, Bench, at_work, new_bench, order, until
from tests.queue.memory_store import MemoryStore
from tests.queue.test_outlooks import Ticking

DONE, FAILED, CANCELLED = JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED


class FilesUnwritable(LimnerError):
    """As the real store raises it when the disk is full."""

    key = "files_unwritable"


# Leases are looked after ten times a second. They are as short themselves: for tests that have a clock which stands.
BRIEF = dataclasses.replace(QUICK, lease_seconds=0.3)
LONGER = 1.0  # than a lease of those


class NeverRenewed(MemoryStore):
    """Whose leases run out: a database that answers too late."""

    async def renew(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> None:
        pass


def errors(ended: Sequence[Job]) -> dict[int, str | None]:
    return {job.id: job.error for job in ended}


async def test_an_order_runs_and_each_of_its_pictures_is_kept() -> None:
    async with at_work(new_bench()) as bench:
        job = bench.submit(order("red", "blue"))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: DONE}
    assert [picture.png for picture in bench.store.pictures[job.id]] == [b"red", b"blue"]
    assert [started.attempt for started in bench.ear.started] == [1]
    assert bench.store.settled == {job.id: 1}


async def test_orders_of_several_people_share_a_batch_and_get_their_own_pictures_and_previews() -> None:
    bench = new_bench()
    jobs = [bench.submit(order(*prompts, user=user)) for user, prompts in enumerate([("red",), ("blue", "green")])]
    async with at_work(bench):
        await bench.end_of(*jobs)
    assert bench.engine.begun == [(1, 2)]
    assert [[picture.png for picture in bench.store.pictures[job.id]] for job in jobs] == [
        [b"red"],
        [b"blue", b"green"],
    ]
    previews = {job_id: progress.previews for job_id, progress in bench.ear.progress if progress.step == 1}
    assert previews == {1: (b"red",), 2: (b"blue", b"green")}


async def test_two_workers_run_two_batches_at_a_time() -> None:
    async with at_work(new_bench("here/a", "here/b")) as bench:
        jobs = [bench.submit(order("wait", model=model)) for model in ("sdxl", "other", "sdxl")]
        await until(lambda: len(bench.engine.batches) == 2)
        assert bench.dispatcher.depth() == 1
        bench.engine.release.set()
        await bench.end_of(*jobs)


async def test_orders_made_before_the_start_are_taken_up_and_those_of_a_dead_program_too() -> None:
    bench = new_bench()
    waiting = bench.store.order(order("red"))
    orphan = bench.store.order(order("blue", model="other"))
    await bench.store.lease([orphan.id], worker="there/cpu", seconds=-1)
    async with at_work(bench):
        await bench.end_of(waiting, orphan)
    assert bench.ear.ends() == {waiting.id: DONE, orphan.id: DONE}
    assert bench.store.jobs[orphan.id].attempt == 2


async def test_a_job_whose_program_died_three_times_fails_and_is_refunded() -> None:
    bench = new_bench()
    orphan = bench.store.order(order("blue"))
    past = orphan.created_at.replace(year=2020)
    bench.store.jobs[orphan.id] = dataclasses.replace(
        orphan, status=JobStatus.RUNNING, attempt=3, worker="there/cpu", lease_until=past
    )
    async with at_work(bench):
        await bench.end_of(orphan)
    assert errors(bench.ear.ended) == {orphan.id: "worker_lost"}
    assert bench.store.refunded == {orphan.id: 1}


@pytest.mark.parametrize(("prompt", "key"), [("lost", "worker_lost"), ("memory", "out_of_memory"), ("bug", "error")])
async def test_what_fails_three_times_fails_with_its_reason_and_a_refund(prompt: str, key: str) -> None:
    async with at_work(new_bench()) as bench:
        job = bench.submit(order(prompt))
        await bench.end_of(job)
    assert errors(bench.ear.ended) == {job.id: key}
    assert [started.attempt for started in bench.ear.started] == [1, 2, 3]
    assert bench.store.refunded == {job.id: 1}
    assert not bench.store.settled


async def test_a_worker_that_dies_while_its_jobs_are_leased_costs_them_no_attempt() -> None:
    class KilledWhileLeasing(MemoryStore):
        deaths = 3

        async def lease(self, job_ids: Sequence[int], *, worker: str, seconds: float) -> Sequence[Job]:
            leased = await super().lease(job_ids, worker=worker, seconds=seconds)
            if self.deaths:
                self.deaths -= 1
                bench.engine.stand_still()
            return leased

        async def hand_back(self, job_ids: Sequence[int], *, worker: str) -> None:
            await super().hand_back(job_ids, worker=worker)
            bench.engine.stand_still(WorkerState.IDLE)

    bench = new_bench(store=KilledWhileLeasing(SystemClock()))
    async with at_work(bench):
        job = bench.submit(order("red"))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: DONE}
    assert bench.store.jobs[job.id].attempt == 1


async def test_one_bad_job_does_not_take_its_neighbours_down() -> None:
    bench = new_bench()
    good, bad, other = (bench.submit(order(prompt, user=user)) for user, prompt in enumerate(["red", "lost", "blue"]))
    async with at_work(bench):
        await bench.end_of(good, bad, other)
    assert bench.ear.ends() == {good.id: DONE, bad.id: FAILED, other.id: DONE}
    assert bench.engine.begun[0] == (1, 2, 3)
    assert all(len(batch) == 1 for batch in bench.engine.begun[1:])


async def test_a_refusal_is_final_for_the_job_that_it_is_about_and_not_for_its_neighbour() -> None:
    bench = new_bench()
    good, bad = (bench.submit(order(prompt, user=user)) for user, prompt in enumerate(["red", "unfit"]))
    async with at_work(bench):
        await bench.end_of(good, bad)
    assert errors(bench.ear.ended) == {good.id: None, bad.id: "lora_refused"}
    assert bench.engine.begun[0] == (1, 2)
    assert bench.store.jobs[bad.id].attempt == 2


async def test_a_model_that_cannot_be_had_fails_at_once() -> None:
    with capture_logs() as logs:
        async with at_work(new_bench()) as bench:
            job = bench.submit(order("unavailable"))
            await bench.end_of(job)
    assert errors(bench.ear.ended) == {job.id: "model_unavailable"}
    assert len(bench.engine.batches) == 1
    assert bench.store.refunded == {job.id: 1}
    # The job remembers the key alone: why is written down here.
    [said] = [entry for entry in logs if entry["event"] == "batch_failed"]
    assert said["job_ids"] == (job.id,)
    assert "reason=" in said["error"]


async def test_a_model_or_lora_that_left_the_configuration_fails_without_being_tried() -> None:
    with capture_logs() as logs:
        async with at_work(new_bench()) as bench:
            job = bench.submit(order("red", model="forgotten"))
            await bench.end_of(job)
    assert errors(bench.ear.ended) == {job.id: "model_unavailable"}
    assert bench.engine.batches == []
    [said] = [entry for entry in logs if entry["event"] == "job_cannot_run"]
    assert said["job_id"] == job.id
    assert "forgotten" in said["reason"]


async def test_sources_are_read_and_one_that_is_gone_fails_its_job_alone() -> None:
    bench = new_bench()
    bench.store.sources["aa"] = b"!"
    good = bench.submit(order("red", user=1, source="aa"))
    bad = bench.submit(order("blue", user=2, source="bb"))
    async with at_work(bench):
        await bench.end_of(good, bad)
    assert bench.store.pictures[good.id][0].png == b"red!"
    assert errors(bench.ear.ended) == {good.id: None, bad.id: SOURCE_GONE}


async def test_recipes_that_cannot_share_a_pass_are_not_one_job() -> None:
    bench = new_bench()
    mixed = dataclasses.replace(order("red"), recipes=(*order("red").recipes, *order("red", steps=3).recipes))
    job = bench.submit(mixed)
    async with at_work(bench):
        await bench.end_of(job)
    assert errors(bench.ear.ended) == {job.id: "invalid_recipe"}


class TestCancel:
    async def test_a_queued_job_never_runs(self) -> None:
        bench = new_bench()
        job = bench.submit(order("red"))
        assert await bench.dispatcher.cancel(job.id)
        async with at_work(bench):
            pass
        assert bench.engine.batches == []
        assert bench.ear.ends() == {job.id: CANCELLED}
        assert bench.store.refunded == {job.id: 1}

    async def test_a_running_job_is_stopped_and_the_worker_goes_on(self) -> None:
        async with at_work(new_bench()) as bench:
            job = bench.submit(order("wait"))
            await until(lambda: bool(bench.ear.progress))
            assert await bench.dispatcher.cancel(job.id)
            other = bench.submit(order("red"))
            await bench.end_of(other)
        assert bench.engine.cancels == ["here/cpu"]
        assert bench.ear.ends() == {job.id: CANCELLED, other.id: DONE}

    async def test_one_of_several_in_a_batch_is_dropped_and_the_others_are_painted(self) -> None:
        bench = new_bench()
        kept, dropped = (bench.submit(order("wait", user=user)) for user in (1, 2))
        async with at_work(bench):
            await until(lambda: bool(bench.ear.progress))
            assert await bench.dispatcher.cancel(dropped.id)
            bench.engine.release.set()
            await bench.end_of(kept)
        assert bench.engine.cancels == []
        assert bench.ear.ends() == {kept.id: DONE, dropped.id: CANCELLED}
        assert bench.store.settled == {kept.id: 1}

    async def test_the_batch_stops_when_the_last_of_its_jobs_is_cancelled(self) -> None:
        bench = new_bench()
        jobs = [bench.submit(order("wait", user=user)) for user in (1, 2)]
        async with at_work(bench):
            await until(lambda: bool(bench.ear.progress))
            for job in jobs:
                assert await bench.dispatcher.cancel(job.id)
            await bench.end_of(*jobs)
        assert bench.engine.cancels == ["here/cpu"]

    async def test_a_job_cancelled_at_any_moment_ends_once(self) -> None:
        """However far it is: queued, picked, leased, painting, painted, settled."""
        for moment in range(0, 24, 2):
            async with at_work(new_bench()) as bench:
                job = bench.submit(order("red", source=None))
                await asyncio.sleep(moment / 1000)
                cancelled = await bench.dispatcher.cancel(job.id)
                other = bench.submit(order("blue"))
                await bench.end_of(job, other)
            assert bench.ear.ends() == {job.id: CANCELLED if cancelled else DONE, other.id: DONE}
            assert bench.store.refunded[job.id] + bench.store.settled[job.id] == 1

    async def test_twice_or_after_the_end_changes_nothing(self) -> None:
        async with at_work(new_bench()) as bench:
            job = bench.submit(order("red"))
            await bench.end_of(job)
            assert not await bench.dispatcher.cancel(job.id)
            assert not await bench.dispatcher.cancel(999)
        assert bench.ear.ends() == {job.id: DONE}


class TestTroubleWithTheStore:
    async def test_a_full_disk_is_survived_and_the_picture_painted_again(self) -> None:
        bench = new_bench()
        bench.store.failures["finish"] = [FilesUnwritable(path="/", detail="disk full")]
        async with at_work(bench):
            job = bench.submit(order("red"))
            await bench.end_of(job)
        assert bench.ear.ends() == {job.id: DONE}
        assert bench.store.settled == {job.id: 1}
        assert bench.store.jobs[job.id].attempt == 2

    async def test_a_disk_that_stays_full_fails_the_job_with_a_refund(self) -> None:
        bench = new_bench()
        bench.store.failures["finish"] = [FilesUnwritable(path="/", detail="disk full") for _ in range(3)]
        async with at_work(bench):
            job = bench.submit(order("red"))
            await bench.end_of(job)
        assert errors(bench.ear.ended) == {job.id: "files_unwritable"}
        assert bench.store.refunded == {job.id: 1}

    async def test_a_result_that_was_kept_although_the_store_failed_is_told_and_not_repeated(self) -> None:
        bench = new_bench()
        bench.store.failures["after finish"] = [ConnectionError("lost after the commit")]
        async with at_work(bench):
            job = bench.submit(order("red"))
            await bench.end_of(job)
        assert bench.ear.ends() == {job.id: DONE}
        assert len(bench.engine.batches) == 1

    @pytest.mark.parametrize("verb", ["lease", "after lease", "source"])
    async def test_a_lease_that_fails_is_tried_again_and_costs_no_attempt(self, verb: str) -> None:
        bench = new_bench()
        bench.store.sources["aa"] = b""
        bench.store.failures[verb] = [OSError("locked"), OSError("locked")]
        async with at_work(bench):
            job = bench.submit(order("red", source="aa"))
            await bench.end_of(job)
        assert bench.ear.ends() == {job.id: DONE}
        assert bench.store.jobs[job.id].attempt == 1

    @pytest.mark.parametrize("verb", ["waiting", "take_back_expired"])
    async def test_a_store_that_is_not_there_at_the_start_is_waited_for(self, verb: str) -> None:
        bench = new_bench()
        job = bench.store.order(order("red"))
        bench.store.failures[verb] = [OSError("gone"), OSError("gone")]
        async with at_work(bench):
            await bench.end_of(job)

    async def test_what_trouble_lost_sight_of_is_found_again(self) -> None:
        """The job went back to the store's queue, but the program could not learn that."""
        bench = new_bench(settings=BRIEF, clock=Ticking())
        bench.store.failures["get"] = [OSError("gone")]
        bench.store.failures["finish"] = [OSError("gone")]
        async with at_work(bench):
            job = bench.submit(order("red"))
            await bench.end_of(job)
        assert bench.ear.ends() == {job.id: DONE}

    async def test_a_lease_that_nothing_could_undo_runs_out_by_itself(self) -> None:
        clock = Ticking()
        bench = new_bench(settings=BRIEF, clock=clock)
        bench.store.failures["finish"] = [OSError("gone")]
        bench.store.failures["retry"] = [OSError("gone")]
        async with at_work(bench):
            job = bench.submit(order("red"))
            await until(lambda: not bench.store.failures["retry"] and not bench.dispatcher.running())
            clock.seconds += LONGER
            await bench.end_of(job)
        assert bench.ear.ends() == {job.id: DONE}
        assert bench.store.jobs[job.id].attempt == 2

    @pytest.mark.parametrize("prompt", ["wait", "wait score:0.9"])
    async def test_a_lease_that_ran_out_while_its_job_was_painted_leaves_it_waiting_and_not_forgotten(
        self, prompt: str
    ) -> None:
        safety = SafetyPolicy(threshold=0.5, action=Verdict.BLOCK, age_restricted_action=Verdict.BLOCK)
        clock = Ticking()
        bench = new_bench(settings=BRIEF, store=NeverRenewed(clock), clock=clock, safety=safety)
        async with at_work(bench):
            job = bench.submit(order(prompt if "score" in prompt else f"{prompt} score:0.1"))
            await until(lambda: bool(bench.ear.progress))
            clock.seconds += LONGER
            await until(lambda: bench.store.jobs[job.id].status is JobStatus.QUEUED)
            assert bench.dispatcher.depth() == 0
            bench.engine.release.set()
            await bench.end_of(job)
        assert bench.ear.ends() == {job.id: FAILED if "0.9" in prompt else DONE}
        assert bench.store.jobs[job.id].attempt == 2
        assert len(bench.engine.batches) == 2

    async def test_a_lease_that_ran_out_after_the_last_attempt_ends_the_job_once_and_stops_the_painting(self) -> None:
        clock = Ticking()
        bench = new_bench(settings=BRIEF, store=NeverRenewed(clock), clock=clock)
        async with at_work(bench):
            job = bench.store.order(order("wait"))
            bench.store.jobs[job.id] = job = dataclasses.replace(job, attempt=2)
            bench.dispatcher.submit(job)
            await until(lambda: bool(bench.ear.progress))
            clock.seconds += LONGER
            await bench.end_of(job)
            await until(lambda: not bench.dispatcher.running())
        assert errors(bench.ear.ended) == {job.id: "worker_lost"}
        assert bench.ear.ends() == {job.id: FAILED}
        assert bench.engine.cancels == ["here/cpu"]


class TestStop:
    async def test_what_runs_may_finish(self) -> None:
        async with at_work(new_bench()) as bench:
            job = bench.submit(order("wait"))
            later = bench.submit(order("red", model="other"))
            await until(lambda: bool(bench.ear.progress))
            asyncio.get_running_loop().call_later(0.05, bench.engine.release.set)
            await bench.dispatcher.stop(grace=60)
        assert bench.ear.ends() == {job.id: DONE}
        assert bench.store.jobs[later.id].status is JobStatus.QUEUED

    async def test_what_does_not_is_handed_back_without_losing_an_attempt(self) -> None:
        async with at_work(new_bench()) as bench:
            job = bench.submit(order("wait"))
            await until(lambda: bool(bench.ear.progress))
            await bench.dispatcher.stop(grace=0.01)
        assert bench.store.jobs[job.id].status is JobStatus.QUEUED
        assert bench.store.jobs[job.id].attempt == 0
        assert bench.ear.ended == []

    async def test_before_the_start_and_twice_is_fine(self) -> None:
        bench = new_bench()
        await bench.dispatcher.stop(grace=0)
        await bench.dispatcher.run()
        await bench.dispatcher.stop(grace=0)

    @pytest.mark.parametrize("moments", range(12))
    async def test_it_is_heard_in_whatever_moment_it_comes(self, moments: int) -> None:
        """Above all between a worker's becoming idle and the wait for jobs that follows, which takes a few moments."""
        bench = new_bench()
        bench.engine.stand_still()
        bench.start()
        async with asyncio.timeout(60):
            await until(lambda: bench.engine.asked > 0)
            bench.engine.stand_still(WorkerState.IDLE)
            for _ in range(moments):
                await asyncio.sleep(0)
            await bench.dispatcher.stop(grace=0)
            assert bench.run is not None
            await bench.run

    async def test_a_dead_engine_ends_the_run_and_leaves_nothing_leased(self) -> None:
        bench = new_bench("here/a", "here/b")
        async with asyncio.timeout(60):
            bench.start()
            running = [bench.submit(order("wait", model=model)) for model in ("sdxl", "other")]  # no worker is idle
            await until(lambda: len({job_id for job_id, _ in bench.ear.progress}) == 2)
            bench.engine.die()
            queued = bench.submit(order("red", model="other"))
            assert bench.run is not None
            with pytest.raises(EngineDead):
                await bench.run
        assert {bench.store.jobs[job.id].status for job in (*running, queued)} == {JobStatus.QUEUED}

    @pytest.mark.parametrize("drained", [False, True])
    async def test_a_dead_engine_ends_the_run_though_nothing_is_to_be_drawn(self, drained: bool) -> None:
        bench = new_bench()
        if drained:
            bench.dispatcher.pause(None)
            bench.submit(order("red"))
        async with asyncio.timeout(60):
            bench.start()
            await asyncio.sleep(0.05)
            bench.engine.die()
            assert bench.run is not None
            with pytest.raises(EngineDead):
                await bench.run


async def test_leases_are_renewed_while_a_batch_gives_no_sign() -> None:
    clock = Ticking()
    bench = new_bench(settings=BRIEF, clock=clock)
    async with at_work(bench):
        job = bench.submit(order("wait"))
        await until(lambda: bool(bench.ear.progress))
        for _ in range(5):  # several times as long as a lease
            clock.seconds += BRIEF.lease_seconds * 2 / 3
            before = bench.store.renewals
            await until(lambda before=before: bench.store.renewals > before)  # type: ignore[misc]
        assert bench.store.jobs[job.id].status is JobStatus.RUNNING
        bench.engine.release.set()
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: DONE}
    assert bench.store.jobs[job.id].attempt == 1


async def test_nothing_spins_while_nothing_can_be_done() -> None:
    """No store is asked and no worker given work while all workers are busy, or no job waits."""
    async with at_work(new_bench()) as bench:
        bench.submit(order("wait"))
        await until(lambda: bool(bench.ear.progress))
        bench.submit(order("red", model="other"))
        await asyncio.sleep(0)
        changes = bench.ear.changes
        await asyncio.sleep(0.1)
        assert bench.ear.changes == changes
        assert len(bench.engine.batches) == 1
        bench.engine.release.set()


class TestOutlook:
    async def test_people_are_told_their_place_and_a_growing_wait(self) -> None:
        bench = new_bench(clock=Ticking())
        async with at_work(bench):
            running = bench.submit(order("wait", model="other"))
            await until(lambda: bool(bench.ear.progress))
            first = bench.submit(order("red", user=2))
            second = bench.submit(order("red", "red", "red", "red", user=3))
            outlooks = [bench.dispatcher.outlook(job.id) for job in (running, first, second)]
            assert outlooks[0] is None
            assert outlooks[1] is not None
            assert outlooks[2] is not None
            assert (outlooks[1].position, outlooks[2].position) == (1, 2)
            assert 0 < outlooks[1].wait_seconds < outlooks[2].wait_seconds
            bench.engine.release.set()

    async def test_places_are_the_order_in_which_jobs_then_run(self) -> None:
        bench = new_bench()
        jobs = [
            bench.submit(order(*["red"] * (1 + number % 3), user=number % 4, model=("sdxl", "other")[number % 2]))
            for number in range(12)
        ]
        told = sorted(jobs, key=lambda job: _position(bench, job))
        async with at_work(bench):
            await bench.end_of(*jobs)
        assert [job.id for job in told] == [job_id for batch in bench.engine.begun for job_id in batch]

    async def test_waiting_times_come_from_what_was_measured(self) -> None:
        bench = new_bench(clock=Ticking())  # by which the model was loaded in no time
        async with at_work(bench):
            for _ in range(10):  # all but the first find the model at hand: 0.5 s for one picture
                await bench.end_of(bench.submit(order("red")))
            blocker = bench.submit(order("wait", model="other"))
            await until(lambda: len(bench.engine.batches) == 11)
            job = bench.submit(order("red", "red", "red", "red"))
            outlook = bench.dispatcher.outlook(job.id)
            assert outlook is not None
            assert outlook.work_seconds == pytest.approx(4 * 0.5, rel=0.2)
            bench.engine.release.set()
            await bench.end_of(blocker, job)


def _position(bench: Bench, job: Job) -> int:
    outlook = bench.dispatcher.outlook(job.id)
    assert outlook is not None
    return outlook.position


async def test_a_paused_servers_jobs_are_not_started_and_their_owners_are_told() -> None:
    bench = new_bench()
    bench.dispatcher.pause(7)
    held = bench.submit(dataclasses.replace(order("red"), guild_id=7))
    other = bench.submit(dataclasses.replace(order("blue", user=2), guild_id=8))
    async with at_work(bench):
        await bench.end_of(other)
        assert bench.store.jobs[held.id].status is JobStatus.QUEUED
        outlook = bench.dispatcher.outlook(held.id)
        assert outlook is not None
        assert (outlook.paused, outlook.position) == (True, 1)
        bench.dispatcher.resume(7)
        await bench.end_of(held)
    assert bench.ear.ends() == {held.id: DONE, other.id: DONE}


async def test_when_all_is_paused_what_runs_ends_and_nothing_begins() -> None:
    bench = new_bench()
    running, waiting = bench.submit(order("wait")), bench.submit(order("red", user=2, model="other"))
    async with at_work(bench):
        await until(lambda: len(bench.engine.batches) == 1)
        bench.dispatcher.pause(None)
        bench.engine.release.set()
        await bench.end_of(running)
        late = bench.submit(order("blue", user=3))
        await asyncio.sleep(0.05)
        assert [bench.store.jobs[job.id].status for job in (waiting, late)] == [JobStatus.QUEUED] * 2
        bench.dispatcher.resume(None)
        await bench.end_of(waiting, late)
