"""A painter that costs next to nothing, for real worker processes: one colour a picture, and every misfortune.

Words in the prompt ask for more: `slow` (a tenth of a second a step), `hang` (no step ever ends), `huge` (more than the
memory holds, alone or with others), `freeze` (the whole process stops), `noise` (a picture that no PNG makes small),
`held` (no step ends before there is the file that the drill's house lets go with).
"""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress, Task
from generation.engine.settings import PainterSettings
from generation.errors import OutOfMemory, PaintingCancelled
from generation.picture import encode_png

STEP_SECONDS, SLOW_SECONDS = 0.002, 0.1
PREVIEW_SIZE = (16, 16)
# The variable that names a file in which each batch is noted: a line with its jobs, before anything goes wrong.
BATCHES = "DRILL_BATCHES"
# The variable that names the file which lets go what is held.
LET_GO = "DRILL_LET_GO"


class DrillPainter:
    """Implements `generation.engine.painting.Painter`."""

    device = "cpu"

    def __init__(self, settings: PainterSettings) -> None:
        self._preview_every = settings.preview_every

    def load(self, model: ModelSpec) -> None:
        """There is nothing to load."""

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        """Step by step, as a model would."""
        started = time.perf_counter()
        if BATCHES in os.environ:
            with Path(os.environ[BATCHES]).open("a") as notes:
                notes.write(" ".join(str(task.job_id) for task in batch.tasks) + "\n")
        words = {word for task in batch.tasks for word in task.recipe.prompt.split()}
        steps = batch.tasks[0].recipe.num_inference_steps
        for step in range(1, steps + 1):
            time.sleep(SLOW_SECONDS if "slow" in words else STEP_SECONDS)
            if "huge" in words:
                raise OutOfMemory(detail="more than there is")
            if "freeze" in words:
                os.kill(os.getpid(), signal.SIGSTOP)
            while "hang" in words:
                time.sleep(1)
            while "held" in words and not Path(os.environ[LET_GO]).exists():
                time.sleep(SLOW_SECONDS)
                on_progress(Progress(step=step - 1, steps=steps))
            if cancelled():
                raise PaintingCancelled
            shown = self._preview_every and step % self._preview_every == 0
            previews = tuple(_preview(task) for task in batch.tasks) if shown else ()
            on_progress(Progress(step=step, steps=steps, previews=previews))
        return Painted(pictures=tuple(_picture(task) for task in batch.tasks), seconds=time.perf_counter() - started)


def _colour(task: Task) -> tuple[int, int, int]:
    red, green, blue = random.Random(task.recipe.seed).randbytes(3)
    return red, green, blue


def _preview(task: Task) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", PREVIEW_SIZE, _colour(task)).save(file, "JPEG")
    return file.getvalue()


def _picture(task: Task) -> Picture:
    recipe = task.recipe
    size = (recipe.width, recipe.height)
    image = Image.new("RGB", size, _colour(task))
    if "noise" in recipe.prompt.split():
        image = Image.frombytes("RGB", size, random.Random(recipe.seed).randbytes(3 * size[0] * size[1]))
    return Picture(png=encode_png(image, recipe), width=recipe.width, height=recipe.height)
