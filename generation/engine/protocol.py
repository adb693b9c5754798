"""What an engine is, and the values that cross the border to a worker process."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from generation.catalogue import EmbeddingSpec, LoraSpec, ModelSpec
from generation.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One picture to paint, for the job of that id. `source` and `mask` are the bytes of the files that it names."""

    job_id: int
    recipe: Recipe
    source: bytes | None = None
    mask: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tasks of equal `Recipe.batch_key()`, in order, with what is needed to load what they name."""

    tasks: tuple[Task, ...]
    model: ModelSpec
    loras: tuple[LoraSpec, ...] = ()
    embeddings: tuple[EmbeddingSpec, ...] = ()

    @property
    def job_ids(self) -> tuple[int, ...]:
        """The jobs in this batch, each once, in order."""
        return tuple(dict.fromkeys(task.job_id for task in self.tasks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is: `step` of `steps` done. `previews` holds one small JPEG a task, or nothing."""

    step: int
    steps: int
    previews: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A painted picture: PNG bytes that carry their recipe, and its size in pixels.

    `score` is how likely it shows what the configured image classifier looks for, 0 to 1; None where there is none.
    """

    png: bytes
    width: int
    height: int
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """What comes back for a batch: a picture for each task, in order, and the seconds that painting took."""

    pictures: tuple[Picture, ...]
    seconds: float


class WorkerState(enum.StrEnum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker as the queue sees it. `model` and `loras` are what it last painted with.

    `device` is what was configured, perhaps "auto", until its first process has said what it paints on; on a cluster
    the node follows ("cuda:10.0.0.6").
    """

    name: str
    device: str
    state: WorkerState
    model: str | None = None
    loras: tuple[str, ...] = ()
    restarts: int = 0


class Engine(Protocol):
    """Runs workers. All methods are called on one event loop; workers run elsewhere."""

    async def start(self) -> None:
        """Start the workers; returns at once, they become idle as they are ready."""

    async def close(self, *, grace: float) -> None:
        """Ask each worker to end, and end those that have not within `grace` seconds."""

    def workers(self) -> Sequence[WorkerInfo]:
        """The workers as they are now."""

    async def idle(self) -> str:
        """Wait until some worker is idle; its name. Raises `EngineDead` when none will ever be."""

    async def death(self) -> NoReturn:
        """Wait until no worker will ever be idle again, and raise `EngineDead` then."""

    async def paint(self, worker: str, batch: Batch, on_progress: Callable[[Progress], None]) -> Painted:
        """Paint a batch on that idle worker.

        It may be idle again before this batch is back: pictures may be finished while the next ones are begun.
        `on_progress` is called on the event loop after each step. Raises `PaintingCancelled`, `ModelUnavailable`, or a
        `WorkerError` (`WorkerLost` when its process died: the engine starts another by itself).
        """

    def expect(self, worker: str, model: ModelSpec | None) -> None:
        """The model that this worker will probably need next, while it paints with another; None: none but that one.

        It may then read it in the meantime. Saying the same again costs nothing.
        """

    def cancel(self, worker: str) -> None:
        """Ask the worker to abandon the batch that it began last; `paint` then raises `PaintingCancelled`.

        It does so at the next step.
        """
