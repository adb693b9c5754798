"""What can be drawn with: models, LoRAs and styles by name. No weights are loaded here.

There is one `Catalogue` in a program, and everybody who needs a name holds it. When files were added or taken away,
`become` changes that one in place, between two steps of the event loop: whoever asks next finds what there is now.
What was ordered before keeps its recipe; a job whose LoRA has gone fails when its turn comes, with its credits back.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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
    `max_batch` is how many native-size pictures share one forward pass on this machine. `refiner` is where the weights
    of its refiner are, in the forms of `source`; '' for none. `draft` is how it draws in a few steps, if it can.
    """

    name: str
    source: str
    native_size: int = 1024
    num_inference_steps: int = 30
    guidance_scale: float = 5.0
    cross_attention_dim: int = 2048
    max_batch: int = 4
    variant: str | None = None
    refiner: str = ""
    draft: Draft | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The few-step path of a model: a LoRA by its name in the catalogue (LCM or Lightning), and how to draw with it."""

    lora: str
    num_inference_steps: int = 6
    guidance_scale: float = 1.5
    scheduler: str = "lcm"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpec:
    """A textual inversion file (.safetensors): its `name` among a prompt's words stands for its vectors.

    `dims` are the widths of its vectors for each text encoder (SDXL: 768 and 1280).
    """

    name: str
    path: Path
    dims: tuple[int, int]


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


@dataclass(slots=True, kw_only=True)
class Catalogue:
    """All models, LoRAs, embeddings and styles of this server, by name. Changed by `become` alone.

    `default_model` is drawn with when none is named. `super_resolution` and `finds_by_words` tell whether a network for
    it is configured.
    """

    models: Mapping[str, ModelSpec]
    default_model: str
    loras: Mapping[str, LoraSpec] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)
    embeddings: Mapping[str, EmbeddingSpec] = field(default_factory=dict)
    super_resolution: bool = False
    finds_by_words: bool = False

    def become(self, newer: Catalogue) -> None:
        """Hold what the newer one holds, for everybody who holds this one. To be called on the event loop."""
        for part in fields(self):
            setattr(self, part.name, getattr(newer, part.name))

    def model(self, name: str | None = None) -> ModelSpec:
        """The model of that name, or the default one. Raises `UnknownName`."""
        return _named("model", self.models, name or self.default_model)

    def lora(self, name: str) -> LoraSpec:
        """Raises `UnknownName`."""
        return _named("lora", self.loras, name)

    def offered_loras(self) -> dict[str, LoraSpec]:
        """The LoRAs to choose from, by name. Those for drafts change no look: they are behind `--draft`."""
        of_drafts = {model.draft.lora for model in self.models.values() if model.draft}
        return {name: lora for name, lora in sorted(self.loras.items()) if name not in of_drafts}

    def embedding(self, name: str) -> EmbeddingSpec:
        """Raises `UnknownName`."""
        return _named("embedding", self.embeddings, name)

    def style(self, name: str) -> Style:
        """Raises `UnknownName`."""
        return _named("style", self.styles, name)


def _named(kind: str, things: Mapping[str, T], name: str) -> T:
    thing = things.get(name)
    if thing is None:
        nearest = difflib.get_close_matches(name, things, n=1)
        raise UnknownName(kind=kind, name=name, nearest=nearest[0] if nearest else "")
    return thing
