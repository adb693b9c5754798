"""A dispatcher at work on a store in memory and a scripted engine, and what it told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from generation.catalogue import Catalogue, LoraSpec, ModelSpec
from generation.clock import Clock, SystemClock
from generation.job import Job, JobKind, JobStatus, NewJob
from generation.queue.dispatcher import Dispatcher, JobProgress, QueueSettings
from generation.recipe import Recipe, Source
from generation.safety import SafetyPolicy
from tests.queue.memory_store import MemoryStore
from tests.queue.scripted_engine import ScriptedEngine

CATALOGUE = Catalogue(
    models={
        name: ModelSpec(name=name, source="/", native_size=64, num_inference_steps=4, max_batch=4)
        for name in ("sdxl", "other")
    },
    default_model="sdxl",
    loras={"neon": LoraSpec(name="neon", path=Path("/neon"))},
)
QUICK = QueueSettings(lease_seconds=30, first_pause=0.01, longest_pause=0.05)


def recipe(prompt: str = "red", *, model: str = "sdxl", source: str | None = None, steps: int = 4) -> Recipe:
    return Recipe(
        prompt=prompt,
        model=model,
        width=64,
        height=64,
        seed=1,
        num_inference_steps=steps,
        guidance_scale=5,
        source=None if source is None else Source(digest=source, strength=0.5),
    )


def order(*prompts: str, user: int = 1, model: str = "sdxl", source: str | None = None, steps: int = 4) -> NewJob:
    """An order of a picture for each prompt."""
    return NewJob(
        kind=JobKind.IMAGINE,
        recipes=tuple(recipe(prompt, model=model, source=source, steps=steps) for prompt in prompts),
        request=" ".join(prompts),
        style=None,
        user_id=user,
        guild_id=None,
        channel_id=1,
        cost=len(prompts),
    )


@dataclass
class Ear:
    """Implements `QueueListener` by writing everything down."""

    started: list[Job] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    progress: list[tuple[int, JobProgress]] = field(default_factory=list)
    changes: int = 0
    heard: list[Job] = field(default_factory=list)  # of another program's doing

    def job_started(self, job: Job) -> None:
        self.started.append(job)

    def job_progress(self, job_id: int, progress: JobProgress) -> None:
        self.progress.append((job_id, progress))

    def job_ended(self, job: Job) -> None:
        self.ended.append(job)

    def queue_changed(self) -> None:
        self.changes += 1

    def ends(self) -> dict[int, JobStatus]:
        """How each job ended; each is told once."""
        assert len({job.id for job in self.ended}) == len(self.ended)
        return {job.id: job.status for job in self.ended}


@dataclass
class Bench:
    store: MemoryStore
    engine: ScriptedEngine
    ear: Ear
    dispatcher: Dispatcher
    blocked: list[tuple[int, float]]  # jobs and scores, as they were told
    run: asyncio.Task[None] | None = None

    def submit(self, new: NewJob) -> Job:
        job = self.store.order(new)
        self.dispatcher.submit(job)
        return job

    def start(self) -> None:
        self.run = asyncio.create_task(self.dispatcher.run())

    async def end_of(self, *jobs: Job) -> None:
        await until(lambda: {job.id for job in jobs} <= {job.id for job in self.ear.ended})


def new_bench(
    *workers: str,
    settings: QueueSettings = QUICK,
    store: MemoryStore | None = None,
    clock: Clock | None = None,
    safety: SafetyPolicy | None = None,
    instance: str = "here",
    shared: bool = False,
) -> Bench:
    """Everything made, nothing started. `shared`: another bench has the same store.

    With a `clock` that stands, no lease runs out before the test moves it.
    """
    clock = clock or SystemClock()
    store = store or MemoryStore(clock)
    engine = ScriptedEngine(*(workers or (f"{instance}/cpu",)))
    ear = Ear()
    blocked: list[tuple[int, float]] = []
    dispatcher = Dispatcher(
        store=store,
        engine=engine,
        catalogue=CATALOGUE,
        listener=ear,
        settings=settings,
        clock=clock,
        instance=instance,
        safety=safety,
        shared=shared,
        on_elsewhere=ear.heard.append,
        on_blocked=lambda job, score: blocked.append((job.id, score)),
    )
    return Bench(store=store, engine=engine, ear=ear, dispatcher=dispatcher, blocked=blocked)


@contextlib.asynccontextmanager
async def at_work(bench: Bench) -> AsyncIterator[Bench]:
    """Started here, stopped at the end; whatever takes longer than a minute is stuck."""
    async with asyncio.timeout(60):
        bench.start()
        yield bench
        await bench.dispatcher.stop(grace=5)
        assert bench.run is not None
        await bench.run


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own; the bench's timeout bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
