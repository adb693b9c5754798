"""What each kind of job takes of the painter: seconds a picture, one at a time, at the model's own settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Task
from generation.engine.settings import PainterSettings
from generation.painter.painter import Painter
from generation.picture import encode_png
from generation.recipe import Frame, Hires, Mask, Recipe, Source

LONG_PROMPT = ", ".join(["a red boat on the sea at sunset"] * 20)  # more than one text encoder's window


def kinds_of(recipe: Recipe, model: ModelSpec, settings: PainterSettings) -> dict[str, Recipe]:
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
    if model.refiner:
        kinds["refine"] = replace(recipe, refine=0.2)
    return kinds


def measure_kinds(
    painter: Painter, model: ModelSpec, settings: PainterSettings, recipe: Recipe, *, rounds: int
) -> dict[str, float]:
    """`kind_<name>_seconds` for each kind: the median of `rounds` pictures, after one to warm up."""
    files = {"source": _paint(painter, model, recipe, {}).pictures[0].png, "mask": _half_mask(recipe)}
    return {
        f"kind_{name}_seconds": _seconds(lambda one=one: _paint(painter, model, one, files), rounds)  # type: ignore[misc]
        for name, one in kinds_of(recipe, model, settings).items()
    }


def _paint(painter: Painter, model: ModelSpec, recipe: Recipe, files: Mapping[str, bytes]) -> Painted:
    task = Task(
        job_id=1,
        recipe=recipe,
        source=files["source"] if recipe.source else None,
        mask=files["mask"] if recipe.mask and recipe.mask.digest else None,
    )
    return painter.paint(Batch(tasks=(task,), model=model), on_progress=lambda _: None, cancelled=lambda: False)


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
