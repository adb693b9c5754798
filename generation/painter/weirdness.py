"""`weird`: a prompt's embedding, moved away from what the prompt says."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from generation.painter.conditioning import PromptEmbeddings
from generation.recipe import MAX_SEED, MAX_WEIRD, Recipe

# At the most weird, the noise is so many times what the prompt's tokens differ by.
AT_MOST = 1.5


def made_weird(embeddings: PromptEmbeddings, recipe: Recipe) -> PromptEmbeddings:
    """The embeddings with as much noise on the prompt's as the recipe asks for; the negative prompt's stay.

    The noise is of the recipe's seed and points the same way at every degree, so that more is further away. It is as
    strong in each channel as the prompt's tokens differ there.
    """
    if recipe.weird == 0:
        return embeddings
    degree = AT_MOST * recipe.weird / MAX_WEIRD
    # Beyond all seeds, so that it is not the noise that some picture starts from.
    generator = torch.Generator("cpu").manual_seed(MAX_SEED + 1 + recipe.seed)
    prompt, pooled = embeddings.prompt, embeddings.pooled
    # The first token is the same in every prompt, far from all others, and what the network leans on.
    spread = prompt[:, 1:].float().std(dim=1, keepdim=True)
    noise = _noise(prompt, generator) * spread
    noise[:, 0] = 0
    return dataclasses.replace(
        embeddings,
        prompt=(prompt + degree * noise).to(prompt.dtype),
        pooled=(pooled + degree * _noise(pooled, generator) * pooled.float().std()).to(pooled.dtype),
    )


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)
