"""A worker that begins the next batch while the last one is finished, in real worker processes."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from generation.clock import SystemClock
from generation.engine.local import LocalEngine
from generation.engine.protocol import Painted, Progress, WorkerState
from generation.errors import PaintingCancelled, PaintingFailed, WorkerLost
from tests.engine.local_engines import QUICK, SOON, batch, local_engine, until

OVERLAPPING = dataclasses.replace(QUICK, painter="tests.engine.overlapping_painter:OverlappingSolidPainter")


def ignore(progress: Progress) -> None:
    pass


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    async with local_engine(settings=OVERLAPPING) as engine:
        yield engine


class MovableClock(SystemClock):
    """The machine's clock, moved forward by hand."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def begun(
    engine: LocalEngine, prompt: str, on_progress: Callable[[Progress], None] = ignore
) -> asyncio.Task[Painted]:
    """A batch that was given to the one worker, as soon as that was idle."""
    async with asyncio.timeout(SOON):
        worker = await engine.idle()
    painting = asyncio.create_task(engine.paint(worker, batch(prompt), on_progress))
    await asyncio.sleep(0)  # it runs as far as the worker
    return painting


async def soon(painting: asyncio.Task[Painted]) -> Painted:
    """What comes of it, or an error where a test would else wait for ever."""
    async with asyncio.timeout(SOON):
        return await painting


def colour(painted: Painted) -> object:
    return Image.open(io.BytesIO(painted.pictures[0].png)).getpixel((0, 0))


async def test_the_next_is_begun_before_the_last_is_done(engine: LocalEngine, tmp_path: Path) -> None:
    first = await begun(engine, f"red wait:{tmp_path}/go")
    second = await begun(engine, "blue")
    assert not first.done()
    # A third has to wait until the first is done: one at a time is finished beside one that is begun.
    assert engine.workers()[0].state is WorkerState.BUSY
    assert not second.done()
    (tmp_path / "go").touch()
    assert colour(await soon(first)) == (255, 0, 0)
    assert colour(await soon(second)) == (0, 0, 255)
    assert colour(await soon(await begun(engine, "lime"))) == (0, 255, 0)
    assert engine.workers()[0].restarts == 0


async def test_what_goes_wrong_at_the_end_is_told_of_its_own_batch(engine: LocalEngine, tmp_path: Path) -> None:
    first = await begun(engine, f"red end-raise wait:{tmp_path}/go")
    second = await begun(engine, "blue slow:0.01")
    (tmp_path / "go").touch()
    with pytest.raises(PaintingFailed, match="the varnish ran"):
        await soon(first)
    assert colour(await soon(second)) == (0, 0, 255)
    assert engine.workers()[0].restarts == 0


async def test_a_cancel_is_for_the_one_that_was_begun_last(engine: LocalEngine, tmp_path: Path) -> None:
    first = await begun(engine, f"red wait:{tmp_path}/go")
    second = await begun(engine, f"blue hold:{tmp_path}/never")
    engine.cancel("here/cpu")
    with pytest.raises(PaintingCancelled):
        await soon(second)
    (tmp_path / "go").touch()
    assert colour(await soon(first)) == (255, 0, 0)


async def test_one_that_is_only_finished_can_be_cancelled_too(engine: LocalEngine, tmp_path: Path) -> None:
    first = await begun(engine, f"red wait:{tmp_path}/never")
    await engine.idle()
    engine.cancel("here/cpu")
    with pytest.raises(PaintingCancelled):
        await soon(first)
    second = await begun(engine, f"red wait:{tmp_path}/never")
    third = await begun(engine, "blue")
    second.cancel()  # whoever asked leaves
    assert colour(await soon(third)) == (0, 0, 255)


@pytest.mark.crash
@pytest.mark.parametrize("end", ["end-crash", "end-cuda"])
async def test_both_batches_are_lost_with_their_process(engine: LocalEngine, tmp_path: Path, end: str) -> None:
    first = await begun(engine, f"red {end} wait:{tmp_path}/go")
    second = await begun(engine, "blue hang")
    (tmp_path / "go").touch()
    with pytest.raises(WorkerLost if end == "end-crash" else PaintingFailed):
        await soon(first)
    with pytest.raises(WorkerLost):
        await soon(second)
    # From then on each has the process to itself until one is done: who killed it shall not take others along.
    third = await begun(engine, f"red seen:{tmp_path}/seen wait:{tmp_path}/later")
    await until((tmp_path / "seen").exists)
    await asyncio.sleep(0)
    assert engine.workers()[0].state is WorkerState.BUSY
    (tmp_path / "later").touch()
    assert colour(await soon(third)) == (255, 0, 0)
    fourth = await begun(engine, f"red wait:{tmp_path}/last")
    fifth = await begun(engine, "blue")
    (tmp_path / "last").touch()
    assert [colour(await soon(fourth)), colour(await soon(fifth))] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.crash
async def test_an_end_that_hangs_is_noticed_while_others_go_on() -> None:
    clock = MovableClock()

    def wait_longer(progress: Progress) -> None:
        clock.ahead += 0.6 * OVERLAPPING.hang_seconds  # less than that since the last step, and more since the first's

    async with asyncio.timeout(SOON), local_engine(settings=OVERLAPPING, clock=clock) as engine:
        first = await begun(engine, "red end-hang")
        second = await begun(engine, "blue slow:0.05", wait_longer)
        with pytest.raises(WorkerLost, match="no sign in time"):
            await soon(first)
        with pytest.raises(WorkerLost, match="no sign in time"):
            await soon(second)
