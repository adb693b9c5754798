"""The end of a batch, which may be worked on while the next is denoised: latents to pictures, a look at them, files.

What it does to a picture is the same wherever it is done, so it does not show in the pixels.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeAlias

from PIL import Image

from generation.engine.protocol import Painted, Picture, Task
from generation.engine.settings import PainterSettings
from generation.painter.devices import Placement, out_of_memory_told
from generation.picture import encode_png

# A picture, and how likely it shows what the image classifier looks for (None: there is no classifier).
Developed: TypeAlias = tuple[Image.Image, float | None]
# Makes one picture, when it is called.
Make: TypeAlias = Callable[[], Developed]
# What may be left for the time in which the next batch is denoised: nothing, the writing of files, or decoding too.
Overlap: TypeAlias = Literal["none", "files", "all"]

# zlib takes a quarter of a second for 1024 × 1024 pixels, and lets other threads work meanwhile.
MOST_ENCODERS = 4


def overlap_of(settings: PainterSettings, placement: Placement) -> Overlap:
    """What a painter leaves for later.

    "auto" is all on a CUDA device, which waits for nobody while files are written, and nothing elsewhere: a processor
    that denoises has no time to spare. Only files where the VAE has to come to the device for it, and where CUDA graphs
    are captured, in which time no other thread may ask the device for memory.
    """
    wanted = settings.overlap == "on" or (settings.overlap == "auto" and placement.device.type == "cuda")
    if not wanted:
        return "none"
    alone = placement.vram != "full" or settings.compile == "graphs"
    return "files" if alone else "all"


class Finish:
    """What is left to do for one batch. To be called once, in any thread."""

    def __init__(
        self, tasks: Sequence[Task], makes: Sequence[Make], *, sampler: str | None, started: float, aside: bool
    ) -> None:
        """`makes` make the pictures, one for each task, and are called one after the other.

        `sampler` is the model's own scheduler, for recipes without one; `started` is when the batch began. `aside`:
        the next batch does not wait for this.
        """
        self._tasks = tasks
        self._makes = makes
        self._sampler = sampler
        self._started = started
        self._free_since = time.perf_counter() if aside else None
        self._done = threading.Event()

    def __call__(self) -> Painted:
        """The batch's pictures as files that carry their recipes; their seconds are those that others waited.

        Raises what making the pictures raises.
        """
        try:
            with out_of_memory_told(), ThreadPoolExecutor(_encoders(len(self._tasks))) as encoders:
                developed, files = [], []
                for task, make in zip(self._tasks, self._makes, strict=True):
                    image, score = make()
                    developed.append((image.size, score))
                    files.append(encoders.submit(encode_png, image, task.recipe, sampler=self._sampler))
                pictures = tuple(
                    Picture(png=file.result(), width=width, height=height, score=score)
                    for file, ((width, height), score) in zip(files, developed, strict=True)
                )
            until = time.perf_counter() if self._free_since is None else self._free_since
            return Painted(pictures=pictures, seconds=until - self._started)
        finally:
            self._makes = ()  # and the latents with them
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether it needs the device no more."""
        return self._done.is_set()

    def wait(self) -> None:
        """Until it is done, however it ends."""
        self._done.wait()


def _encoders(pictures: int) -> int:
    """Threads that write files; the processor has others to feed too."""
    return max(1, min(pictures, MOST_ENCODERS, (os.cpu_count() or 1) // 2))
