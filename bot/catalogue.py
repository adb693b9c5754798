"""The catalogue of this server: the models of the settings, LoRAs and embeddings of its folders, styles of its file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import structlog

from bot.config import Config
from generation.catalogue import Catalogue, ModelSpec
from generation.embeddings import scan_embeddings
from generation.loras import scan_loras
from generation.styles import StylesInvalid, load_styles


def build_catalogue(config: Config) -> Catalogue:
    """Read what can be drawn with; blocks for a moment, to read files. Raises `StylesInvalid`.

    Files in the folders of LoRAs and of embeddings that are none are logged and left out.
    """
    loras, _ = scan_loras(config.generation.lora_folders)
    embeddings, _ = scan_embeddings(config.generation.embedding_folders)
    styles = load_styles(config.generation.styles)
    for style in styles.values():
        for lora in style.loras:
            if lora.name not in loras:
                reason = f"there is no LoRA {lora.name} in the folders of generation.lora_folders"
                raise StylesInvalid(path=str(config.generation.styles), name=style.name, reason=reason)
    return Catalogue(
        models={name: _known_draft(model.spec(name), loras) for name, model in config.models.items()},
        default_model=config.generation.model,
        loras=loras,
        embeddings=embeddings,
        styles=styles,
        super_resolution=bool(config.generation.upscaler),
        finds_by_words=bool(config.generation.segmenter),
    )


def _known_draft(model: ModelSpec, loras: Collection[str]) -> ModelSpec:
    """The model without its few-step path where the LoRA for it is not there: `doctor` says how to get it."""
    if model.draft is None or model.draft.lora in loras:
        return model
    structlog.get_logger(__name__).warning("draft_lora_missing", model=model.name, lora=model.draft.lora)
    return replace(model, draft=None)
