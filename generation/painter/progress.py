"""What a batch tells while it is painted, and where it is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor

from generation.engine.protocol import Progress
from generation.errors import PaintingCancelled
from generation.painter.previews import Previewer, to_jpeg
from generation.painter.schedulers import Estimate


class BatchProgress:
    """Counts the steps of all passes of a batch, makes previews, and stops it when it is cancelled."""

    def __init__(
        self,
        *,
        tasks: int,
        steps: int,
        previewer: Previewer,
        preview_every: int,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._tasks = tasks
        self._steps = steps
        self._previewer = previewer
        self._preview_every = preview_every
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._first = 0
        self._passes_done = 0
        self._passes = 1
        self._previews: list[bytes] = []

    def begin(self, *, first: int, at_once: int) -> None:
        """A forward pass begins, with the task at index `first`; also one that ran out of memory and begins again."""
        self.check_cancelled()
        if first > self._first:
            self._passes_done += 1
        self._first = first
        self._passes = self._passes_done + math.ceil((self._tasks - first) / at_once)

    def after_step(self, estimate: Estimate) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
        """A pipeline's `callback_on_step_end` that stops the batch by raising, or tells how far it is.

        Raising ends the call at once; the pipeline's own `_interrupt` would still decode the unfinished latents.
        """

        def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self.check_cancelled()
            # Some schedulers evaluate the model more than once a step.
            step = (index + 1) * self._steps // pipeline.num_timesteps
            previews: tuple[bytes, ...] = ()
            if self._preview_every and (index + 1) % self._preview_every == 0 and estimate.latents is not None:
                previews = self._preview(estimate.latents)
            self._on_progress(
                Progress(
                    step=self._passes_done * self._steps + step, steps=self._passes * self._steps, previews=previews
                )
            )
            return {}

        return callback

    def check_cancelled(self) -> None:
        """Raises `PaintingCancelled` when the batch was cancelled."""
        if self._cancelled():
            raise PaintingCancelled

    def _preview(self, latents: Tensor) -> tuple[bytes, ...]:
        """One JPEG a task: this pass's as they are now, earlier ones' as they were last, grey for those to come."""
        images = self._previewer.images(latents)
        if not self._previews:
            self._previews = [to_jpeg(Image.new("RGB", images[0].size, "grey"))] * self._tasks
        self._previews[self._first : self._first + len(images)] = [to_jpeg(image) for image in images]
        return tuple(self._previews)
