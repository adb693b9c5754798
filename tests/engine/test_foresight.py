"""What a real worker process reads of the model that comes next, while it paints with another."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from generation.catalogue import ModelSpec
from generation.engine.local import LocalEngine
from generation.engine.protocol import Painted, Progress
from generation.errors import ModelUnavailable, WorkerLost
from tests.engine.local_engines import MODEL, QUICK, SOON, batch, local_engine, until

FORESIGHTED = dataclasses.replace(QUICK, painter="tests.engine.foresighted_painter:ForesightedSolidPainter")
NBYTES = 20_000_000


def ignore(progress: Progress) -> None:
    pass


def model(path: Path, *, nbytes: int = NBYTES) -> ModelSpec:
    """A model in that file; without any bytes there is no file."""
    if nbytes:
        path.write_bytes(bytes(nbytes))
    return dataclasses.replace(MODEL, name=path.stem, source=str(path))


@dataclasses.dataclass
class Desk:
    """A worker at work, and what was logged."""

    engine: LocalEngine
    logs: list[Any]

    async def begun(self, prompt: str, spec: ModelSpec = MODEL) -> asyncio.Task[Painted]:
        """A batch that was given to the worker, as soon as that was idle."""
        worker = await self.engine.idle()
        painting = asyncio.create_task(self.engine.paint(worker, batch(prompt, model=spec), ignore))
        await asyncio.sleep(0)  # it runs as far as the worker
        return painting

    def expect(self, spec: ModelSpec | None) -> None:
        self.engine.expect("here/cpu", spec)

    def said(self, event: str, spec: ModelSpec) -> list[str]:
        """What the worker printed of that event, about that model."""
        lines = [log["line"] for log in self.logs if log["event"] == "worker_output"]
        return [line for line in lines if f"event={event}" in line.split() and f"model={spec.name}" in line.split()]

    async def heard(self, event: str, spec: ModelSpec) -> str:
        """The same, once it was printed."""
        await until(lambda: bool(self.said(event, spec)))
        return self.said(event, spec)[0]


@contextlib.asynccontextmanager
async def at_a_desk() -> AsyncIterator[Desk]:
    with capture_logs() as logs:
        async with asyncio.timeout(SOON), local_engine(settings=FORESIGHTED) as engine:
            yield Desk(engine, logs)


async def test_it_is_read_while_another_batch_is_painted(tmp_path: Path) -> None:
    coming, second = model(tmp_path / "coming.safetensors"), model(tmp_path / "second.safetensors")
    async with at_a_desk() as desk:
        painting = await desk.begun(f"red wait:{tmp_path}/go")
        desk.expect(coming)
        assert f"nbytes={NBYTES}" in await desk.heard("model_read_ahead", coming)
        desk.expect(coming)  # which is known by now
        desk.expect(second)
        await desk.heard("model_read_ahead", second)
        assert [len(desk.said(event, coming)) for event in ("model_read_ahead", "model_not_read_ahead")] == [1, 0]
        assert not painting.done()
        (tmp_path / "go").touch()
        await painting


@pytest.mark.crash
async def test_a_process_is_told_anew_after_it_had_the_model_and_so_is_a_new_one(tmp_path: Path) -> None:
    coming = model(tmp_path / "coming.safetensors")
    async with at_a_desk() as desk:
        await desk.engine.idle()
        desk.expect(coming)
        await desk.heard("model_read_ahead", coming)
        await (await desk.begun("red", coming))
        desk.expect(coming)
        await until(lambda: len(desk.said("model_read_ahead", coming)) == 2)
        with pytest.raises(WorkerLost):
            await (await desk.begun("red crash"))
        await desk.engine.idle()
        desk.expect(coming)
        await until(lambda: len(desk.said("model_read_ahead", coming)) == 3)


async def test_one_that_is_missing_or_called_off_does_no_harm(tmp_path: Path) -> None:
    missing = model(tmp_path / "missing.safetensors", nbytes=0)
    async with at_a_desk() as desk:
        painting = await desk.begun(f"red wait:{tmp_path}/go")
        desk.expect(missing)
        await desk.heard("model_not_read_ahead", missing)
        desk.expect(None)
        (tmp_path / "go").touch()
        assert len((await painting).pictures) == 1
        with pytest.raises(ModelUnavailable):  # in its turn
            await (await desk.begun("red", missing))
        assert len((await (await desk.begun("blue"))).pictures) == 1
        assert desk.engine.workers()[0].restarts == 0
