"""The painter: loads one model at a time and paints one batch at a time, on one device, synchronously."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
import torch
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress
from generation.engine.settings import PainterSettings
from generation.errors import OutOfMemory, PaintingFailed
from generation.painter.aids import Aids
from generation.painter.canvas import Canvas, canvas_of
from generation.painter.conditioning import PromptEmbeddings, encode_prompts
from generation.painter.denoising import Piece
from generation.painter.devices import choose_placement, free_memory, is_out_of_memory
from generation.painter.forward_pass import paint_pass
from generation.painter.models import LoadedModel, load_model
from generation.painter.progress import BatchProgress
from generation.painter.refiner import LoadedRefiner, load_refiner
from generation.painter.safety import SafetyClassifier
from generation.painter.schedulers import own_name
from generation.painter.weirdness import made_weird
from generation.picture import encode_png
from generation.recipe import Recipe


class Painter:
    """One painter on one device. Not thread-safe: the pipelines keep the state of the call on themselves."""

    def __init__(self, settings: PainterSettings) -> None:
        """Raises `ModelUnavailable` for a device that this machine lacks, or an image classifier that cannot be loaded.

        The classifier is loaded here and not when it is first needed: without it nothing may be painted at all.
        """
        self._settings = settings
        self._placement = choose_placement(settings)
        self._classifier = SafetyClassifier.of(settings, self._placement)
        self._aids = Aids(settings, self._placement)
        self._model: LoadedModel | None = None
        self._refiner: LoadedRefiner | None = None  # the model's
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)

    @property
    def device(self) -> str:
        """Where it paints: "cuda", "cuda:1", "mps" or "cpu"."""
        return str(self._placement.device)

    def load(self, model: ModelSpec) -> None:
        """Bring the model's weights onto the device in the place of the last one's.

        Raises `ModelUnavailable`, or `OutOfMemory` when the device does not hold them.
        """
        with _out_of_memory_told():
            self._loaded(model)

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        """A picture for each task, in order, each as it would be if it were painted alone.

        `on_progress` and `cancelled` are called after each denoising step, in this thread. Raises `PaintingCancelled`
        within one step of `cancelled()` being true, `OutOfMemory` when not even one picture fits, `ModelUnavailable`
        when the model or a LoRA cannot be loaded, `PictureUnchecked` where the image classifier gives no score, and
        `PaintingFailed` for a batch that cannot be painted. Other errors of torch and diffusers pass through.
        """
        with _out_of_memory_told():
            return self._paint(batch, on_progress, cancelled)

    def _paint(self, batch: Batch, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        started = time.perf_counter()

        # 1. Check the inputs
        recipe = batch.tasks[0].recipe
        _check(batch)
        canvases = [canvas_of(task, batch.model.native_size, self._aids) for task in batch.tasks]
        if recipe.steps_to_run == 0:
            # Too little strength for a single step: the canvas itself.
            images = [canvas.finish(canvas.picture) for canvas in canvases if canvas]
            return Painted(pictures=self._pictures(images, batch), seconds=time.perf_counter() - started)
        model = self._loaded(batch.model)
        refiner = self._refiner_of(model) if recipe.refine else None

        # 2. Switch the LoRAs, encode the prompts with them, and paint
        model.adapters.switch(recipe.loras, batch.loras)
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
                pieces = self._pieces(model, refiner, batch, canvases)
                images = self._paint_in_passes(model, refiner, pieces, progress)
        finally:
            # Where parts of the models wait in the main memory, those that worked last go back there.
            model.text_to_image.maybe_free_model_hooks()
            if refiner is not None:
                refiner.pipeline.maybe_free_model_hooks()

        # 3. Let the classifier look at them, and encode them, each with its recipe
        pictures = self._pictures(images, batch, sampler=own_name(model.scheduler))
        return Painted(pictures=pictures, seconds=time.perf_counter() - started)

    def _pieces(
        self,
        model: LoadedModel,
        refiner: LoadedRefiner | None,
        batch: Batch,
        canvases: Sequence[Canvas | None],
    ) -> list[Piece]:
        """The batch's tasks with their conditioning."""
        recipes = [task.recipe for task in batch.tasks]
        encoded = encode_prompts(model.text_to_image, recipes, model.device, batch.embeddings)
        refined: Sequence[PromptEmbeddings | None] = [None] * len(recipes)
        if refiner is not None:
            refined = encode_prompts(refiner.pipeline, recipes, model.device, batch.embeddings)
            refiner.pipeline.maybe_free_model_hooks()
        return [
            Piece(
                recipe=recipe,
                embeddings=made_weird(embeddings, recipe),
                refined=refiners and made_weird(refiners, recipe),
                canvas=canvas,
            )
            for recipe, embeddings, refiners, canvas in zip(recipes, encoded, refined, canvases, strict=True)
        ]

    def _paint_in_passes(
        self, model: LoadedModel, refiner: LoadedRefiner | None, pieces: Sequence[Piece], progress: BatchProgress
    ) -> list[Image.Image]:
        """The pieces' pictures, as many in one forward pass as the memory holds."""
        images: dict[int, Image.Image] = {}
        passes_done = 0
        at_once = pictures_at_once(model.spec, pieces[0].recipe)
        while left := _passes([index for index in range(len(pieces)) if index not in images], pieces, at_once):
            in_pass = left[0]
            progress.begin(in_pass, done=passes_done, left=len(left))
            try:
                painted = paint_pass(model, refiner, [pieces[index] for index in in_pass], progress)
                images |= zip(in_pass, painted, strict=True)
                passes_done += 1
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(in_pass) == 1:
                    raise
            # Out here, because within the handler the failed pass's tensors would still be held.
            at_once = len(in_pass) // 2
            structlog.get_logger(__name__).warning("pass_halved", at_once=at_once)
            self._free_memory()
        return [images[index] for index in range(len(pieces))]

    def _pictures(
        self, images: Sequence[Image.Image], batch: Batch, *, sampler: str | None = None
    ) -> tuple[Picture, ...]:
        """The batch's pictures as files that carry their recipes, with the classifier's scores."""
        return tuple(
            Picture(
                png=encode_png(image, task.recipe, sampler=sampler),
                width=image.width,
                height=image.height,
                score=None if self._classifier is None else self._classifier.score(image),
            )
            for image, task in zip(images, batch.tasks, strict=True)
        )

    def _loaded(self, spec: ModelSpec) -> LoadedModel:
        if self._model is None or self._model.spec != spec:
            self._model = self._refiner = None  # two models at once would not fit
            self._free_memory()
            self._model = load_model(spec, self._placement)
        return self._model

    def _refiner_of(self, model: LoadedModel) -> LoadedRefiner:
        if self._refiner is None:
            self._refiner = load_refiner(model.spec, self._placement)
        return self._refiner

    def _free_memory(self) -> None:
        gc.collect()
        free_memory(self._placement.device)


@contextmanager
def _out_of_memory_told() -> Iterator[None]:
    """Turns torch's ways of saying that memory ran out into `OutOfMemory`."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise OutOfMemory(detail=str(error).partition("\n")[0]) from error
        raise


def pictures_at_once(model: ModelSpec, recipe: Recipe) -> int:
    """How many pictures of this size share a forward pass: `max_batch` of the native size, fewer of larger ones."""
    return max(1, model.max_batch * model.native_size**2 // (recipe.width * recipe.height))


def _passes(indices: Sequence[int], pieces: Sequence[Piece], at_once: int) -> list[list[int]]:
    """Which pieces go through the model together: those with prompts of equal length, at most `at_once`."""
    by_length: dict[int, list[int]] = {}
    for index in indices:
        by_length.setdefault(pieces[index].embeddings.length, []).append(index)
    return [group[start : start + at_once] for group in by_length.values() for start in range(0, len(group), at_once)]


def _check(batch: Batch) -> None:
    """Raises `PaintingFailed` for a batch that this painter would paint wrongly."""
    if len({task.recipe.batch_key() for task in batch.tasks}) > 1:
        raise PaintingFailed(detail="recipes of different batch keys in one batch")
