"""What each kind of job takes of the painter: seconds a picture, one at a time, at the model's own settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.protocol import Batch, Painted, Task
from generation.engine.settings import PainterSettings
from generation.painter.painter import Painter
from generation.picture import encode_png
from generation.recipe import Frame, Hires, LoraUse, Mask, Recipe, Source

LONG_PROMPT = ", ".join(["a red boat on the sea at sunset"] * 20)  # more than one text encoder's window


def kinds_of(
    recipe: Recipe, model: ModelSpec, settings: PainterSettings, loras: Sequence[LoraSpec]
) -> dict[str, Recipe]:
    """A recipe of each kind that this painter can paint, from a plain one of native size; `source` is its picture."""
    side = recipe.width

    def onto(strength: float, *, scale: int = 1, **changes: Any) -> Recipe:
        source = Source(digest="source", strength=strength, **changes)
        return replace(recipe, width=side * scale, height=side * scale, source=source)

    half = side // 16 * 8
    kinds = {
        "text": recipe,
        "long_prompt": replace(recipe, prompt=LONG_PROMPT),
        "tile": replace(recipe, tile=True),
        "hires": replace(recipe, width=side * 2, height=side * 2, hires=Hires(width=side, height=side, strength=0.5)),
        "vary": onto(0.55),
        "edit": replace(onto(1.0), mask=Mask(digest="mask")),
        "zoom_out": onto(1.0, frame=Frame(x=half // 2, y=half // 2, width=half, height=half)),
        "upscale": onto(0.15, scale=2, super_resolution=bool(settings.upscaler)),
        "upscale_again": onto(0.15, scale=4, super_resolution=bool(settings.upscaler)),
    }
    if settings.segmenter:
        kinds["edit_by_words"] = replace(onto(1.0), mask=Mask(words="the boat"))
    if model.draft and any(lora.name == model.draft.lora for lora in loras):
        kinds["draft"] = replace(
            recipe,
            loras=(LoraUse(name=model.draft.lora),),
            num_inference_steps=model.draft.num_inference_steps,
            guidance_scale=model.draft.guidance_scale,
            scheduler=model.draft.scheduler,
        )
    if model.refiner:
        kinds["refine"] = replace(recipe, refine=0.2)
    return kinds


def measure_kinds(
    painter: Painter,
    model: ModelSpec,
    settings: PainterSettings,
    loras: Sequence[LoraSpec],
    recipe: Recipe,
    *,
    rounds: int,
) -> dict[str, float]:
    """`kind_<name>_seconds` for each kind: the median of `rounds` pictures, after one to warm up."""
    source = _paint(painter, Batch(tasks=(Task(job_id=1, recipe=recipe),), model=model)).pictures[0].png
    mask = _half_mask(recipe)
    figures = {}
    for name, one in kinds_of(recipe, model, settings, loras).items():
        task = Task(
            job_id=1,
            recipe=one,
            source=source if one.source else None,
            mask=mask if one.mask and one.mask.digest else None,
        )
        named = {use.name for use in one.loras}
        batch = Batch(tasks=(task,), model=model, loras=tuple(lora for lora in loras if lora.name in named))
        figures[f"kind_{name}_seconds"] = _seconds(lambda batch=batch: _paint(painter, batch), rounds)  # type: ignore[misc]
    return figures


def _paint(painter: Painter, batch: Batch) -> Painted:
    return painter.paint(batch, on_progress=lambda _: None, cancelled=lambda: False)


def _half_mask(recipe: Recipe) -> bytes:
    """White on the left half."""
    mask = Image.new("RGB", (recipe.width, recipe.height))
    mask.paste("white", (0, 0, recipe.width // 2, recipe.height))
    return encode_png(mask, recipe)


def _seconds(work: Callable[[], object], rounds: int) -> float:
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
