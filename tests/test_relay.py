"""What bots that share the work tell each other, and whose servers are whose."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.other_workers import FORGOTTEN_AFTER, OtherWorkers, read_workers, write_workers
from bot.relay import PAUSES, Relay, read_progress, write_progress
from bot.shards import Shards
from generation.clock import SystemClock
from generation.engine.protocol import WorkerInfo, WorkerState
from generation.job import Job
from generation.queue.listener import JobProgress
from storage.wakeups import Wakeups
from tests.bot.world import MovableClock
from tests.queue.bench import order
from tests.queue.memory_store import MemoryStore


@dataclass
class Ear:
    """What a courier would be told."""

    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    heard_of: list[int] = field(default_factory=list)
    progress: list[tuple[int, JobProgress]] = field(default_factory=list)

    def job_started(self, job: Job) -> None:
        self.started.append(job.id)

    def job_ended(self, job: Job) -> None:
        self.ended.append(job.id)

    def heard(self, job: Job) -> None:
        self.heard_of.append(job.id)

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        self.progress.append((job_id, progress))

    def queue_changed(self) -> None:
        pass


@pytest.mark.parametrize(
    ("guild_id", "shard"), [(41771983423143937, 2), (197038439483310086, 2), (0, 0), (3 << 22, 3), (None, 0)]
)
def test_a_server_is_of_one_shard(guild_id: int | None, shard: int) -> None:
    assert [Shards(ids=(number,), count=4).hold(guild_id) for number in range(4)] == [
        number == shard for number in range(4)
    ]


@given(st.none() | st.integers(0, 2**63 - 1), st.integers(1, 50))
def test_every_server_is_somebodys_and_nobody_elses(guild_id: int | None, count: int) -> None:
    assert sum(Shards(ids=(number,), count=count).hold(guild_id) for number in range(count)) == 1
    assert Shards().hold(guild_id)


@given(st.integers(1, 2**53), st.integers(0, 99), st.integers(1, 99), st.lists(st.binary(max_size=99), max_size=4))
def test_progress_is_read_as_it_was_written(job_id: int, step: int, steps: int, previews: list[bytes]) -> None:
    progress = JobProgress(step=step, steps=steps, previews=tuple(previews), seconds_left=1.5)
    text = write_progress(job_id, progress)
    assert text.isascii()
    assert read_progress(json.loads(text)) == (job_id, progress)


def info(name: str, **changes: object) -> WorkerInfo:
    fields: dict[str, object] = {"name": name, "device": "cuda:0", "state": WorkerState.IDLE, **changes}
    return WorkerInfo(**fields)  # type: ignore[arg-type]


def test_workers_are_told_but_for_dead_ones() -> None:
    alive = info("a/cuda:0", model="sdxl", loras=("neon",))
    text = write_workers([alive, info("a/cuda:1", state=WorkerState.DEAD), info("a/cuda:2", state=WorkerState.BUSY)])
    assert list(read_workers(json.loads(text))) == [alive, info("a/cuda:2")]


def test_workers_of_a_bot_that_is_not_heard_any_more_are_forgotten() -> None:
    clock = MovableClock(stopped_at=0.0)
    others = OtherWorkers(clock)
    others.hear([info("a/cuda:0"), info("a/cuda:1")])
    clock.stopped_at = FORGOTTEN_AFTER
    others.hear([info("a/cuda:0", model="sdxl"), info("b/cuda:0")])
    assert len(others.now()) == 3
    clock.stopped_at = FORGOTTEN_AFTER + 1
    assert list(others.now()) == [info("a/cuda:0", model="sdxl"), info("b/cuda:0")]


class Bot:
    """A relay between an ear and nobody."""

    def __init__(self) -> None:
        self.ear, self.moved, self.pauses = Ear(), list[Collection[int] | None](), 0
        self.others = OtherWorkers(MovableClock())
        self.relay = Relay(
            courier=self.ear,  # type: ignore[arg-type]
            shards=Shards(ids=(0,), count=2),
            wakeups=Wakeups("sqlite+aiosqlite://", origin="here", settings_changed=lambda: None),
            others=self.others,
            workers=list,
            moved=self.moved.append,
            pauses_changed=self.look,
        )

    def look(self) -> None:
        self.pauses += 1


def job_in(guild_id: int | None, job_id: int) -> Job:
    return replace(MemoryStore(SystemClock()).order(order("red")), guild_id=guild_id, id=job_id)


OURS, THEIRS = job_in(2 << 22, 1), job_in(1 << 22, 2)
PROGRESS = JobProgress(step=1, steps=2, previews=(b"jpeg",), seconds_left=1.0)


def test_people_of_other_bots_servers_are_told_nothing_by_us() -> None:
    bot = Bot()
    for job in (OURS, THEIRS, job_in(None, 3)):
        bot.relay.job_started(job)
        bot.relay.job_progress(job.id, PROGRESS)
        bot.relay.job_ended(job)
        bot.relay.changed_elsewhere(job)
    assert bot.ear.started == bot.ear.ended == bot.ear.heard_of == [1, 3]
    assert bot.ear.progress == [(1, PROGRESS), (3, PROGRESS)]


def test_what_others_tell_goes_where_it_belongs() -> None:
    bot = Bot()
    bot.relay.was_told(PAUSES)
    bot.relay.was_told(write_progress(7, PROGRESS))
    bot.relay.was_told(write_workers([info("b/cuda:0")]))
    bot.relay.jobs_moved([4, 5])
    bot.relay.jobs_moved(None)  # a gap: a pause may have been in it
    assert bot.pauses == 2
    assert bot.ear.progress == [(7, PROGRESS)]
    assert list(bot.others.now()) == [info("b/cuda:0")]
    assert bot.moved == [[4, 5], None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "later",
        "[]",
        "null",
        "7",
        '"text"',
        "[1, Infinity, 3, 4, []]",
        '{"workers": [[1]]}',
        '{"news": 1}',
        '[1, 2, 3, 4, ["ä"]]',
        "[[]]",
    ],
)
def test_what_a_later_version_tells_is_passed_over(text: str) -> None:
    bot = Bot()
    bot.relay.was_told(text)
    assert not bot.ear.progress
    assert not bot.others.now()
