"""Prompts → text embeddings, one prompt at a time, so that no picture depends on its neighbours' words.

The texts are in our own language (`generation/prompt_language`); what its weights do is in `text_encoders.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from generation.catalogue import EmbeddingSpec
from generation.errors import PaintingFailed, RequestRejected
from generation.painter.embeddings import read_vectors
from generation.painter.text_encoders import TextEncoder
from generation.prompt_language import Prompt, parse
from generation.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEmbeddings:
    """One picture's conditioning: 1 × length × width, and 1 × pooled width; the same for what to keep away from.

    The length is a multiple of what the encoders read at once (77), and the negative prompt's is the same.
    """

    prompt: Tensor
    pooled: Tensor
    negative: Tensor
    negative_pooled: Tensor

    @property
    def length(self) -> int:
        """In tokens. Only prompts of one length share a forward pass."""
        return self.prompt.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    prompt: Prompt
    negative: Prompt

    def prompts(self, *, zeros: bool) -> tuple[Prompt, ...]:
        """What is to be encoded. `zeros`: what to keep away from are zeros where there is nothing."""
        return (self.prompt,) if zeros and not self.negative.parts else (self.prompt, self.negative)

    def embeddings(self, encoders: Sequence[TextEncoder], *, zeros: bool) -> PromptEmbeddings:
        prompts = self.prompts(zeros=zeros)
        length = max(encoder.length(prompt) for encoder in encoders for prompt in prompts)
        hidden = [torch.cat([encoder.hidden(prompt, length) for encoder in encoders], dim=-1) for prompt in prompts]
        pooled = [encoders[-1].pooled(prompt) for prompt in prompts]
        if len(prompts) == 1:
            hidden.append(torch.zeros_like(hidden[0]))
            pooled.append(torch.zeros_like(pooled[0]))
        return PromptEmbeddings(prompt=hidden[0], pooled=pooled[0], negative=hidden[1], negative_pooled=pooled[1])


def encode_prompts(
    pipeline: Any, recipes: Iterable[Recipe], device: torch.device, embeddings: Sequence[EmbeddingSpec] = ()
) -> list[PromptEmbeddings]:
    """The embeddings of each recipe, in order; equal prompts are encoded once.

    A pipeline without a first text encoder (SDXL's refiner) is served by its second alone. An empty negative prompt
    becomes what the pipeline makes of none: zeros, where the model is configured so (`force_zeros_for_empty_prompt`).
    `embeddings` are the textual inversions that the recipes name. Raises `ModelUnavailable` for one that cannot be
    read or does not fit, and `PaintingFailed` for a text that is no prompt.
    """
    pairs = [_Pair(prompt=_parsed(recipe.prompt), negative=_parsed(recipe.negative_prompt)) for recipe in recipes]
    zeros = pipeline.config.force_zeros_for_empty_prompt
    prompts = dict.fromkeys(prompt for pair in pairs for prompt in pair.prompts(zeros=zeros))
    encoders: list[TextEncoder] = []
    # One encoder after the other: where only the one at work is on the device, they change places once.
    for tokenizer, encoder, vectors in zip(
        (pipeline.tokenizer, pipeline.tokenizer_2),
        (pipeline.text_encoder, pipeline.text_encoder_2),
        read_vectors(embeddings),
        strict=True,
    ):
        if encoder is not None:
            encoders.append(TextEncoder(tokenizer, encoder, vectors, device))
            encoders[-1].encode(prompts)
    embeddings_of = {pair: pair.embeddings(encoders, zeros=zeros) for pair in dict.fromkeys(pairs)}
    return [embeddings_of[pair] for pair in pairs]


def pipeline_arguments(embeddings: Sequence[PromptEmbeddings]) -> dict[str, Tensor]:
    """The embeddings of one forward pass, by the names of the pipeline's arguments."""
    return {
        "prompt_embeds": torch.cat([one.prompt for one in embeddings]),
        "pooled_prompt_embeds": torch.cat([one.pooled for one in embeddings]),
        "negative_prompt_embeds": torch.cat([one.negative for one in embeddings]),
        "negative_pooled_prompt_embeds": torch.cat([one.negative_pooled for one in embeddings]),
    }


def _parsed(text: str) -> Prompt:
    try:
        return parse(text)
    except RequestRejected as error:  # of a recipe from elsewhere: ours were read before they were queued
        raise PaintingFailed(detail=f"its prompt cannot be read: {error}") from error
