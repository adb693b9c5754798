"""Textual inversions on the way through a text encoder: vectors that stand in the place of a word's own.

Nothing is added to the model: such a word gets negative token ids, which no tokenizer gives, one for each of its
vectors, and where they come by, the token embedding's output is replaced. (Ids beyond the vocabulary would move the
place where SDXL's encoders read their pooled output: as configured, they take the highest id for the end of the text.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from generation.catalogue import EmbeddingSpec
from generation.embeddings import TENSORS
from generation.errors import ModelUnavailable
from generation.prompt_language import WORD


def read_vectors(specs: Sequence[EmbeddingSpec]) -> list[dict[str, Tensor]]:
    """For each of the two text encoders: n × width vectors by the embeddings' names.

    Raises `ModelUnavailable` for a file that is no longer what its header was.
    """
    vectors: list[dict[str, Tensor]] = [{} for _ in TENSORS]
    for spec in specs:
        try:
            with safe_open(spec.path, framework="pt") as file:
                for tensor, by_name in zip(TENSORS, vectors, strict=True):
                    by_name[spec.name] = file.get_tensor(tensor)
        except (OSError, SafetensorError) as error:
            reason = f"its file cannot be read ({error})"
            raise ModelUnavailable(name=f"embedding {spec.name}", reason=reason) from error
    return vectors


class EmbeddingTokenizer:
    """A CLIP tokenizer that knows the names of embeddings, as far as compel asks a tokenizer."""

    def __init__(self, tokenizer: Any, vectors: Mapping[str, Tensor]) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, list[int]] = {}
        self._tokens: dict[int, str] = {}
        for name, rows in vectors.items():
            ids = [-1 - len(self._tokens) - row for row in range(len(rows))]
            self._ids[name.lower()] = ids
            self._tokens |= dict.fromkeys(ids, name)
            self._tokens[ids[-1]] = f"{name}</w>"  # the end of a word, where a text may be cut

    @property
    def bos_token_id(self) -> int:
        return int(self._tokenizer.bos_token_id)

    @property
    def eos_token_id(self) -> int:
        return int(self._tokenizer.eos_token_id)

    @property
    def pad_token_id(self) -> int:
        return int(self._tokenizer.pad_token_id)

    @property
    def model_max_length(self) -> int:
        return int(self._tokenizer.model_max_length)

    def __call__(self, texts: Sequence[str], **_: object) -> dict[str, list[list[int]]]:
        """Token ids of each text, with a beginning and an end, never cut."""
        return {"input_ids": [[self.bos_token_id, *self._token_ids(text), self.eos_token_id] for text in texts]}

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        plain = self._tokenizer.convert_ids_to_tokens([max(0, one) for one in ids])
        return [self._tokens.get(one, token) for one, token in zip(ids, plain, strict=True)]

    def _token_ids(self, text: str) -> Iterator[int]:
        start = 0
        if self._ids:
            for word in WORD.finditer(text):
                if (ids := self._ids.get(word[0].lower())) is not None:
                    yield from self._plain(text[start : word.start()])
                    yield from ids
                    start = word.end()
        yield from self._plain(text[start:])

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return ids


@contextmanager
def embedding_vectors(encoder: Any, vectors: Mapping[str, Tensor]) -> Iterator[None]:
    """While it holds, the encoder's token embedding takes the ids that `EmbeddingTokenizer` gives for these vectors."""
    if not vectors:
        yield
        return
    rows = torch.cat(list(vectors.values()))
    seen: list[Tensor] = []

    def hide(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        seen[:] = inputs
        return (inputs[0].clamp(min=0),)

    def replace(_: nn.Module, __: tuple[Tensor], output: Tensor) -> Tensor:
        ids = seen[0].to(output.device)
        ours = ids < 0
        filled = output.clone()
        filled[ours] = rows.to(output)[-1 - ids[ours]]
        return filled

    token_embedding = encoder.get_input_embeddings()
    handles = [token_embedding.register_forward_pre_hook(hide), token_embedding.register_forward_hook(replace)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
