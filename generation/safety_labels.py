"""What an image classifier's `config.json` says of its labels. No torch: the bot asks before it starts anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from generation.errors import LimnerError
from generation.weights import NETWORK_CONFIG

NAMED = 20  # labels that a sentence names


class UnknownLabel(ValueError):
    """The classifier does not have the label. Its text says which ones it has, for a person."""


class ClassifierUnusable(LimnerError):
    """The image classifier of the settings cannot be what it should be. Fields: `source`, `reason`."""

    key = "classifier_unusable"


def check_classifier(source: str, label: str) -> None:
    """Raises `ClassifierUnusable` for a folder that is missing, is no classifier's, or does not know the label.

    Reads the disk. A Hugging Face id is left to the worker, which downloads it; so are the weights themselves. '' is no
    classifier, and none is wanted.
    """
    folder = Path(source).expanduser()
    if not source or (not folder.is_absolute() and not folder.exists()):
        return
    try:
        config = json.loads((folder / NETWORK_CONFIG).read_text(encoding="utf-8"))
        labels = {int(index): str(name) for index, name in config["id2label"].items()}
        label_index(labels, label)
    except UnknownLabel as error:
        raise ClassifierUnusable(source=source, reason=str(error)) from error
    except OSError as error:
        reason = f"there is no {NETWORK_CONFIG} in it" if folder.is_dir() else "there is no such folder"
        raise ClassifierUnusable(source=source, reason=reason) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"its {NETWORK_CONFIG} names no labels"
        raise ClassifierUnusable(source=source, reason=reason) from error


def label_index(labels: Mapping[int, str], label: str) -> int:
    """The place of a label's logit. Raises `UnknownLabel`."""
    for index, name in labels.items():
        if name == label:
            return index
    names = ", ".join(sorted(labels.values())[:NAMED])
    raise UnknownLabel(f"it tells apart {names}, but knows no {label}")
