"""The painter: loads one model at a time and paints one batch at a time, on one device, synchronously."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
import torch
from PIL import Image
from torch import Tensor

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress, Task
from generation.engine.settings import PainterSettings
from generation.errors import OutOfMemory, PaintingFailed
from generation.painter.devices import choose_placement, free_memory, is_out_of_memory
from generation.painter.latents import choose_tiling, decode_latents, draw_noise, encode_picture, seed_generator
from generation.painter.models import LoadedModel, load_model
from generation.painter.progress import BatchProgress
from generation.painter.prompts import PromptEmbeddings, encode_prompts, pipeline_arguments
from generation.painter.schedulers import Estimate, make_scheduler, own_name
from generation.picture import encode_png, open_picture
from generation.recipe import Recipe

# What of a recipe this painter acts on. A field that is not among these must hold its default (see `_check`).
PAINTED_FIELDS = frozenset(
    {
        "prompt",
        "negative_prompt",
        "model",
        "width",
        "height",
        "seed",
        "num_inference_steps",
        "guidance_scale",
        "scheduler",
        "loras",
        "source",
    }
)


class Painter:
    """One painter on one device. Not thread-safe: the pipelines keep the state of the call on themselves."""

    def __init__(self, settings: PainterSettings) -> None:
        """Raises `ModelUnavailable` for a device that this machine lacks."""
        self._settings = settings
        self._placement = choose_placement(settings)
        self._model: LoadedModel | None = None
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)

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
        when the model or a LoRA cannot be loaded, and `PaintingFailed` for a batch that cannot be painted. Other errors
        of torch and diffusers pass through.
        """
        with _out_of_memory_told():
            return self._paint(batch, on_progress, cancelled)

    def _paint(self, batch: Batch, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        started = time.perf_counter()

        # 1. Check the inputs
        recipe = batch.tasks[0].recipe
        _check(batch)
        sources = [_source_picture(task) for task in batch.tasks]
        if recipe.steps_to_run == 0 and recipe.source is not None:
            # Too little strength for a single step: the source itself, at the wanted size.
            pictures = [
                _picture(source, task.recipe) for source, task in zip(sources, batch.tasks, strict=True) if source
            ]
            return Painted(pictures=tuple(pictures), seconds=time.perf_counter() - started)
        model = self._loaded(batch.model)

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
                embeddings = encode_prompts(model.text_to_image, [task.recipe for task in batch.tasks], model.device)
                images = self._paint_in_passes(model, batch, embeddings, sources, progress)
        finally:
            # Where parts of the model wait in the main memory, those that worked last go back there.
            model.text_to_image.maybe_free_model_hooks()

        # 3. Encode the pictures, each with its recipe
        sampler = own_name(model.scheduler)
        pictures = [_picture(image, task.recipe, sampler) for image, task in zip(images, batch.tasks, strict=True)]
        return Painted(pictures=tuple(pictures), seconds=time.perf_counter() - started)

    def _paint_in_passes(
        self,
        model: LoadedModel,
        batch: Batch,
        embeddings: Sequence[PromptEmbeddings],
        sources: Sequence[Image.Image | None],
        progress: BatchProgress,
    ) -> list[Image.Image]:
        """The batch's pictures, as many in one forward pass as the memory holds."""
        images: list[Image.Image] = []
        at_once = pictures_at_once(batch.model, batch.tasks[0].recipe)
        while len(images) < len(batch.tasks):
            chunk = slice(len(images), len(images) + at_once)
            progress.begin(first=chunk.start, at_once=at_once)
            try:
                images += _paint_pass(model, batch.tasks[chunk], embeddings[chunk], sources[chunk], progress)
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(batch.tasks[chunk]) == 1:
                    raise
            # Out here, because within the handler the failed pass's tensors would still be held.
            at_once = len(batch.tasks[chunk]) // 2
            structlog.get_logger(__name__).warning("pass_halved", at_once=at_once)
            self._free_memory()
        return images

    def _loaded(self, spec: ModelSpec) -> LoadedModel:
        if self._model is None or self._model.spec != spec:
            self._model = None  # two models at once would not fit
            self._free_memory()
            self._model = load_model(spec, self._placement)
        return self._model

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


def _paint_pass(
    model: LoadedModel,
    tasks: Sequence[Task],
    embeddings: Sequence[PromptEmbeddings],
    sources: Sequence[Image.Image | None],
    progress: BatchProgress,
) -> list[Image.Image]:
    """The pictures of one forward pass's tasks."""
    recipe = tasks[0].recipe
    vae, processor, device = model.vae, model.text_to_image.image_processor, model.device
    dtype = embeddings[0].prompt.dtype

    # 1. A fresh scheduler, which also tells the previews
    pipeline = model.text_to_image if recipe.source is None else model.image_to_image
    pipeline.scheduler = make_scheduler(model.scheduler, recipe.scheduler)
    estimate = Estimate(pipeline.scheduler)
    choose_tiling(vae, recipe.width, recipe.height, always=model.saves_memory)

    # 2. Each picture's own noise
    generators = [seed_generator(task.recipe.seed) for task in tasks]
    noise = draw_noise(generators, vae, recipe.width, recipe.height).to(device)
    arguments: dict[str, Any] = {
        **pipeline_arguments(embeddings),
        "num_inference_steps": recipe.num_inference_steps,
        "guidance_scale": recipe.guidance_scale,
        "generator": generators,  # for schedulers that draw more noise on the way
        "output_type": "latent",
        "callback_on_step_end": progress.after_step(estimate),
    }

    # 3. Denoise, from noise or from the sources
    if recipe.source is None:
        arguments |= {"width": recipe.width, "height": recipe.height, "latents": noise.to(dtype)}
    else:
        encoded = torch.cat([encode_picture(vae, processor, source, device) for source in sources if source])
        noised = _noised(pipeline, encoded, noise, recipe.num_inference_steps, recipe.source.strength)
        arguments |= {"image": encoded, "latents": noised.to(dtype), "strength": recipe.source.strength}
    latents = pipeline(**arguments).images

    # 4. Decode one by one
    if not torch.isfinite(latents).all():
        raise PaintingFailed(detail="the latents overflowed; another number format (dtype) may hold them")
    images = []
    for one in latents:
        progress.check_cancelled()
        images.append(decode_latents(vae, processor, one))
    return images


def _noised(pipeline: Any, latents: Tensor, noise: Tensor, num_inference_steps: int, strength: float) -> Tensor:
    """The sources' latents with as much noise as there is at the step where image to image begins."""
    pipeline.scheduler.set_timesteps(num_inference_steps, device=latents.device)
    timesteps, _ = pipeline.get_timesteps(num_inference_steps, strength, latents.device)
    noised: Tensor = pipeline.scheduler.add_noise(latents, noise, timesteps[:1].repeat(len(latents)))
    return noised


def _source_picture(task: Task) -> Image.Image | None:
    """The picture that a task starts from, in RGB at the recipe's size."""
    recipe = task.recipe
    if recipe.source is None:
        return None
    if task.source is None:
        raise PaintingFailed(detail="the source picture did not come with the task")
    try:
        with open_picture(task.source) as picture:
            rgb = picture.convert("RGB")
    except OSError as error:
        raise PaintingFailed(detail=f"the source picture cannot be read: {error}") from error
    if rgb.size == (recipe.width, recipe.height):
        return rgb
    return rgb.resize((recipe.width, recipe.height), Image.Resampling.LANCZOS)


def _check(batch: Batch) -> None:
    """Raises `PaintingFailed` for a batch that this painter would paint wrongly."""
    if len({task.recipe.batch_key() for task in batch.tasks}) > 1:
        raise PaintingFailed(detail="recipes of different batch keys in one batch")
    for field in dataclasses.fields(Recipe):
        if field.name not in PAINTED_FIELDS and any(
            getattr(task.recipe, field.name) != field.default for task in batch.tasks
        ):
            raise PaintingFailed(detail=f"the painter does not know what to do with {field.name!r}")


def _picture(image: Image.Image, recipe: Recipe, sampler: str | None = None) -> Picture:
    return Picture(png=encode_png(image, recipe, sampler=sampler), width=image.width, height=image.height)
