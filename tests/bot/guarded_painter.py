"""The painter of the end-to-end tests with an image classifier: it sees what it is told.

A picture's score is 0.9 where its prompt has the word `unwanted`, and 0.1 elsewhere; with `unseen` it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from generation.engine.protocol import Batch, Painted, Progress
from tests.bot.drawing_painter import DrawingPainter


class GuardedPainter(DrawingPainter):
    """Implements `generation.engine.painting.Painter`."""

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        painted = super().paint(batch, on_progress=on_progress, cancelled=cancelled)
        scores = [_score(task.recipe.prompt.split()) for task in batch.tasks]
        pictures = tuple(replace(picture, score=score) for picture, score in zip(painted.pictures, scores, strict=True))
        return replace(painted, pictures=pictures)


def _score(words: list[str]) -> float | None:
    if "unseen" in words:
        return None
    return 0.9 if "unwanted" in words else 0.1
