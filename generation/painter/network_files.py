"""Finds the files of a single network of transformers, and tells whether all of it was in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from generation.painter.checkpoints import WrongCheckpoint, refuse_pickle

# Of a repository; others are the same weights as pickles.
FILES = ("*.json", "*.txt", "*.safetensors")


def find_network(source: str) -> Path:
    """The network's folder on this machine; downloads a hub model, unless HF_HUB_OFFLINE is set.

    Raises `WrongCheckpoint` where there is none.
    """
    folder = Path(source).expanduser()
    refuse_pickle(folder)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise WrongCheckpoint(f"there is no folder {folder}")
    try:
        return Path(snapshot_download(source, allow_patterns=list(FILES)))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise WrongCheckpoint(
            f"there is no folder {source} here, and the Hugging Face model of that name could not be fetched"
            f" ({first_line(error)}); with a connection, `hf download {source}` fetches it"
        ) from error


def check_whole(loading: dict[str, Any], kind: str) -> None:
    """Raises `WrongCheckpoint` by what `from_pretrained` says of its loading.

    What is missing or of another shape in the files would be left as random numbers.
    """
    if lacking := sorted({*loading["missing_keys"], *(str(key) for key in loading.get("mismatched_keys", ()))}):
        raise WrongCheckpoint(f"no whole {kind} is there: {len(lacking)} weights are missing, such as {lacking[0]}")


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, short enough for a sentence."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
