"""What a batch tells while it is painted, and where it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from generation.engine.protocol import Progress
from generation.errors import PaintingCancelled
from generation.painter.previews import Previewer, to_jpeg
from generation.painter.schedulers import Estimate
from generation.painter.step_callbacks import StepCallback, steps_done


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
        self._in_pass: Sequence[int] = ()
        self._passes_done = 0
        self._passes = 1
        self._previews: list[bytes] = []

    def begin(self, in_pass: Sequence[int], *, done: int, left: int) -> None:
        """A forward pass begins, with the tasks of these indices; also one that ran out of memory and begins again.

        So many passes are done, and so many left, with this one.
        """
        self.check_cancelled()
        self._in_pass = in_pass
        self._passes_done = done
        self._passes = done + left

    def after_step(self, estimate: Estimate, *, steps: int, before: int) -> StepCallback:
        """A pipeline's `callback_on_step_end` that stops the batch by raising, or tells how far it is.

        The pipeline's call takes `steps`; `before` were taken in this pass before it. Raising ends the call at once;
        the pipeline's own `_interrupt` would still decode the unfinished latents.
        """

        def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self.check_cancelled()
            previews: tuple[bytes, ...] = ()
            if self._preview_every and (index + 1) % self._preview_every == 0 and estimate.latents is not None:
                previews = self._preview(estimate.latents)
            done = self._passes_done * self._steps + before + steps_done(pipeline, index, steps)
            self._on_progress(Progress(step=done, steps=self._passes * self._steps, previews=previews))
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
        for index, image in zip(self._in_pass, images, strict=True):
            self._previews[index] = to_jpeg(image)
        return tuple(self._previews)
