"""A painter for tests: plain colours by Pillow, and every misfortune on demand. Real worker processes run it.

What it does is asked for by words in the prompt: a colour's name, `slow:0.1` (seconds a step), `crash` (the process is
killed), `crash-until:PATH` (unless the file is there; makes it), `memory`, `host-memory`, `raise`, `cuda`,
`unavailable`, `hang` (no step ever ends), `note:PATH` (writes its process id and the jobs to the file as it begins),
`hold:PATH` (the first step ends, and no other before the file is there, or the batch is cancelled).
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageColor

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress, Task
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable, OutOfMemory, PaintingCancelled


class SolidPainter:
    """Implements `generation.engine.painting.Painter`."""

    def __init__(self, settings: PainterSettings) -> None:
        if settings.device == "nowhere":
            raise ModelUnavailable(name="nowhere", reason="no such device")
        if settings.device == "broken":
            os.kill(os.getpid(), signal.SIGKILL)
        if settings.device.startswith("stammering"):
            if settings.device == "stammering-with-heir":
                subprocess.Popen(["sleep", "5"])  # which could go on with the line
            os.write(1, b"out of ink")  # and no end of the line
            os._exit(7)
        self.device = settings.device.replace("auto", "mps")

    def load(self, model: ModelSpec) -> None:
        if not Path(model.source).exists():
            raise ModelUnavailable(name=model.name, reason="no such file")

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        self.load(batch.model)
        started = time.perf_counter()
        words = [word.partition(":") for task in batch.tasks for word in task.recipe.prompt.split()]
        wishes = {name: value for name, _, value in words}
        if "note" in wishes:
            with Path(wishes["note"]).open("a") as file:
                file.write(f"{os.getpid()} {','.join(map(str, batch.job_ids))}\n")
        steps = batch.tasks[0].recipe.num_inference_steps
        for step in range(1, steps + 1):
            _misfortune(wishes)
            time.sleep(float(wishes.get("slow", 0)))
            while step > 1 and "hold" in wishes and not (Path(wishes["hold"]).exists() or cancelled()):
                time.sleep(0.01)
            if cancelled():
                raise PaintingCancelled
            previews = tuple(f"{task.recipe.prompt} {step}".encode() for task in batch.tasks)
            on_progress(Progress(step=step, steps=steps, previews=previews))
        return Painted(pictures=tuple(_picture(task) for task in batch.tasks), seconds=time.perf_counter() - started)


def _misfortune(wishes: dict[str, str]) -> None:
    if "crash" in wishes:
        os.kill(os.getpid(), signal.SIGKILL)
    if "crash-until" in wishes and not Path(wishes["crash-until"]).exists():
        Path(wishes["crash-until"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if "memory" in wishes:
        raise OutOfMemory(detail="1 GiB wanted")
    if "host-memory" in wishes:
        raise MemoryError
    if "raise" in wishes:
        raise ValueError("the brush broke")
    if "cuda" in wishes:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if "unavailable" in wishes:
        raise ModelUnavailable(name="sdxl", reason="gone")
    while "hang" in wishes:
        time.sleep(0.1)


def _picture(task: Task) -> Picture:
    recipe = task.recipe
    colour = next((word for word in recipe.prompt.split() if word in ImageColor.colormap), "white")
    file = io.BytesIO()
    if task.source is not None:
        colour = task.source.decode()
    Image.new("RGB", (recipe.width, recipe.height), colour).save(file, "PNG")
    return Picture(png=file.getvalue(), width=recipe.width, height=recipe.height)
