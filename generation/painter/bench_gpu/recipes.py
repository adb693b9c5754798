"""What is painted to be measured."""

from __future__ import annotations

from collections.abc import Sequence

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Task
from generation.recipe import Recipe

PROMPTS = (
    "a red boat on the sea",
    "a blue house on grass at night",
    "a yellow cat in the snow",
    "a green tree on the left, on sand",
)


def square(model: ModelSpec, prompt: str, *, steps: int, seed: int = 0, guidance_scale: float | None = None) -> Recipe:
    """A picture of the model's native size."""
    return Recipe(
        prompt=prompt,
        model=model.name,
        width=model.native_size,
        height=model.native_size,
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=model.guidance_scale if guidance_scale is None else guidance_scale,
    )


def squares(model: ModelSpec, count: int, *, steps: int, guidance_scale: float | None = None) -> list[Recipe]:
    """So many, each with a seed of its own."""
    return [
        square(model, PROMPTS[seed % len(PROMPTS)], steps=steps, seed=seed, guidance_scale=guidance_scale)
        for seed in range(count)
    ]


def batch(model: ModelSpec, recipes: Sequence[Recipe]) -> Batch:
    """These pictures together, for a painter."""
    return Batch(tasks=tuple(Task(job_id=number, recipe=recipe) for number, recipe in enumerate(recipes)), model=model)
