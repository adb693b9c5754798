"""`weird`: a prompt's embedding, moved away from what the prompt says."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from generation.painter.conditioning import PromptEmbeddings
from generation.recipe import MAX_SEED, MAX_WEIRD, Recipe

# At the most weird, the noise is so many times as strong as the embedding itself: it drowns most words. On the way, at
# 250, a twelfth of that leaves the subject what it is.
AT_MOST = 3.0
# The median of absolute values → the deviation, where values are normally distributed.
MEDIAN_TO_DEVIATION = 1.4826


def made_weird(embeddings: PromptEmbeddings, recipe: Recipe) -> PromptEmbeddings:
    """The embeddings with as much noise on the prompt's as the recipe asks for; the negative prompt's stay.

    The noise is of the recipe's seed and points the same way at every degree, so that more is further away.
    """
    if recipe.weird == 0:
        return embeddings
    degree = AT_MOST * recipe.weird / MAX_WEIRD
    # Beyond all seeds, so that it is not the noise that some picture starts from.
    generator = torch.Generator("cpu").manual_seed(MAX_SEED + 1 + recipe.seed)
    prompt = _noise(embeddings.prompt, generator)
    prompt[:, 0] = 0  # the same token in every prompt, far from all others, and what the network leans on
    pooled = _noise(embeddings.pooled, generator)
    return dataclasses.replace(
        embeddings, prompt=embeddings.prompt + degree * prompt, pooled=embeddings.pooled + degree * pooled
    )


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """As strong as most of these values are; by their median, because CLIP has a few channels far beyond the others."""
    strength = MEDIAN_TO_DEVIATION * like.float().abs().median()
    noise = torch.randn(like.shape, generator=generator).to(like.device)
    return (strength * noise).to(like.dtype)
