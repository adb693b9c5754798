"""The engine on a real cluster of two nodes, and what it does when actors and nodes come to grief."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import os
import pickle
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from PIL import Image

from generation.engine import ray_life
from generation.engine.frames import Done, Paint, Start, encode
from generation.engine.protocol import Progress, WorkerState
from generation.engine.ray_actor import WorkerActor
from generation.engine.ray_door import check_door
from generation.engine.ray_errors import ClusterOpen, ClusterTokenRefused, ClusterUnreachable
from generation.engine.settings import PainterSettings
from generation.errors import (
    EngineDead,
    LimnerError,
    ModelUnavailable,
    OutOfMemory,
    PaintingCancelled,
    PaintingFailed,
    WorkerLost,
)
from tests.engine.local_engines import MODEL, QUICK, batch, until
from tests.engine.ray_clusters import LARGE, LOOPBACK, TestCluster, ray_cluster, ray_engine

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parent.parent.parent
LONG = 240  # seconds that anything may take at most, on a busy machine


@pytest.fixture(scope="module")
def cluster() -> Iterator[TestCluster]:
    with ray_cluster() as started:
        yield started


def ignore(progress: Progress) -> None:
    pass


async def test_two_workers_paint_at_the_same_time_with_every_step_told(cluster: TestCluster, tmp_path: Path) -> None:
    async with asyncio.timeout(LONG), ray_engine(cluster, workers=2, preload=MODEL) as engine:
        assert [worker.state for worker in engine.workers()] == [WorkerState.STARTING] * 2
        await until(lambda: all(worker.state is WorkerState.IDLE for worker in engine.workers()))
        first, second = engine.workers()
        assert (first.name, second.name) == ("here/ray-1", "here/ray-2")
        assert (first.device, first.model) == (f"cpu:{LOOPBACK}", "sdxl")
        assert engine.pid(first.name) != engine.pid(second.name)
        told: list[Progress] = []

        def begun(progress: Progress) -> None:
            told.append(progress)
            if [progress.step for progress in told] == [1, 1]:  # neither is done before both have begun
                (tmp_path / "go").touch()

        painted, _ = await asyncio.gather(
            engine.paint(first.name, batch(f"red hold:{tmp_path}/go", "blue"), begun),
            engine.paint(second.name, batch(f"hold:{tmp_path}/go"), begun),
        )
    assert [Image.open(io.BytesIO(picture.png)).getpixel((0, 0)) for picture in painted.pictures] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert sorted(progress.step for progress in told) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert (f"red hold:{tmp_path}/go 4".encode(), b"blue 4") in [progress.previews for progress in told]


async def test_errors_and_cancels_come_back_as_what_they_are_and_the_worker_goes_on(
    cluster: TestCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the bot alone")
    async with asyncio.timeout(LONG), ray_engine(cluster) as engine:
        worker = await engine.idle()
        pid = engine.pid(worker)
        assert "AWS_SECRET_ACCESS_KEY" not in psutil.Process(pid).environ()
        errors: dict[str, type[LimnerError]] = {
            "memory": OutOfMemory,
            "host-memory": OutOfMemory,
            "unavailable": ModelUnavailable,
            "raise": PaintingFailed,
        }
        for prompt, error in errors.items():
            with pytest.raises(error):
                await engine.paint(worker, batch(prompt), ignore)
            assert await engine.idle() == worker

        steps: list[int] = []

        def cancel(progress: Progress) -> None:
            steps.append(progress.step)
            engine.cancel(worker)

        with pytest.raises(PaintingCancelled):
            await engine.paint(worker, batch(f"hold:{tmp_path}/never"), cancel)
        assert steps == [1]
        engine.cancel(worker)  # of nothing, and not of what comes next
        told = [0]
        for _ in range(5):  # more than one stream of the actor's holds
            await engine.paint(worker, batch("red", steps=240), lambda progress: told.append(progress.step))
        assert told == [0, *list(range(1, 241)) * 5]
        assert engine.pid(worker) == pid


async def test_a_frame_that_never_arrives_ends_the_life_and_the_next_one_paints(cluster: TestCluster) -> None:
    @ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
    def lost() -> None:
        raise OSError("no way there")

    async with asyncio.timeout(LONG), ray_engine(cluster) as engine:
        worker = await engine.idle()
        pid = engine.pid(worker)
        life = engine._workers[worker]._life
        assert isinstance(life, ray_life.RayLife)
        await life._arrive(lost.remote())
        await until(lambda: engine.pid(worker) not in (pid, None))
        assert await engine.idle() == worker
        await engine.paint(worker, batch("red"), ignore)


async def test_calls_that_overtake_each_other_reach_the_worker_in_the_order_in_which_they_were_made(
    cluster: TestCluster,
) -> None:
    async with asyncio.timeout(LONG), ray_engine(cluster, workers=0):
        actor = ray.remote(WorkerActor).options(num_cpus=0).remote(QUICK.painter)
        await actor.meet.remote()
        frames = (
            Start(settings=PainterSettings(), preload=None, heartbeat_seconds=1.0),
            Paint(number=1, batch=batch("red")),
            Paint(number=2, batch=batch("blue")),
        )
        for number, frame in reversed(list(enumerate(frames))):
            await actor.take.remote(number, encode(frame))
        painted: list[int] = []
        stream = actor.frames.remote()
        while len(painted) < 2:
            said = pickle.loads(await (await anext(stream)))
            if isinstance(said, Done):
                painted.append(said.number)
        assert painted == [1, 2]


async def test_who_leaves_cancels_the_batch_and_a_close_in_mid_batch_leaves_no_process(
    cluster: TestCluster, tmp_path: Path
) -> None:
    held = batch(f"hold:{tmp_path}/never")
    async with asyncio.timeout(LONG):
        async with ray_engine(cluster) as engine:
            worker = await engine.idle()
            pid = engine.pid(worker)
            begun = asyncio.Event()
            painting = asyncio.create_task(engine.paint(worker, held, lambda progress: begun.set()))
            await begun.wait()
            painting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await painting
            assert engine.workers()[0].state is WorkerState.BUSY
            assert await engine.idle() == worker
            begun.clear()
            painting = asyncio.create_task(engine.paint(worker, held, lambda progress: begun.set()))
            await begun.wait()
        with pytest.raises((PaintingCancelled, WorkerLost)):
            await painting
        await until(lambda: pid is not None and not psutil.pid_exists(pid))


@pytest.mark.crash
async def test_an_actor_killed_in_mid_batch_is_told_and_another_takes_its_place(
    cluster: TestCluster, tmp_path: Path
) -> None:
    async with asyncio.timeout(LONG), ray_engine(cluster) as engine:
        worker = await engine.idle()
        pid = engine.pid(worker)
        assert pid is not None

        def kill(progress: Progress) -> None:
            os.kill(pid, signal.SIGKILL)

        with pytest.raises(WorkerLost):
            await engine.paint(worker, batch(f"hold:{tmp_path}/never"), kill)
        assert await engine.idle() == worker
        assert engine.pid(worker) != pid
        assert len((await engine.paint(worker, batch("red"), ignore)).pictures) == 1
        assert engine.workers()[0].restarts == 1


@pytest.mark.crash
async def test_a_lost_device_and_a_hanging_painter_get_a_new_actor(cluster: TestCluster) -> None:
    # Only what hangs is waited for briefly: a busy machine may be slow to lose its device.
    briefly = dataclasses.replace(QUICK, hang_seconds=2.0)
    for prompt, error, settings in (("cuda", PaintingFailed, QUICK), ("hang", WorkerLost, briefly)):
        async with asyncio.timeout(LONG), ray_engine(cluster, settings=settings) as engine:
            worker = await engine.idle()
            pid = engine.pid(worker)
            assert pid is not None
            with pytest.raises(error):
                await engine.paint(worker, batch(prompt), ignore)
            await until(lambda: engine.pid(worker) not in (pid, None))  # noqa: B023
            assert await engine.idle() == worker
            await until(lambda: not psutil.pid_exists(pid))  # noqa: B023


@pytest.mark.crash
async def test_a_node_killed_in_mid_batch_is_told_and_the_worker_moves_to_another(
    cluster: TestCluster, tmp_path: Path
) -> None:
    async with asyncio.timeout(LONG), ray_engine(cluster, gpu_memory_gigabytes=LARGE) as engine:
        worker = await engine.idle()
        begun = asyncio.Event()
        held = batch(f"hold:{tmp_path}/never")
        painting = asyncio.create_task(engine.paint(worker, held, lambda told: begun.set()))
        await begun.wait()
        pid = engine.pid(worker)
        await asyncio.to_thread(cluster.kill_large)
        with pytest.raises(WorkerLost):
            await painting
        assert engine.workers()[0].state is not WorkerState.DEAD
        cluster.add(gpu_memory=LARGE)
        assert await engine.idle() == worker
        assert engine.pid(worker) != pid
        assert len((await engine.paint(worker, batch("red"), ignore)).pictures) == 1


async def test_a_worker_goes_where_its_memory_is_and_waits_where_there_is_none(
    cluster: TestCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_life, "PLACEMENT_SECONDS", 0.5)
    async with asyncio.timeout(LONG), ray_engine(cluster, workers=2, gpu_memory_gigabytes=LARGE) as engine:
        await engine.idle()  # the node with the large GPU has room for one
        assert sorted(worker.state for worker in engine.workers()) == [WorkerState.IDLE, WorkerState.STARTING]
        await until(lambda: "gpu_memory 24" in caplog.text)  # what it waits for is told
    assert [worker.state for worker in engine.workers()] == [WorkerState.DEAD] * 2


async def test_a_node_with_other_versions_is_refused_in_one_sentence(
    cluster: TestCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {**ray_life.own_versions(), "torch": "9.9.9"}
    monkeypatch.setattr(ray_life, "own_versions", lambda: ours)
    async with asyncio.timeout(LONG), ray_engine(cluster) as engine:
        with pytest.raises(EngineDead, match=r"torch .* \(here 9\.9\.9\)"):
            await engine.idle()


async def test_a_painter_that_is_not_there_is_told_by_name(cluster: TestCluster) -> None:
    settings = dataclasses.replace(QUICK, painter="tests.engine.solid_painter:Nobody", max_deaths=1)
    async with asyncio.timeout(LONG), ray_engine(cluster, settings=settings) as engine:
        with pytest.raises(EngineDead, match="Nobody"):
            await engine.idle()


async def test_without_the_token_nobody_is_let_in(cluster: TestCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    with pytest.raises(ClusterTokenRefused):
        await check_door(cluster.address)


@pytest.mark.usefixtures("cluster")  # whose turn on this machine, and whose token, it is
async def test_a_cluster_that_asks_nobody_for_a_token_is_refused() -> None:
    folder = Path(tempfile.mkdtemp(prefix="limner-ray-", dir="/tmp"))  # short: Ray's sockets lie in it
    (folder / "ray").mkdir()
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.engine.open_cluster",
        cwd=ROOT,
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LONG):
            address = (await process.stdout.readline()).decode().strip()
            assert address
            with pytest.raises(ClusterOpen) as raised:
                await check_door(address)
        assert raised.value.fields == {"address": address}
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), LONG)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what of Ray it left behind, too
            await asyncio.wait_for(process.communicate(), LONG)  # until the last of them let go of the pipe
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("port", [1, 99999])
async def test_where_nothing_listens_that_is_said(port: int) -> None:
    with pytest.raises(ClusterUnreachable):
        await check_door(f"{LOOPBACK}:{port}")
