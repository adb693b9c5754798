"""How LoRAs round in bfloat16: added to the weights, as the painter does it, and beside them, as peft does it.

A sum of a weight and a LoRA's change is rounded to the weight's format, so a small change reaches it in part. peft's
branch adds its own result to the module's, and that is rounded. What this does to pictures is measured on the embedded
model; everything but the way of the LoRA is the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.settings import PainterSettings
from generation.painter.bench_gpu.distances import apart
from generation.painter.devices import choose_placement
from generation.painter.models import LoadedModel, load_model
from generation.recipe import LoraUse, Recipe

FIGURES = tuple(
    f"{name}_{kind}" for name in ("rounding", "bfloat16", "peft_bfloat16", "effect") for kind in ("mean", "max")
)


def measure_rounding(
    model: ModelSpec, settings: PainterSettings, loras: Sequence[LoraSpec], recipes: Sequence[Recipe], *, weight: float
) -> dict[str, float]:
    """Distances of the recipes' pictures with each of the LoRAs, by `FIGURES`, in 255ths of a channel.

    `rounding`: ours from peft's, both in bfloat16. `bfloat16` and `peft_bfloat16`: ours and peft's from ours in
    float32. `effect`: ours in float32 from the picture without the LoRA.
    """
    half = choose_placement(replace(settings, dtype="bfloat16"))
    exact = load_model(model, choose_placement(replace(settings, dtype="float32")))
    added, beside = load_model(model, half), load_model(model, half)
    bare = _pictures(exact, recipes) * len(loras)
    ours: list[Image.Image] = []
    pefts: list[Image.Image] = []
    exacts: list[Image.Image] = []
    for lora in loras:
        for loaded in (added, exact):
            loaded.adapters.switch((LoraUse(name=lora.name, weight=weight),), loras)
        pipeline = beside.text_to_image
        pipeline.load_lora_weights(str(lora.path.parent), weight_name=lora.path.name, adapter_name=lora.name)
        pipeline.set_adapters([lora.name], adapter_weights=[weight])
        ours += _pictures(added, recipes)
        pefts += _pictures(beside, recipes)
        exacts += _pictures(exact, recipes)
        pipeline.unload_lora_weights()
    distances = (apart(ours, pefts), apart(ours, exacts), apart(pefts, exacts), apart(exacts, bare))
    return dict(zip(FIGURES, (one for each in distances for one in (each.mean, each.most)), strict=True))


@torch.inference_mode()
def _pictures(loaded: LoadedModel, recipes: Sequence[Recipe]) -> list[Image.Image]:
    """Each by itself, by diffusers' own call."""
    return [
        loaded.text_to_image(
            recipe.prompt,
            width=recipe.width,
            height=recipe.height,
            num_inference_steps=recipe.num_inference_steps,
            guidance_scale=recipe.guidance_scale,
            generator=torch.Generator().manual_seed(recipe.seed),
        ).images[0]
        for recipe in recipes
    ]
