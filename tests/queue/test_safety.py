"""What the image classifier's scores make of jobs: delivered, behind a spoiler, blocked, tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from generation.job import JobStatus
from generation.safety import PICTURE_BLOCKED, SafetyPolicy, Verdict
from tests.queue.bench import at_work, new_bench, order, until

BLOCKING = SafetyPolicy(threshold=0.5, action=Verdict.BLOCK, age_restricted_action=Verdict.DELIVER)
HIDING = SafetyPolicy(threshold=0.5, action=Verdict.SPOILER, age_restricted_action=Verdict.SPOILER)


async def test_blocked_pictures_are_not_kept_and_their_neighbours_in_the_batch_are() -> None:
    async with at_work(new_bench(safety=BLOCKING)) as bench:
        bad = bench.submit(order("a score:0.1", "b score:0.9"))
        good = bench.submit(order("c score:0.1", user=2))
        await bench.end_of(bad, good)
    assert [set(batch) for batch in bench.engine.begun] == [{bad.id, good.id}]
    assert bench.ear.ends() == {bad.id: JobStatus.FAILED, good.id: JobStatus.DONE}
    assert bench.store.jobs[bad.id].error == PICTURE_BLOCKED
    assert list(bench.store.pictures) == [good.id]
    assert (bench.store.refunded, bench.store.settled) == ({bad.id: 1}, {good.id: 1})
    assert bench.blocked == [(bad.id, 0.9)]
    assert bench.store.blocked == {bad.id: 0.9}


async def test_pictures_behind_a_spoiler_are_delivered_and_paid_for() -> None:
    async with at_work(new_bench(safety=HIDING)) as bench:
        bad, good = bench.submit(order("score:0.5")), bench.submit(order("score:0.4", user=2))
        asked = bench.submit(replace(order("score:0.4", user=3), spoiler=True))
        await bench.end_of(bad, good, asked)
    assert {job.id: job.spoiler for job in bench.ear.ended} == {bad.id: True, good.id: False, asked.id: True}
    assert bench.store.settled == {bad.id: 1, good.id: 1, asked.id: 1}
    assert bench.blocked == []


async def test_where_a_channel_is_age_restricted_its_own_action_counts() -> None:
    async with at_work(new_bench(safety=BLOCKING)) as bench:
        job = bench.submit(replace(order("score:0.9"), age_restricted=True))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: JobStatus.DONE}


async def test_what_has_no_score_is_tried_again_and_never_delivered() -> None:
    async with at_work(new_bench(safety=HIDING)) as bench:
        job = bench.submit(order("a score:0.1", "b"))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: JobStatus.FAILED}
    assert bench.store.jobs[job.id].error == "picture_unchecked"
    assert len(bench.engine.begun) == 3
    assert bench.store.pictures == {}
    assert bench.store.refunded == {job.id: 1}


async def test_without_a_classifier_nothing_is_asked() -> None:
    async with at_work(new_bench()) as bench:
        job = bench.submit(order("score:1"))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: JobStatus.DONE}


@pytest.mark.parametrize(
    ("safety", "age_restricted", "spoiler", "shown"),
    [
        (None, False, False, True),
        (BLOCKING, False, False, False),
        (BLOCKING, False, True, False),  # behind a spoiler, but it may yet be blocked
        (BLOCKING, True, False, True),  # delivered there, whatever it shows
        (HIDING, False, False, False),
        (HIDING, False, True, True),  # hidden already, and it will not be hidden more
    ],
)
async def test_previews_are_told_only_where_the_picture_will_not_be_hidden_more(
    safety: SafetyPolicy | None, age_restricted: bool, spoiler: bool, shown: bool
) -> None:
    async with at_work(new_bench(safety=safety)) as bench:
        job = bench.submit(replace(order("score:0.1"), age_restricted=age_restricted, spoiler=spoiler))
        await bench.end_of(job)
    previews = [progress.previews for _, progress in bench.ear.progress if progress.step == 1]
    assert previews == [(b"score:0.1",)] if shown else previews == [()]


@pytest.mark.parametrize("when", ["block", "after block"])
async def test_a_store_that_fails_lets_no_blocked_picture_through(when: str) -> None:
    bench = new_bench(safety=BLOCKING)
    bench.store.failures[when] = [OSError("disk full")]
    async with at_work(bench):
        job = bench.submit(order("score:0.9"))
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: JobStatus.FAILED}
    assert bench.store.jobs[job.id].error == PICTURE_BLOCKED
    assert bench.store.refunded == {job.id: 1}
    assert bench.store.pictures == {}


async def test_a_job_that_was_called_off_meanwhile_is_not_blocked() -> None:
    bench = new_bench(safety=BLOCKING)
    async with at_work(bench):
        job = bench.submit(order("wait score:0.9"))
        await until(lambda: bool(bench.engine.begun))
        assert await bench.dispatcher.cancel(job.id)
        await bench.end_of(job)
    assert bench.ear.ends() == {job.id: JobStatus.CANCELLED}
    assert bench.blocked == []
