"""What a worker process expects of its painter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Progress


class Painter(Protocol):
    """Loads models and paints batches, one at a time, in the process's main thread.

    Made with `PainterSettings`; `generation.painter.painter.Painter` is the real one.
    """

    @property
    def device(self) -> str:
        """Where it paints, also where the settings said "auto": "cuda", "cuda:1", "mps" or "cpu"."""

    def load(self, model: ModelSpec) -> None:
        """Bring the weights onto the device. Raises `ModelUnavailable`."""

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        """A picture for each task, in order.

        Asks `cancelled()` after each step and raises `PaintingCancelled`. Raises `OutOfMemory`, `PaintingFailed` or
        `ModelUnavailable`.
        """
