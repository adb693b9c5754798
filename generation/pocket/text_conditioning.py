"""Prompts as SDXL's UNet takes them, in the same way as diffusers' pipeline makes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from generation.pocket.architecture import TEXT_LENGTH
from generation.pocket.scenes import Scene


class TextEncoders(nn.Module):
    """The two text encoders as one module."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids (n, 77) to the hidden states before the last layer, side by side (n, 77, 160), and the pooled
        embedding of the second encoder (n, 96)."""
        first: Any = self.first(token_ids, output_hidden_states=True)
        second: Any = self.second(token_ids, output_hidden_states=True)
        return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids of shape (n, 77), padded as the pipeline pads."""
    batch = tokenizer(captions, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    token_ids: Tensor = batch.input_ids
    return token_ids


def time_ids(scenes: list[Scene]) -> Tensor:
    """SDXL's micro-conditioning (original height and width, crop top and left, target height and width), (n, 6)."""
    rows = [[*scene.original_size, *scene.crop, scene.height, scene.width] for scene in scenes]
    return torch.tensor(rows, dtype=torch.float32)
