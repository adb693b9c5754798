"""A painter for tests that reads the files of models that it is told of: `SolidPainter`, and the painter's reader.

Its own wish is `wait:PATH`: nothing is painted until the file is there, or the batch is cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Progress
from generation.engine.settings import PainterSettings
from generation.errors import PaintingCancelled
from generation.painter.read_ahead import ReadAhead
from tests.engine.solid_painter import SolidPainter


class ForesightedSolidPainter(SolidPainter):
    """Implements `generation.engine.painting.ForesightedPainter`."""

    def __init__(self, settings: PainterSettings) -> None:
        super().__init__(settings)
        self._read_ahead = ReadAhead(most_bytes=10**9)

    def expect(self, model: ModelSpec | None) -> None:
        if model is None:
            self._read_ahead.call_off()
        else:
            self._read_ahead.begin(model)

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        words = [word.partition(":") for task in batch.tasks for word in task.recipe.prompt.split()]
        wishes = {name: value for name, _, value in words}
        while "wait" in wishes and not Path(wishes["wait"]).exists():
            if cancelled():
                raise PaintingCancelled
            time.sleep(0.01)
        with self._read_ahead.at_rest(batch.model):
            return super().paint(batch, on_progress=on_progress, cancelled=cancelled)
