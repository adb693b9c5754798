"""Textual inversion files: which there are, from their headers alone (no weights are loaded).

In the form of SDXL, as kohya's sd-scripts and diffusers write it, a file has one tensor for each text encoder, `clip_l`
and `clip_g`, each of vectors × width: a word that stands for one or more vectors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import structlog

from generation.catalogue import EmbeddingSpec, ModelSpec
from generation.errors import EmbeddingRefused
from generation.loras import ARCHITECTURES
from generation.safetensors_header import MalformedHeader, read_header

# The tensors for the first and the second text encoder.
TENSORS = ("clip_l", "clip_g")
MAX_VECTORS = 75  # what a text encoder reads at once

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")


def read_embedding(path: Path) -> EmbeddingSpec:
    """What the file's header tells. Raises `EmbeddingRefused` (with `model` empty) for anything but an embedding."""
    name = _NOT_IN_NAMES.sub("_", path.stem.lower()).strip("_-")

    def refused(reason: str) -> EmbeddingRefused:
        return EmbeddingRefused(name=name or path.name, model="", reason=reason)

    if not name:
        raise refused("its file name has no letters (a to z) or digits to call it by")
    try:
        shapes = read_header(path).shapes
    except MalformedHeader as error:
        raise refused(str(error)) from error
    except OSError as error:
        raise refused(f"its file cannot be read: {error.strerror}") from error

    if set(shapes) != set(TENSORS):
        single = next(iter(shapes.values())) if len(shapes) == 1 else ()
        if made_for := ARCHITECTURES.get(single[-1] if single else 0):
            raise refused(f"it was made for {made_for}")
        raise refused(f"it is not a textual inversion for SDXL, whose tensors are {' and '.join(TENSORS)}")
    first, second = (shapes[tensor] for tensor in TENSORS)
    if len(first) != 2 or len(second) != 2 or first[0] != second[0]:
        raise refused("its two tensors do not hold as many vectors each")
    if not 1 <= first[0] <= MAX_VECTORS:
        raise refused(f"it has {first[0]} vectors, and a text encoder reads {MAX_VECTORS} at once")
    return EmbeddingSpec(name=name, path=path, dims=(first[1], second[1]))


def scan_embeddings(folders: Iterable[Path]) -> tuple[dict[str, EmbeddingSpec], list[EmbeddingRefused]]:
    """All embeddings in these folders (not below them) by name, and why the other `.safetensors` files there are none.

    Never raises for a bad file or a missing folder. Where two files come to the same name, the first one counts and the
    second is among the refused.
    """
    log = structlog.get_logger(__name__)
    found: dict[str, EmbeddingSpec] = {}
    refused: list[EmbeddingRefused] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.safetensors"))):
        try:
            embedding = read_embedding(path)
            if embedding.name in found:
                reason = f"{found[embedding.name].path} has the same name"
                raise EmbeddingRefused(name=embedding.name, model="", reason=reason)
        except EmbeddingRefused as error:
            log.warning("embedding_refused", path=str(path), reason=error.fields["reason"])
            refused.append(error)
        else:
            found[embedding.name] = embedding
    return found, refused


def check_embedding(embedding: EmbeddingSpec, model: ModelSpec) -> None:
    """Raises `EmbeddingRefused` when its vectors are not as wide as the model's text encoders, both together."""
    width = sum(embedding.dims)
    if width != model.cross_attention_dim:
        raise EmbeddingRefused(
            name=embedding.name,
            model=model.name,
            reason=f"its vectors are {width} wide, the model's are {model.cross_attention_dim}",
        )
