"""Which of several idle workers gets a job: the one that holds what it needs."""

from __future__ import annotations

from dataclasses import replace

from generation.engine.protocol import WorkerInfo, WorkerState
from generation.job import Priority
from generation.queue.placement import best_placed
from generation.queue.policy import FairQueue
from tests.queue.bench import at_work, new_bench, order
from tests.queue.test_policy import job


def workers(*held: tuple[str | None, tuple[str, ...]]) -> list[WorkerInfo]:
    return [
        WorkerInfo(name=str(index), device="cpu", state=WorkerState.IDLE, model=model, loras=loras)
        for index, (model, loras) in enumerate(held)
    ]


def test_the_worker_with_model_and_loras_goes_before_one_with_the_model_alone() -> None:
    neon = job(1, model="sdxl", loras=("neon",))
    idle = workers(("other", ()), ("sdxl", ()), ("sdxl", ("neon",)), ("sdxl", ("neon",)))
    assert best_placed(neon, idle).name == "2"
    assert best_placed(neon, idle[:2]).name == "1"
    assert best_placed(replace(neon, loras=()), idle).name == "1"


def test_a_model_that_must_be_loaded_takes_the_place_of_none_or_of_one_that_others_hold_too() -> None:
    rare = job(1, model="rare")
    held = workers(("sdxl", ()), ("other", ()), ("other", ()), ("other", ("neon",)))
    assert best_placed(rare, held).name == "1"
    assert best_placed(rare, [*held, *workers((None, ()))]).model is None


def test_it_is_the_fair_choice_that_is_placed() -> None:
    queue = FairQueue()
    idle = workers(("sdxl", ()), ("other", ()))
    assert queue.place(idle) is idle[0]  # nothing waits
    queue.add(job(1, model="other", priority=Priority.RELAX))
    assert queue.place(idle) is idle[1]
    queue.add(job(2, user_id=2, model="sdxl", guild_id=7))
    assert queue.place(idle) is idle[0]  # fast jobs go first
    queue.pause(7)
    assert queue.place(idle) is idle[1]  # which is not picked now
    assert [each.id for each in queue.pick(idle[1])] == [1]


async def test_orders_go_where_their_model_is() -> None:
    async with at_work(new_bench("here/a", "here/b")) as bench:
        for model in ("sdxl", "other", "sdxl", "other", "other"):
            await bench.end_of(bench.submit(order("red", model=model)))
        assert {each.name: each.model for each in bench.engine.workers()} == {"here/a": "sdxl", "here/b": "other"}
        assert [batch.model.name for batch in bench.engine.batches] == ["sdxl", "other", "sdxl", "other", "other"]
