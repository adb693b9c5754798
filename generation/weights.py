"""Whether weights are on this machine, and what gets them: paths, and what was downloaded from Hugging Face.

No torch here: this is asked before anything is queued, and by `doctor`.
"""

from __future__ import annotations

from pathlib import Path

from generation.catalogue import ModelSpec
from generation.errors import RequestRejected

MODEL_INDEX = "model_index.json"  # what a diffusers model has
NETWORK_CONFIG = "config.json"  # what a single network of transformers has


class WeightsAbsent(RequestRejected):
    """The weights of a model were not downloaded (yet). Fields: `name`, `command` (which gets them)."""

    key = "weights_absent"


class WeightsGone(RequestRejected):
    """There is nothing where the weights of a model should be. Fields: `name`, `source`."""

    key = "weights_gone"


def check_weights(model: ModelSpec) -> None:
    """Raises `WeightsAbsent` or `WeightsGone`. Reads the disk."""
    if weights_are_here(model.source, MODEL_INDEX):
        return
    if Path(model.source).is_absolute():
        raise WeightsGone(name=model.name, source=model.source)
    raise WeightsAbsent(name=model.name, command=command_for(model.source, model.variant))


def weights_are_here(source: str, index: str) -> bool:
    """Whether there is something at that path (an absolute one), or a Hugging Face id was downloaded.

    `index` is the file that such a download has for certain. What is there may still turn out to be something else.
    """
    if Path(source).is_absolute():
        return Path(source).exists()
    import huggingface_hub  # takes its time to load, and most servers have their weights in folders

    try:
        return isinstance(huggingface_hub.try_to_load_from_cache(source, index), str)
    except huggingface_hub.errors.HFValidationError:
        return False


def command_for(source: str, variant: str | None = None) -> str:
    """What to type to have a Hugging Face id's weights here: of a model with variants, those alone."""
    if variant is None:
        return f"hf download {source}"
    return f"hf download {source} --include '*.json' '*.txt' '*/*.{variant}.safetensors'"
