"""A prompt's tree through one CLIP text encoder: weights, blends, any length.

compel (damian0815/compel) does what is the same for all: it cuts texts into chunks of what the encoder reads at once
(75 tokens and two marks), where a phrase ends if it can, and strengthens words by moving their vectors away from those
of an empty text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from compel.embeddings_provider import EmbeddingsProvider, ReturnedEmbeddingsType, SplitLongTextMode
from torch import Tensor

from generation.painter.embeddings import EmbeddingTokenizer, embedding_vectors
from generation.prompt_language import Part, Prompt


class TextEncoder:
    """One text encoder of a pipeline, and what it made of the prompts so far."""

    def __init__(self, tokenizer: Any, encoder: Any, vectors: Mapping[str, Tensor], device: torch.device) -> None:
        """`vectors` are the textual inversions by name, n × width; `device` is where the encoder works."""
        self._encoder, self._vectors, self._device = encoder, vectors, device
        self._provider = EmbeddingsProvider(
            tokenizer=EmbeddingTokenizer(tokenizer, vectors),
            text_encoder=self._run,
            truncate=False,
            returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
            split_long_text_mode=SplitLongTextMode.PHRASES,
            device=device,
        )
        self._pooled: list[Tensor] = []  # of the runs since it was emptied
        self._encoded: dict[Prompt, tuple[Tensor, Tensor]] = {}

    def encode(self, prompts: Iterable[Prompt]) -> None:
        """Run the encoder over these prompts. What it makes of them can then be asked for."""
        with embedding_vectors(self._encoder, self._vectors):
            for prompt in prompts:
                self._encoded[prompt] = self._blend(prompt)

    def length(self, prompt: Prompt) -> int:
        """In tokens, a multiple of what is read at once."""
        return self._encoded[prompt][0].shape[1]

    def hidden(self, prompt: Prompt, length: int) -> Tensor:
        """The states before the last layer, 1 × length × width; a shorter prompt is followed by empty chunks."""
        return self._lengthened(self._encoded[prompt][0], length).to(self._encoder.dtype)

    def pooled(self, prompt: Prompt) -> Tensor:
        """The projected state at the first chunk's end, 1 × width. Only of an encoder with a projection."""
        return self._encoded[prompt][1].to(self._encoder.dtype)

    def _blend(self, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """The mean of the parts by their weights, away from the mean of those with negative weights.

        How far away is the share of the negative weights in the positive ones, below 1 since they come to more than 0
        together. (Plain proportions would multiply the difference by 10 for `a:: b::-0.9`, which is noise to a UNet.)
        """
        parts = prompt.parts or (Part(fragments=()),)
        encoded = [self._encode_part(part) for part in parts]
        towards = sum(part.weight for part in parts if part.weight > 0)
        away = -sum(part.weight for part in parts if part.weight < 0)
        shares = [part.weight / towards * (1 + away / towards if part.weight > 0 else 1) for part in parts]
        length = max(hidden.shape[1] for hidden, _ in encoded)
        return (
            _weighted([self._lengthened(hidden, length) for hidden, _ in encoded], shares),
            _weighted([pooled for _, pooled in encoded], shares),
        )

    def _encode_part(self, part: Part) -> tuple[Tensor, Tensor]:
        """1 × length × width, and 1 × pooled width.

        Words of a weight below 1 are there for a part of the result: at 0.7 it is 0.7 of the text with them and 0.3 of
        a text in which they are hidden from the other words, and hold nothing themselves. Weakening their own vectors
        alone would leave what the other words took from them.
        """
        ids, weights, mask = self._provider.get_token_ids_and_expand_weights(
            [fragment.text for fragment in part.fragments],
            [fragment.weight for fragment in part.fragments],
            device=self._device,
        )
        hidden, pooled, shares, below = [], [], [], 0.0
        for weight in sorted({weight for weight in weights.tolist() if 0 < weight < 1} | {1.0}):
            self._pooled.clear()
            visible = weights >= weight
            strengths = weights.clamp(min=1) * visible
            hidden.append(self._provider.build_weighted_embedding_tensor(ids, strengths, mask * visible))
            pooled.append(self._pooled[0])
            shares.append(weight - below)
            below = weight
        return _weighted(hidden, shares), _weighted(pooled, shares)

    def _lengthened(self, hidden: Tensor, length: int) -> Tensor:
        if hidden.shape[1] == length:
            return hidden
        empty = self._provider.empty_z
        return torch.cat([hidden, *[empty] * ((length - hidden.shape[1]) // empty.shape[1])], dim=1)

    def _run(self, ids: Tensor, mask: Tensor | None, **arguments: Any) -> Any:
        """The encoder as compel calls it."""
        if mask is not None and bool(mask.all()):
            mask = None  # as the pipeline does it, to the bit
        output = self._encoder(ids, mask, **arguments)
        self._pooled.append(output[0])
        return output


def _weighted(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]
    return torch.stack([tensor.float() * weight for tensor, weight in zip(tensors, weights, strict=True)]).sum(0)
