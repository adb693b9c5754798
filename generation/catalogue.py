"""What can be drawn with: models, LoRAs and styles by name. Plain values; no weights are loaded here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from generation.errors import UnknownName
from generation.recipe import LoraUse

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """An SDXL-family model and how to draw with it.

    `source` is a Hugging Face id, a diffusers folder or one `.safetensors` file. `native_size` is the side in pixels of
    the square that it was trained on. `cross_attention_dim` tells LoRAs of other architectures apart (SDXL has 2048).
    `max_batch` is how many native-size pictures share one forward pass on this machine.
    """

    name: str
    source: str
    native_size: int = 1024
    num_inference_steps: int = 30
    guidance_scale: float = 5.0
    cross_attention_dim: int = 2048
    max_batch: int = 4
    variant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """A LoRA file: what its header tells. `trigger` is put before the prompt where the file names one."""

    name: str
    path: Path
    trigger: str = ""
    title: str = ""
    cross_attention_dim: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A named look: a prompt template with `{prompt}` in it, a negative prompt, LoRAs.

    `pocket` marks the looks that the embedded model knows.
    """

    name: str
    template: str
    negative_prompt: str = ""
    loras: tuple[LoraUse, ...] = ()
    description: str = ""
    pocket: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All models, LoRAs and styles of this server, by name, and which model is drawn with when none is named."""

    models: Mapping[str, ModelSpec]
    default_model: str
    loras: Mapping[str, LoraSpec] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)

    def model(self, name: str | None = None) -> ModelSpec:
        """The model of that name, or the default one. Raises `UnknownName`."""
        return _named("model", self.models, name or self.default_model)

    def lora(self, name: str) -> LoraSpec:
        """Raises `UnknownName`."""
        return _named("lora", self.loras, name)

    def style(self, name: str) -> Style:
        """Raises `UnknownName`."""
        return _named("style", self.styles, name)


def _named(kind: str, things: Mapping[str, T], name: str) -> T:
    thing = things.get(name)
    if thing is None:
        nearest = difflib.get_close_matches(name, things, n=1)
        raise UnknownName(kind=kind, name=name, nearest=nearest[0] if nearest else "")
    return thing
