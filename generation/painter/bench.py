"""Measures the painter against plain diffusers in one process: `python -m generation.painter.bench`.

Plain diffusers is what a simple bot would write: one pipeline in the same number format, one call a prompt. Both paint
the same prompts with the same seeds and settings, in turns, so that a noisy machine disturbs both alike; medians of the
turns' ratios come out. The painter does more in its time (previews, PNG files that carry their recipe), and gets no
allowance for it. `bot/bench.py` runs this in a process of its own, because the bot never loads torch.

Reads one JSON object from stdin (`model` and `painter`: the fields of `ModelSpec` and `PainterSettings`;
`lora_folders`; `pictures` a turn; `rounds`), and prints one of figures.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline

from generation.catalogue import Draft, LoraSpec, ModelSpec
from generation.engine.protocol import Batch, Progress, Task
from generation.engine.settings import PainterSettings
from generation.errors import LimnerError
from generation.loras import check_lora, scan_loras
from generation.painter.bench_adapters import ADAPTER_FIGURES, measure_adapters
from generation.painter.bench_kinds import measure_kinds
from generation.painter.devices import Placement, choose_placement, free_memory
from generation.painter.models import load_model
from generation.painter.painter import Painter
from generation.recipe import Recipe

PROMPTS = (
    "a red boat on the sea",
    "a blue house on grass at night",
    "a yellow cat in the snow",
    "a green tree on the left, on sand",
    "a purple ball on the right, on grass",
    "an orange cube on sand at sunset",
    "a white mountain on snow by day",
    "a black cat on grass with clouds",
)
BATCH_SIZE = 4


def measure(
    model: ModelSpec, settings: PainterSettings, loras: Sequence[LoraSpec], *, pictures: int, rounds: int
) -> dict[str, float | None]:
    """Images a second, their ratios (painter over plain diffusers), seconds for each kind of job, and milliseconds to
    switch a LoRA (or None)."""
    placement = choose_placement(settings)
    figures: dict[str, float | None] = {**_speeds(model, settings, placement, pictures=pictures, rounds=rounds)}
    gc.collect()
    free_memory(placement.device)
    recipe = _recipe(model, PROMPTS[0], seed=0)
    figures |= measure_kinds(Painter(settings), model, settings, loras, recipe, rounds=rounds)
    figures["load_seconds"] = _seconds(lambda: load_model(model, placement))
    figures |= dict.fromkeys(ADAPTER_FIGURES)
    if loras:
        plain = partial(_plain_pipeline, model, placement)
        figures |= measure_adapters(model, placement, loras, plain=plain, rounds=rounds)
    return figures


def _speeds(
    model: ModelSpec, settings: PainterSettings, placement: Placement, *, pictures: int, rounds: int
) -> dict[str, float]:
    painter = Painter(settings)
    painter.load(model)
    plain = _plain_pipeline(model, placement)
    recipes = [_recipe(model, PROMPTS[seed % len(PROMPTS)], seed) for seed in range(pictures)]
    contestants: dict[str, Callable[[], None]] = {
        "plain": lambda: _paint_plainly(plain, recipes),
        "single": lambda: _paint(painter, model, [[recipe] for recipe in recipes]),
        "batch": lambda: _paint(painter, model, _in_batches(recipes)),
    }
    for paint in contestants.values():  # warm up: allocations, kernels, caches
        paint()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, paint in contestants.items():
            seconds[name].append(_seconds(paint))

    figures = {f"{name}_images_per_second": len(recipes) / statistics.median(times) for name, times in seconds.items()}
    for name in ("single", "batch"):
        ratios = [plain_time / own for plain_time, own in zip(seconds["plain"], seconds[name], strict=True)]
        figures[f"painter_ratio_{name}"] = statistics.median(ratios)
    return figures


def _plain_pipeline(model: ModelSpec, placement: Placement) -> Any:
    """The pipeline as its documentation shows it. The second conversion is for text encoders that stay in float16."""
    if model.source.endswith(".safetensors"):
        pipeline = StableDiffusionXLPipeline.from_single_file(model.source, dtype=placement.dtype)
    else:
        pipeline = StableDiffusionXLPipeline.from_pretrained(
            model.source, dtype=placement.dtype, variant=model.variant, use_safetensors=True
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(placement.device, placement.dtype)


def _recipe(model: ModelSpec, prompt: str, seed: int) -> Recipe:
    """A square picture at the model's own settings."""
    return Recipe(
        prompt=prompt,
        model=model.name,
        width=model.native_size,
        height=model.native_size,
        seed=seed,
        num_inference_steps=model.num_inference_steps,
        guidance_scale=model.guidance_scale,
    )


def _paint_plainly(pipeline: Any, recipes: Sequence[Recipe]) -> None:
    for recipe in recipes:
        pipeline(
            recipe.prompt,
            width=recipe.width,
            height=recipe.height,
            num_inference_steps=recipe.num_inference_steps,
            guidance_scale=recipe.guidance_scale,
            generator=torch.Generator().manual_seed(recipe.seed),
        )


def _paint(painter: Painter, model: ModelSpec, batches: Sequence[Sequence[Recipe]]) -> None:
    for recipes in batches:
        tasks = tuple(Task(job_id=number, recipe=recipe) for number, recipe in enumerate(recipes))
        painter.paint(Batch(tasks=tasks, model=model), on_progress=_ignore, cancelled=lambda: False)


def _in_batches(recipes: Sequence[Recipe]) -> list[Sequence[Recipe]]:
    return [recipes[start : start + BATCH_SIZE] for start in range(0, len(recipes), BATCH_SIZE)]


def _fitting(loras: Sequence[LoraSpec], model: ModelSpec) -> list[LoraSpec]:
    fitting = []
    for lora in loras:
        try:
            check_lora(lora, model)
        except LimnerError:
            continue
        fitting.append(lora)
    return fitting


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ignore(progress: Progress) -> None:
    pass


def main() -> None:
    order = json.load(sys.stdin)
    fields = order["model"]
    draft = None if fields["draft"] is None else Draft(**fields["draft"])
    model = ModelSpec(**{**fields, "draft": draft})
    loras, _ = scan_loras([Path(folder) for folder in order["lora_folders"]])
    figures = measure(
        model,
        PainterSettings(**order["painter"]),
        _fitting(list(loras.values()), model),
        pictures=order["pictures"],
        rounds=order["rounds"],
    )
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
