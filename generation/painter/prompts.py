"""Prompts → text embeddings, one prompt at a time, so that no picture depends on its neighbours' words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from generation.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEmbeddings:
    """One picture's conditioning: 1 × 77 × width, and 1 × pooled width; the same for what to keep away from."""

    prompt: Tensor
    pooled: Tensor
    negative: Tensor
    negative_pooled: Tensor

    @property
    def length(self) -> int:
        """In tokens. Only prompts of one length share a forward pass."""
        return self.prompt.shape[1]


def encode_prompts(pipeline: Any, recipes: Iterable[Recipe], device: torch.device) -> list[PromptEmbeddings]:
    """The embeddings of each recipe, in order; equal prompts are encoded once.

    An empty negative prompt becomes what the pipeline makes of none: zeros, where the model is configured so
    (`force_zeros_for_empty_prompt`). Encoded as a batch, one neighbour's negative prompt would take that from all.
    """
    encoded: dict[tuple[str, str], PromptEmbeddings] = {}
    embeddings = []
    for recipe in recipes:
        texts = (recipe.prompt, recipe.negative_prompt)
        if texts not in encoded:
            prompt, negative, pooled, negative_pooled = pipeline.encode_prompt(
                prompt=recipe.prompt,
                negative_prompt=recipe.negative_prompt or None,
                device=device,
                do_classifier_free_guidance=True,
            )
            encoded[texts] = PromptEmbeddings(
                prompt=prompt, pooled=pooled, negative=negative, negative_pooled=negative_pooled
            )
        embeddings.append(encoded[texts])
    return embeddings


def pipeline_arguments(embeddings: Sequence[PromptEmbeddings]) -> dict[str, Tensor]:
    """The embeddings of one forward pass, by the names of the pipeline's arguments."""
    return {
        "prompt_embeds": torch.cat([one.prompt for one in embeddings]),
        "pooled_prompt_embeds": torch.cat([one.pooled for one in embeddings]),
        "negative_prompt_embeds": torch.cat([one.negative for one in embeddings]),
        "negative_pooled_prompt_embeds": torch.cat([one.negative_pooled for one in embeddings]),
    }
