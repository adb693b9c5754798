"""The catalogue of this server: the models of the settings, LoRAs and embeddings of its folders, styles of its file."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from bot.config import Config
from generation.catalogue import Catalogue, ModelSpec
from generation.embeddings import scan_embeddings
from generation.errors import EmbeddingRefused, LoraRefused
from generation.loras import scan_loras
from generation.styles import StylesInvalid, load_styles

# What files bring; models stand in the settings, which are read at the start alone.
KINDS = ("styles", "loras", "embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is new, gone or other since the last time, as names in the alphabet's order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @classmethod
    def between(cls, before: Mapping[str, object], after: Mapping[str, object]) -> Difference:
        """Of two tables of things by name."""
        return cls(
            added=tuple(sorted(after.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - after.keys())),
            changed=tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What reading the files once more has brought, for each of `KINDS`, and which files were left out and why."""

    differences: Mapping[str, Difference]
    refused: tuple[LoraRefused | EmbeddingRefused, ...]


class CatalogueReader:
    """Reads what the settings name. Files in the folders of LoRAs and embeddings that are none are logged, left out."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._turn = asyncio.Lock()

    def read(self) -> tuple[Catalogue, tuple[LoraRefused | EmbeddingRefused, ...]]:
        """All there is to draw with, and what was left out. Blocks for a moment. Raises `StylesInvalid`."""
        generation = self._config.generation
        loras, no_loras = scan_loras(generation.lora_folders)
        embeddings, no_embeddings = scan_embeddings(generation.embedding_folders)
        styles = load_styles(generation.styles)
        for style in styles.values():
            for lora in style.loras:
                if lora.name not in loras:
                    reason = f"there is no LoRA {lora.name} in the folders of generation.lora_folders"
                    raise StylesInvalid(path=str(generation.styles), name=style.name, reason=reason)
        catalogue = Catalogue(
            models={name: _known_draft(model.spec(name), loras) for name, model in self._config.models.items()},
            default_model=generation.model,
            loras=loras,
            embeddings=embeddings,
            styles=styles,
            super_resolution=bool(generation.upscaler),
            finds_by_words=bool(generation.segmenter),
        )
        return catalogue, (*no_loras, *no_embeddings)

    async def reload(self, catalogue: Catalogue) -> Reloaded:
        """Read the files once more, and let the catalogue that everybody holds become what they say.

        Raises `StylesInvalid`; then nothing has changed.
        """
        async with self._turn:  # of two at once, the one that reads last has the last word
            newer, refused = await asyncio.to_thread(self.read)
            differences = {kind: Difference.between(getattr(catalogue, kind), getattr(newer, kind)) for kind in KINDS}
            catalogue.become(newer)
        return Reloaded(differences=differences, refused=refused)


def build_catalogue(config: Config) -> Catalogue:
    """Read what can be drawn with; blocks for a moment, to read files. Raises `StylesInvalid`."""
    catalogue, _ = CatalogueReader(config).read()
    return catalogue


def _known_draft(model: ModelSpec, loras: Collection[str]) -> ModelSpec:
    """The model without its few-step path where the LoRA for it is not there: `doctor` says how to get it."""
    if model.draft is None or model.draft.lora in loras:
        return model
    structlog.get_logger(__name__).warning("draft_lora_missing", model=model.name, lora=model.draft.lora)
    return replace(model, draft=None)
