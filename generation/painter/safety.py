"""Looks at finished pictures with an image classifier: any of transformers' networks for image classification.

It gives each picture a score, how likely it shows what one of the classifier's labels means. What becomes of the
picture is decided elsewhere (`generation/safety.py`); here nothing is hidden and nothing let through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoModelForImageClassification

from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable, OutOfMemory, PictureUnchecked
from generation.painter.checkpoints import WrongCheckpoint
from generation.painter.devices import Placement, is_out_of_memory
from generation.painter.network_files import check_whole, find_network, first_line
from generation.safety_labels import UnknownLabel, label_index
from generation.tiles import tile_starts

# What loading a stranger's files may raise.
_BROKEN = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
# A picture that is longer than this (its longer side, in shorter ones) is also looked at in squares: the classifier
# squeezes it into one, or cuts off its ends.
MOST_SQUARE = 1.25


class SafetyClassifier:
    """One image classifier on its device, asked for one of its labels."""

    def __init__(self, network: Any, image_processor: Any, index: int, device: torch.device) -> None:
        """`index` is the place of the label's logit."""
        self._network = network
        self._image_processor = image_processor
        self._index = index
        self._device = device

    @classmethod
    def load(cls, source: str, label: str, placement: Placement) -> SafetyClassifier:
        """From a folder or a Hugging Face id, in float32, and tried on a grey picture.

        Raises `ModelUnavailable` with the reason, or `OutOfMemory`. Where the device's memory is to be saved it works
        on the CPU. Code that comes with the weights is never run.
        """
        device = placement.device if placement.vram == "full" else torch.device("cpu")
        try:
            folder = find_network(source)
            # The processors of Pillow: the others ask for torchvision.
            image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
            network, loading = AutoModelForImageClassification.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
            check_whole(loading, "image classifier")
            classifier = cls(
                network.eval().to(device), image_processor, label_index(network.config.id2label, label), device
            )
            classifier.score(Image.new("RGB", (64, 64), "grey"))
        except (WrongCheckpoint, UnknownLabel) as error:
            raise _unavailable(source, str(error)) from error
        except PictureUnchecked as error:
            raise _unavailable(source, "what it says of a picture is no number") from error
        except _BROKEN as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise OutOfMemory(detail=first_line(error)) from error
            reason = f"its files are broken or not those of an image classifier ({first_line(error)})"
            raise _unavailable(source, reason) from error
        return classifier

    @classmethod
    def of(cls, settings: PainterSettings, placement: Placement) -> SafetyClassifier | None:
        """What a painter's settings name. Raises as `load`."""
        if not settings.classifier:
            return None
        return cls.load(settings.classifier, settings.classifier_label, placement)

    def score(self, image: Image.Image) -> float:
        """How likely an RGB picture shows what the label means, 0 to 1: the highest of all looks at it.

        Raises `PictureUnchecked` where the network says something that is no number; torch's errors pass through.
        """
        scores = [self._look(view) for view in views(image)]
        if not all(math.isfinite(score) for score in scores):
            raise PictureUnchecked(detail="the classifier's score is no number")
        return max(scores)

    @torch.inference_mode()
    def _look(self, image: Image.Image) -> float:
        pixels = self._image_processor(image, return_tensors="pt")["pixel_values"].to(self._device)
        logits = self._network(pixel_values=pixels).logits[0].float()
        config = self._network.config
        # As transformers' own pipeline reads them.
        separate = config.problem_type == "multi_label_classification" or config.num_labels == 1
        likely = logits.sigmoid() if separate else logits.softmax(dim=0)
        return float(likely[self._index])


def views(image: Image.Image) -> Iterator[Image.Image]:
    """The whole picture, and where it is long overlapping squares along its longer side."""
    yield image
    short, long = sorted(image.size)
    if long <= MOST_SQUARE * short:
        return
    for start in tile_starts(long, short):
        left, top = (start, 0) if image.width == long else (0, start)
        yield image.crop((left, top, left + short, top + short))


def _unavailable(source: str, reason: str) -> ModelUnavailable:
    return ModelUnavailable(name=f"image classifier {source}", reason=reason)
