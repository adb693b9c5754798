"""A painter for tests that leaves the end of each batch for later: `SolidPainter`'s wishes, and some for that end.

`wait:PATH` (until the file is there, or the batch is cancelled), `end-crash`, `end-raise`, `end-cuda`, `end-hang`; and
`seen:PATH` makes that file when the end begins.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from generation.engine.protocol import Batch, Painted, Progress
from generation.errors import PaintingCancelled
from tests.engine.solid_painter import SolidPainter


class OverlappingSolidPainter(SolidPainter):
    """Implements `generation.engine.painting.OverlappingPainter`."""

    def begin(
        self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Callable[[], Painted]:
        painted = self.paint(batch, on_progress=on_progress, cancelled=cancelled)
        words = [word.partition(":") for task in batch.tasks for word in task.recipe.prompt.split()]
        wishes = {name: value for name, _, value in words}

        def finish() -> Painted:
            if "seen" in wishes:
                Path(wishes["seen"]).touch()
            while "end-hang" in wishes:
                time.sleep(0.1)
            while "wait" in wishes and not Path(wishes["wait"]).exists():
                if cancelled():
                    raise PaintingCancelled
                time.sleep(0.01)
            if "end-crash" in wishes:
                os.kill(os.getpid(), signal.SIGKILL)
            if "end-raise" in wishes:
                raise ValueError("the varnish ran")
            if "end-cuda" in wishes:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return painted

        return finish
