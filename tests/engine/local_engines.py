"""Local engines with the test painter, and batches for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence

import psutil

from generation.catalogue import ModelSpec
from generation.clock import Clock, SystemClock
from generation.engine.local import LocalEngine
from generation.engine.protocol import Batch, Task
from generation.engine.settings import EngineSettings, PainterSettings
from generation.recipe import LoraUse, Recipe

PAINTER = "tests.engine.solid_painter:SolidPainter"
MODEL = ModelSpec(name="sdxl", source="/", native_size=64, num_inference_steps=4, max_batch=4)
QUICK = EngineSettings(heartbeat_seconds=0.2, first_pause=0.01, longest_pause=0.1, painter=PAINTER)
SOON = 180  # seconds: a loaded machine takes its time to start an interpreter


def recipe(prompt: str = "red", *, steps: int = 4, model: str = "sdxl", loras: tuple[LoraUse, ...] = ()) -> Recipe:
    return Recipe(
        prompt=prompt,
        model=model,
        width=64,
        height=64,
        seed=1,
        num_inference_steps=steps,
        guidance_scale=5,
        loras=loras,
    )


def batch(*prompts: str, steps: int = 4, model: ModelSpec = MODEL) -> Batch:
    """A batch of one job for each prompt."""
    return Batch(
        tasks=tuple(
            Task(job_id=job_id, recipe=recipe(prompt, steps=steps)) for job_id, prompt in enumerate(prompts, start=1)
        ),
        model=model,
    )


@contextlib.asynccontextmanager
async def local_engine(
    devices: Sequence[str] = ("cpu",),
    *,
    settings: EngineSettings = QUICK,
    preload: ModelSpec | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[LocalEngine]:
    """A started engine that is closed at the end, whatever happens."""
    engine = LocalEngine(
        [PainterSettings(device=device) for device in devices],
        instance="here",
        clock=clock or SystemClock(),
        settings=settings,
        preload=preload,
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close(grace=2)


def children() -> list[int]:
    """The worker processes of this test process."""
    found = []
    for child in psutil.Process(os.getpid()).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another test's, gone in this moment
            if "generation.engine.worker" in child.cmdline():
                found.append(child.pid)
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
