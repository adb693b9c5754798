"""The painter: loads models and denoises one batch at a time, on one device, synchronously.

What then makes pictures and files of a batch may be done in another thread, while the next is denoised.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog
import torch
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Progress
from generation.engine.settings import PainterSettings
from generation.errors import PaintingFailed
from generation.painter.aids import Aids
from generation.painter.canvas import canvas_of
from generation.painter.denoising import Piece
from generation.painter.devices import choose_placement, free_memory, is_out_of_memory, out_of_memory_told
from generation.painter.finishing import Developed, Finish, Make, Overlap, overlap_of
from generation.painter.forward_pass import Denoised, denoise_pass
from generation.painter.held_models import GIGABYTE, HeldModels
from generation.painter.mixed_loras import loras_acting
from generation.painter.models import LoadedModel
from generation.painter.pieces import passes_of, pieces_of
from generation.painter.progress import BatchProgress
from generation.painter.read_ahead import ReadAhead
from generation.painter.refiner import LoadedRefiner
from generation.painter.safety import SafetyClassifier
from generation.painter.schedulers import own_name
from generation.recipe import Recipe

Made = TypeVar("Made")


class Painter:
    """One painter on one device. The pipelines keep the state of the call on themselves: it is called in one thread.

    What `begin` leaves to do alone may be done in another.
    """

    def __init__(self, settings: PainterSettings) -> None:
        """Raises `ModelUnavailable` for a device that this machine lacks, or an image classifier that cannot be loaded.

        The classifier is loaded here and not when it is first needed: without it nothing may be painted at all.
        """
        self._settings = settings
        self._placement = choose_placement(settings)
        self._classifier = SafetyClassifier.of(settings, self._placement)
        self._aids = Aids(settings, self._placement)
        self._models = HeldModels(settings, self._placement, before_leaving=self._end_unfinished)
        self._read_ahead = ReadAhead(most_bytes=round(settings.models_in_memory_gigabytes * GIGABYTE))
        self._overlap = overlap_of(settings, self._placement)
        self._unfinished: list[Finish] = []
        self._passing = threading.Lock()  # held while a forward pass runs
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)

    @property
    def device(self) -> str:
        """Where it paints: "cuda", "cuda:1", "mps" or "cpu"."""
        return str(self._placement.device)

    def load(self, model: ModelSpec) -> None:
        """Bring the model's weights onto the device, in the place of others unless there is room for them too.

        Raises `ModelUnavailable`, or `OutOfMemory` when the device does not hold them.
        """
        with out_of_memory_told():
            self._loaded(model)

    def expect(self, model: ModelSpec | None) -> None:
        """This model will be needed next, or none but that at work: its files are read while others are painted.

        In any thread; returns at once, raises nothing and changes no pixel (see `read_ahead.py`).
        """
        if model is None or self._models.holds(model):
            self._read_ahead.call_off()
        else:
            self._read_ahead.begin(model)

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        """A picture for each task, in order, each as it would be if it were painted alone.

        `on_progress` and `cancelled` are called after each denoising step, in this thread. Raises `PaintingCancelled`
        within one step of `cancelled()` being true, `OutOfMemory` when not even one picture fits, `ModelUnavailable`
        when the model or a LoRA cannot be loaded, `PictureUnchecked` where the image classifier gives no score, and
        `PaintingFailed` for a batch that cannot be painted. Other errors of torch and diffusers pass through.
        """
        return self._denoise(batch, on_progress, cancelled, "none")()

    def begin(
        self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Painted | Finish:
        """As `paint`, but may leave to the caller what the next batch need not wait for: to be called in any thread.

        It must be called: models whose pictures are unfinished stay where they are. `cancelled` is called there too,
        and what is raised is what `paint` raises.
        """
        overlap = self._overlap
        finish = self._denoise(batch, on_progress, cancelled, overlap)
        if overlap == "none":
            return finish()
        self._unfinished.append(finish)
        return finish

    def _denoise(
        self, batch: Batch, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool], overlap: Overlap
    ) -> Finish:
        started = time.perf_counter()
        self._unfinished = [finish for finish in self._unfinished if not finish.done]
        with out_of_memory_told():
            makes, sampler = self._makes(batch, on_progress, cancelled, ahead=overlap != "all")
        return Finish(batch.tasks, makes, sampler=sampler, started=started, aside=overlap != "none")

    def _makes(
        self, batch: Batch, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool], *, ahead: bool
    ) -> tuple[Sequence[Make], str | None]:
        """What makes the batch's pictures, and the name of the model's own sampler. `ahead`: they are made already."""
        # 1. Check the inputs
        recipe = batch.tasks[0].recipe
        _check(batch)
        canvases = self._with_room(
            lambda: [canvas_of(task, batch.model.native_size, self._aids) for task in batch.tasks]
        )
        if recipe.steps_to_run == 0:
            # Too little strength for a single step: the canvas itself.
            unpainted = [partial(self._looked_at, canvas.finish(canvas.picture)) for canvas in canvases if canvas]
            return [_ahead(make) for make in unpainted] if ahead else unpainted, None
        model = self._loaded(batch.model)
        refiner = self._with_room(lambda: self._models.refiner(model.spec)) if recipe.refine else None

        # 2. Encode the prompts and paint, each picture with its LoRAs
        progress = BatchProgress(
            tasks=len(batch.tasks),
            steps=recipe.steps_to_run,
            previewer=model.previewer,
            preview_every=self._settings.preview_every,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        try:
            with model.without_gradients():
                pieces = self._with_room(lambda: pieces_of(model, refiner, batch, canvases))
                makes = self._paint_in_passes(model, refiner, batch, pieces, progress, ahead=ahead)
        finally:
            # Where parts of the models wait in the main memory, those that worked last go back there.
            model.text_to_image.maybe_free_model_hooks()
            if refiner is not None:
                refiner.pipeline.maybe_free_model_hooks()
        return makes, own_name(model.scheduler)

    def _paint_in_passes(
        self,
        model: LoadedModel,
        refiner: LoadedRefiner | None,
        batch: Batch,
        pieces: Sequence[Piece],
        progress: BatchProgress,
        *,
        ahead: bool,
    ) -> list[Make]:
        """What makes the pieces' pictures, after as many in one forward pass as the memory holds."""
        makes: dict[int, Make] = {}
        passes_done = 0
        at_once = pictures_at_once(model.spec, pieces[0].recipe)
        while missing := [index for index in range(len(pieces)) if index not in makes]:
            left = passes_of(model, batch, pieces, missing, at_once)
            in_pass = left[0]
            progress.begin(in_pass, done=passes_done, left=len(left))
            try:
                together = [pieces[index] for index in in_pass]
                with self._passing, loras_acting(model, [piece.recipe.loras for piece in together], batch.loras):
                    denoised = denoise_pass(model, refiner, together, progress)
                latest: list[Make] = [partial(self._developed, one, progress) for one in denoised]
                makes |= zip(in_pass, [_ahead(make) for make in latest] if ahead else latest, strict=True)
                passes_done += 1
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error) or (len(in_pass) == 1 and not self._could_make_room()):
                    raise
            # Out here, because within the handler the failed pass's tensors would still be held.
            if not self._make_room():
                at_once = max(1, len(in_pass) // 2)
                structlog.get_logger(__name__).warning("pass_halved", at_once=at_once)
        return [makes[index] for index in range(len(pieces))]

    def _developed(self, denoised: Denoised, progress: BatchProgress) -> Developed:
        """A denoised picture, decoded and looked at. In any thread."""
        progress.check_cancelled()
        try:
            return self._looked_at(denoised.image())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        self._collided()
        with self._passing:  # what the next batch needs at once is free between its passes
            self._free_memory()
            return self._looked_at(denoised.image())

    def _looked_at(self, image: Image.Image) -> Developed:
        return image, None if self._classifier is None else self._classifier.score(image)

    def _loaded(self, spec: ModelSpec) -> LoadedModel:
        with self._read_ahead.at_rest(spec):
            return self._with_room(lambda: self._models.model(spec))

    def _end_unfinished(self) -> None:
        """Wait for what was left to do of earlier batches."""
        for finish in self._unfinished:
            finish.wait()
        self._unfinished = []

    def _could_make_room(self) -> bool:
        return any(not finish.done for finish in self._unfinished) or self._models.could_give_way()

    def _with_room(self, step: Callable[[], Made]) -> Made:
        """What a step makes. If it lacks memory and others hold some, these give way, and it is tried once more."""
        try:
            return step()
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self._could_make_room():
                raise
        # Out here, because within the handler the failed step's tensors would still be held.
        self._make_room()
        return step()

    def _collided(self) -> None:
        """A batch and the decoding of another do not fit together: from now on only the writing of files is aside.

        Otherwise each batch would begin with a failure of the same kind.
        """
        if self._overlap == "all":
            self._overlap = "files"
            structlog.get_logger(__name__).warning("overlap_reduced", reason="memory")

    def _make_room(self) -> bool:
        """Free what the pass at hand does not need. False: that was little."""
        made = self._could_make_room()
        if any(not finish.done for finish in self._unfinished):
            self._collided()
        self._end_unfinished()
        self._models.give_way()
        self._free_memory()
        return made

    def _free_memory(self) -> None:
        gc.collect()
        free_memory(self._placement.device)


def pictures_at_once(model: ModelSpec, recipe: Recipe) -> int:
    """How many pictures of this size share a forward pass: `max_batch` of the native size, fewer of larger ones."""
    return max(1, model.max_batch * model.native_size**2 // (recipe.width * recipe.height))


def _ahead(make: Make) -> Make:
    """What was made already."""
    made = make()
    return lambda: made


def _check(batch: Batch) -> None:
    """Raises `PaintingFailed` for a batch that this painter would paint wrongly."""
    if len({task.recipe.batch_key() for task in batch.tasks}) > 1:
        raise PaintingFailed(detail="recipes of different batch keys in one batch")
