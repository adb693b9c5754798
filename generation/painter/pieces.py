"""The tasks of a batch as pieces: each with its own prompt's embeddings, as its own LoRAs and inversions make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from generation.engine.protocol import Batch
from generation.painter.canvas import Canvas
from generation.painter.conditioning import PromptEmbeddings, encode_prompts
from generation.painter.denoising import Piece
from generation.painter.mixed_loras import mixes
from generation.painter.models import LoadedModel
from generation.painter.refiner import LoadedRefiner
from generation.painter.weirdness import made_weird


def pieces_of(
    model: LoadedModel, refiner: LoadedRefiner | None, batch: Batch, canvases: Sequence[Canvas | None]
) -> list[Piece]:
    """The batch's tasks with their conditioning, in order. Raises what encoding and switching LoRAs raise."""
    recipes = [task.recipe for task in batch.tasks]
    own: dict[int, PromptEmbeddings] = {}
    refined: dict[int, PromptEmbeddings] = {}
    # LoRAs change what the text encoders make of words, and a word is an inversion only where its recipe says so.
    alike: dict[Any, list[int]] = {}
    for index, recipe in enumerate(recipes):
        alike.setdefault((recipe.loras, recipe.embeddings), []).append(index)
    for (loras, names), indices in alike.items():
        model.adapters.switch(loras, batch.loras)
        named = [embedding for embedding in batch.embeddings if embedding.name in names]
        some = [recipes[index] for index in indices]
        own |= zip(indices, encode_prompts(model.text_to_image, some, model.device, named), strict=True)
        if refiner is not None:
            refined |= zip(indices, encode_prompts(refiner.pipeline, some, model.device, named), strict=True)
    if refiner is not None:
        refiner.pipeline.maybe_free_model_hooks()
    return [
        Piece(
            recipe=recipe,
            embeddings=made_weird(own[index], recipe),
            refined=made_weird(refined[index], recipe) if refiner is not None else None,
            canvas=canvas,
        )
        for index, (recipe, canvas) in enumerate(zip(recipes, canvases, strict=True))
    ]


def passes_of(
    model: LoadedModel, batch: Batch, pieces: Sequence[Piece], left: Sequence[int], at_once: int
) -> list[list[int]]:
    """Which of the pieces that are left go through the model together, at most `at_once`.

    Those with prompts of equal length; with different LoRAs only where this painter mixes them.
    """
    # A distilled UNet is told the guidance scale, one for all.
    told_guidance = model.text_to_image.unet.config.time_cond_proj_dim is not None
    mixed = {
        loras: mixes(model.placement) and model.adapters.can_be_mixed(loras, batch.loras)
        for loras in {pieces[index].recipe.loras for index in left}
    }
    groups: dict[Any, list[int]] = {}
    for index in left:
        recipe, length = pieces[index].recipe, pieces[index].embeddings.length
        own_loras = None if mixed[recipe.loras] else recipe.loras
        key = (length, own_loras, recipe.guidance_scale if told_guidance else None)
        groups.setdefault(key, []).append(index)
    return [group[start : start + at_once] for group in groups.values() for start in range(0, len(group), at_once)]
