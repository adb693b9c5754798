"""What a worker process expects of its painter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Progress


class Painter(Protocol):
    """Loads models and paints batches, one at a time and always in the same thread.

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


@runtime_checkable
class ForesightedPainter(Painter, Protocol):
    """A painter that can prepare for a model while it paints with another."""

    def expect(self, model: ModelSpec | None) -> None:
        """The model that will probably be needed next; None: no other than the one at work.

        Called in any thread. Returns at once and raises nothing.
        """


@runtime_checkable
class OverlappingPainter(Painter, Protocol):
    """A painter that may begin a batch before the last one is finished."""

    def begin(
        self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Painted | Callable[[], Painted]:
        """As `paint`, or what is left of it for another thread to call, once.

        That may raise what `paint` raises, and asks `cancelled()` too.
        """
