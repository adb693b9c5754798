"""How far pictures are apart, in 255ths of a channel, and the embedded networks, whose pictures mean something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.settings import PainterSettings
from generation.loras import scan_loras

LORAS = ("blueprint", "neon")  # of the embedded model, without the one for drafts, which has a sampler of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """The mean over all values of all pictures, and the largest."""

    mean: float
    most: float


def apart(some: Sequence[Image.Image], others: Sequence[Image.Image]) -> Apart:
    """How far each is from the other in its place. Raises `ValueError` where these are not as many, or other sizes."""
    distances = [
        np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16))
        for one, other in zip(some, others, strict=True)
    ]
    return Apart(
        mean=float(np.mean([each.mean() for each in distances])), most=float(max(each.max() for each in distances))
    )


def embedded_model(folder: Path) -> ModelSpec:
    """The model in `generation/pocket`, as it is shipped, but for one picture at a time."""
    return ModelSpec(
        name="pocket",
        source=str(folder / "weights"),
        native_size=128,
        num_inference_steps=20,
        guidance_scale=4.5,
        cross_attention_dim=160,
        max_batch=1,
    )


def with_classifier(settings: PainterSettings, folder: Path) -> PainterSettings:
    """The same with the embedded image classifier, which looks for cats."""
    return replace(settings, classifier=str(folder / "safety"), classifier_label="cat")


def embedded_loras(folder: Path) -> list[LoraSpec]:
    """Two of its LoRAs, each of which makes a style."""
    found, _ = scan_loras([folder / "loras"])
    return [found[name] for name in LORAS]
