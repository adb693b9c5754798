"""Which worker is told which model it will need next."""

from __future__ import annotations

from tests.queue.bench import Bench, at_work, new_bench, order, until


def latest(bench: Bench) -> dict[str, str | None]:
    """What each worker was told last."""
    return dict(bench.engine.expected)


async def test_a_worker_that_draws_is_told_the_model_of_the_fair_choice() -> None:
    async with at_work(new_bench()) as bench:
        first = bench.submit(order("wait"))
        await until(lambda: len(bench.engine.batches) == 1)
        alike = bench.submit(order("red"))
        assert latest(bench) == {"here/cpu": None}  # no other than the one it has
        assert await bench.dispatcher.cancel(alike.id)
        other = bench.submit(order("wait", model="other"))
        assert latest(bench) == {"here/cpu": "other"}
        assert await bench.dispatcher.cancel(first.id)
        await until(lambda: len(bench.engine.batches) == 2)
        await until(lambda: latest(bench) == {"here/cpu": None})  # while `other` is drawn
        bench.engine.release.set()
        await bench.end_of(other)


async def test_what_is_called_off_or_paused_is_not_expected() -> None:
    async with at_work(new_bench()) as bench:
        first = bench.submit(order("wait"))
        await until(lambda: len(bench.engine.batches) == 1)
        other = bench.submit(order("red", model="other"))
        bench.dispatcher.pause(None)
        assert latest(bench) == {"here/cpu": None}
        bench.dispatcher.resume(None)
        assert latest(bench) == {"here/cpu": "other"}
        assert await bench.dispatcher.cancel(other.id)
        assert latest(bench) == {"here/cpu": None}
        unknown = bench.submit(order("red", model="gone"))
        assert latest(bench) == {"here/cpu": None}
        bench.engine.release.set()
        await bench.end_of(first, unknown)


async def test_one_worker_is_told_at_a_time_and_none_while_another_is_idle() -> None:
    async with at_work(new_bench("here/a", "here/b")) as bench:
        jobs = [bench.submit(order("wait"))]
        await until(lambda: len(bench.engine.batches) == 1)
        jobs.append(bench.submit(order("wait", model="other")))  # `b` begins with it at once
        await until(lambda: len(bench.engine.batches) == 2)
        assert "other" not in [model for _, model in bench.engine.expected]
        jobs.append(bench.submit(order("red", model="other")))
        assert latest(bench) == {"here/a": "other"}  # which began first
        bench.engine.release.set()
        await bench.end_of(*jobs)
