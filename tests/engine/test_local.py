"""The local engine with real worker processes, and what it does when they come to grief."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from PIL import Image

from generation.clock import SystemClock
from generation.engine.local import LocalEngine
from generation.engine.protocol import Progress, WorkerState
from generation.engine.settings import PainterSettings
from generation.errors import (
    EngineDead,
    ModelUnavailable,
    OutOfMemory,
    PaintingCancelled,
    PaintingFailed,
    WorkerLost,
)
from tests.engine.local_engines import MODEL, QUICK, SOON, batch, children, local_engine, until

ROOT = Path(__file__).parent.parent.parent


def ignore(progress: Progress) -> None:
    pass


async def test_a_worker_is_given_none_of_the_bots_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "DISCORD_TOKEN",
        "LIMNER_STORAGE__DATABASE",
        "limner_storage__files",  # settings are read in either case
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SHARED_CREDENTIALS_FILE",
        "RAY_AUTH_TOKEN",
        "RAY_AUTH_TOKEN_PATH",
        "PGPASSWORD",
    }
    for name in secrets:
        monkeypatch.setenv(name, f"swordfish of {name}")
    monkeypatch.setenv("HF_TOKEN", "for weights")
    async with asyncio.timeout(SOON), local_engine() as engine:
        pid = engine.pid(await engine.idle())
        environment = psutil.Process(pid).environ()
        assert secrets.isdisjoint(environment)
        assert "swordfish" not in str(environment)
        assert environment["HF_TOKEN"] == "for weights"


async def test_a_batch_comes_back_as_pictures_in_order_with_every_step_told() -> None:
    told: list[Progress] = []
    async with asyncio.timeout(SOON), local_engine() as engine:
        assert [worker.state for worker in engine.workers()] == [WorkerState.STARTING]
        worker = await engine.idle()
        assert worker == "here/cpu"
        painted = await engine.paint(worker, batch("red", "blue"), told.append)
        (info,) = engine.workers()
    assert [Image.open(io.BytesIO(picture.png)).getpixel((0, 0)) for picture in painted.pictures] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert [progress.step for progress in told] == [1, 2, 3, 4]
    assert told[-1].previews == (b"red 4", b"blue 4")
    assert (info.state, info.model, info.restarts) == (WorkerState.IDLE, "sdxl", 0)


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("memory", OutOfMemory),
        ("host-memory", OutOfMemory),
        ("unavailable", ModelUnavailable),
        ("raise", PaintingFailed),
    ],
)
async def test_errors_come_back_as_what_they_are_and_the_process_goes_on(prompt: str, error: type[Exception]) -> None:
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        pid = engine.pid(worker)
        with pytest.raises(error) as raised:
            await engine.paint(worker, batch(prompt), ignore)
        if error is PaintingFailed:
            assert raised.value.fields == {"detail": "ValueError: the brush broke"}  # type: ignore[attr-defined]
        assert await engine.idle() == worker
        assert len((await engine.paint(worker, batch("red"), ignore)).pictures) == 1
        assert engine.pid(worker) == pid


async def test_a_cancel_takes_effect_at_the_next_step_and_touches_no_other_batch(tmp_path: Path) -> None:
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        steps: list[int] = []

        def cancel(progress: Progress) -> None:
            steps.append(progress.step)
            engine.cancel(worker)

        with pytest.raises(PaintingCancelled):
            await engine.paint(worker, batch(f"hold:{tmp_path}/never"), cancel)
        assert steps == [1]
        engine.cancel(worker)
        assert len((await engine.paint(worker, batch("red"), ignore)).pictures) == 1


async def test_a_listener_that_raises_does_not_harm_the_worker() -> None:
    def fail(progress: Progress) -> None:
        raise RuntimeError("a bug elsewhere")

    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        assert len((await engine.paint(worker, batch("red"), fail)).pictures) == 1
    assert len(told) == 4


async def test_a_caller_who_leaves_cancels_the_batch(tmp_path: Path) -> None:
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        begun = asyncio.Event()
        painting = asyncio.create_task(
            engine.paint(worker, batch(f"hold:{tmp_path}/never"), lambda progress: begun.set())
        )
        await begun.wait()
        painting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await painting
        assert engine.workers()[0].state is WorkerState.BUSY
        assert await engine.idle() == worker


@pytest.mark.crash
@pytest.mark.parametrize("prompt", ["crash", "cuda"])
async def test_a_dead_process_is_told_and_another_takes_its_place(prompt: str) -> None:
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        pid = engine.pid(worker)
        with pytest.raises(WorkerLost if prompt == "crash" else PaintingFailed):
            await engine.paint(worker, batch(prompt), ignore)
        assert engine.workers()[0].state is WorkerState.STARTING  # at once: whatever it was given now would be lost too
        await until(lambda: engine.pid(worker) not in (pid, None))
        assert await engine.idle() == worker
        assert len((await engine.paint(worker, batch("red"), ignore)).pictures) == 1
        assert engine.workers()[0].restarts == 1


@pytest.mark.crash
async def test_a_process_killed_while_idle_is_replaced() -> None:
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        pid = engine.pid(worker)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: engine.workers()[0].restarts == 1)
        await engine.idle()
        assert engine.pid(worker) != pid


@pytest.mark.crash
@pytest.mark.parametrize("silent", ["painter", "process"])
async def test_a_worker_that_hangs_is_killed(silent: str) -> None:
    settings = dataclasses.replace(QUICK, hang_seconds=1.0 if silent == "painter" else 600.0)
    if silent == "process":
        settings = dataclasses.replace(settings, silence_seconds=4.0)
    async with asyncio.timeout(SOON), local_engine(settings=settings) as engine:
        worker = await engine.idle()
        if silent == "process":
            pid = engine.pid(worker)
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="no sign in time"):
            await engine.paint(worker, batch("hang" if silent == "painter" else "slow:0.01", steps=100), ignore)
        assert await engine.idle() == worker


@pytest.mark.crash
async def test_an_engine_whose_processes_always_die_is_dead() -> None:
    async with (
        asyncio.timeout(SOON),
        local_engine(["broken"], settings=dataclasses.replace(QUICK, max_deaths=3)) as engine,
    ):
        with pytest.raises(EngineDead, match="SIGKILL"):
            await engine.idle()
        assert engine.workers()[0].restarts == 2


@pytest.mark.parametrize("device", ["stammering", "stammering-with-heir"])
async def test_what_a_process_said_last_is_told_though_its_line_has_no_end(device: str) -> None:
    settings = dataclasses.replace(QUICK, max_deaths=1)
    async with asyncio.timeout(SOON), local_engine([device], settings=settings) as engine:
        with pytest.raises(EngineDead, match=r"exit status 7 \| out of ink"):
            await engine.idle()


async def test_a_worker_tells_the_device_that_it_found() -> None:
    async with local_engine(["auto"]) as engine:
        assert [worker.device for worker in engine.workers()] == ["auto"]
        assert await engine.idle() == "here/auto"
        assert [worker.device for worker in engine.workers()] == ["mps"]


async def test_an_engine_on_a_device_that_is_not_there_is_dead_at_once() -> None:
    async with asyncio.timeout(SOON), local_engine(["nowhere"]) as engine:
        with pytest.raises(EngineDead, match="no such device"):
            await engine.idle()
        assert engine.workers()[0].restarts == 0


async def test_two_workers_paint_at_the_same_time(tmp_path: Path) -> None:
    async with asyncio.timeout(SOON), local_engine(["cpu", "cpu"]) as engine:
        await until(lambda: all(worker.state is WorkerState.IDLE for worker in engine.workers()))
        first, second = (worker.name for worker in engine.workers())
        assert (first, second) == ("here/cpu", "here/cpu#2")
        at_work: list[str] = []

        def begun(progress: Progress, name: str) -> None:
            if progress.step == 1:
                at_work.append(name)
            if len(at_work) == 2:  # neither is done before both have begun
                (tmp_path / "go").touch()

        held = batch(f"hold:{tmp_path}/go")
        await asyncio.gather(*(engine.paint(name, held, partial(begun, name=name)) for name in (first, second)))
        assert sorted(at_work) == [first, second]


async def test_the_default_model_is_loaded_before_the_first_order() -> None:
    async with asyncio.timeout(SOON), local_engine(preload=MODEL) as engine:
        await engine.idle()
        assert engine.workers()[0].model == "sdxl"


async def test_a_model_that_cannot_be_preloaded_does_not_keep_the_worker_from_work() -> None:
    async with asyncio.timeout(SOON), local_engine(preload=dataclasses.replace(MODEL, source="/nowhere")) as engine:
        await engine.idle()
        assert engine.workers()[0].model is None


async def test_closing_leaves_no_process_even_in_mid_batch(tmp_path: Path) -> None:
    async with asyncio.timeout(SOON):
        async with local_engine(["cpu", "cpu"]) as engine:
            worker = await engine.idle()
            begun = asyncio.Event()
            painting = asyncio.create_task(
                engine.paint(worker, batch(f"hold:{tmp_path}/never"), lambda progress: begun.set())
            )
            await begun.wait()
            assert len(children()) == 2
        assert children() == []
        with pytest.raises((PaintingCancelled, WorkerLost)):
            await painting


async def test_closing_while_a_process_is_begun_does_not_wait_for_it() -> None:
    async with asyncio.timeout(SOON):
        engine = LocalEngine([PainterSettings(device="cpu")], instance="here", clock=SystemClock(), settings=QUICK)
        await engine.start()
        while engine.pid("here/cpu") is None:  # noqa: ASYNC110 - the very next turn of the event loop is meant
            await asyncio.sleep(0)
        await engine.close(grace=2 * SOON)
    assert children() == []


@pytest.mark.crash
async def test_closing_kills_what_does_not_end_in_time() -> None:
    async with asyncio.timeout(SOON), local_engine() as engine:
        worker = await engine.idle()
        painting = asyncio.create_task(engine.paint(worker, batch("hang"), ignore))
        await until(lambda: engine.workers()[0].state is WorkerState.BUSY)
        await engine.close(grace=0.2)
        assert children() == []
        with pytest.raises(WorkerLost):
            await painting


@pytest.mark.crash
def test_a_worker_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(
        "import asyncio\n"
        "from tests.engine.local_engines import batch, local_engine\n"
        "async def main():\n"
        "    async with local_engine() as engine:\n"
        "        worker = await engine.idle()\n"
        f"        await engine.paint(worker, batch('hang note:{tmp_path / 'begun'}'), print)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, str(program)], env={**os.environ, "PYTHONPATH": str(ROOT)}) as parent:
        deadline = time.perf_counter() + SOON
        while not (tmp_path / "begun").exists():
            assert time.perf_counter() < deadline
            time.sleep(0.05)
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 1
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=SOON)
    assert alive == []


def test_the_parent_loads_no_torch() -> None:
    program = (
        "import sys, generation.engine.local, generation.queue.dispatcher\n"
        "assert not {'torch', 'diffusers', 'numpy', 'PIL'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
