"""A painter for end-to-end tests: Pillow instead of a model, in a real worker process.

A picture is a colour that its seed decides, or its source moved towards that colour by its strength; around a source in
a frame, and where a mask is white, it is that colour alone (what is named by words stands in the left half). It carries
its recipe as a real one does. Words in the prompt ask for more: `slow` (a fifth of a second a step), `held:PATH` (it
stops after its first step until that file is there), `crash` (the process dies), `broken` (painting fails),
`noise` (a picture that no PNG makes small).
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
from generation.errors import PaintingCancelled, PaintingFailed
from generation.picture import encode_png, open_picture

PREVIEW_SIZE = (16, 16)
SLOW_SECONDS = 0.2
HELD_SECONDS = 0.02  # between two looks whether what is held may go on


class DrawingPainter:
    """Implements `generation.engine.painting.Painter`."""

    device = "cpu"

    def __init__(self, settings: PainterSettings) -> None:
        self._settings = settings

    def load(self, model: ModelSpec) -> None:
        pass

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        started = time.perf_counter()
        words = {word for task in batch.tasks for word in task.recipe.prompt.split()}
        steps = batch.tasks[0].recipe.num_inference_steps
        for step in range(1, steps + 1):
            time.sleep(SLOW_SECONDS if "slow" in words else 0.005)
            if "crash" in words:
                os.kill(os.getpid(), signal.SIGKILL)
            if "broken" in words:
                raise PaintingFailed(detail="the brush broke")
            if cancelled():
                raise PaintingCancelled
            previews = tuple(_preview(task, step) for task in batch.tasks)
            on_progress(Progress(step=step, steps=steps, previews=previews))
            while any(_holds(word) for word in words):
                time.sleep(HELD_SECONDS)
                if cancelled():
                    raise PaintingCancelled
        return Painted(pictures=tuple(_picture(task) for task in batch.tasks), seconds=time.perf_counter() - started)


def _holds(word: str) -> bool:
    name, _, path = word.partition(":")
    return name == "held" and not Path(path).exists()


def _colour(seed: int) -> tuple[int, int, int]:
    dice = random.Random(seed)
    return dice.randrange(256), dice.randrange(256), dice.randrange(256)


def _preview(task: Task, step: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", PREVIEW_SIZE, _colour(task.recipe.seed + step)).save(file, "JPEG")
    return file.getvalue()


def _picture(task: Task) -> Picture:
    recipe = task.recipe
    size = (recipe.width, recipe.height)
    image = Image.new("RGB", size, _colour(recipe.seed))
    if "noise" in recipe.prompt.split():
        image = Image.frombytes("RGB", size, random.Random(recipe.seed).randbytes(size[0] * size[1] * 3))
    if task.source is not None and recipe.source is not None:
        source = open_picture(task.source).convert("RGB")
        if (frame := recipe.source.frame) is not None:
            image.paste(source.resize((frame.width, frame.height)), (frame.x, frame.y))
        elif recipe.mask is not None:
            image = Image.composite(image, source.resize(size), _mask(task))
        else:
            image = Image.blend(source.resize(size), image, recipe.source.strength)
    return Picture(png=encode_png(image, recipe), width=recipe.width, height=recipe.height)


def _mask(task: Task) -> Image.Image:
    size = (task.recipe.width, task.recipe.height)
    if task.mask is not None:
        return open_picture(task.mask).convert("L").resize(size)
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask
