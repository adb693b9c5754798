"""Finds things in a picture by words: CLIPSeg (Lüddecke and Ecker 2022, arXiv 2112.10003) through transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPSegForImageSegmentation, ViTImageProcessorPil

from generation.errors import ModelUnavailable, NothingFound
from generation.painter.checkpoints import WrongCheckpoint, refuse_pickle
from generation.painter.devices import Placement

# How likely a pixel is to belong to what the words name. Below one half, because a rest of the old thing beside a new
# one is worse than a little more that is painted anew.
LIKELY_ENOUGH = 0.4
# What is smaller than this share of the picture is a speck and not the thing that was meant.
LEAST_SHARE = 1 / 1000


class Segmenter:
    """One CLIPSeg on its device."""

    def __init__(self, network: Any, tokenizer: Any, image_processor: Any, device: torch.device) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self._device = device

    @classmethod
    def load(cls, source: str, placement: Placement) -> Segmenter:
        """From a folder or a Hugging Face id, in float32. Raises `ModelUnavailable` with the reason.

        Where the device's memory is to be saved it works on the CPU: once for a picture, in about a second.
        """
        folder = Path(source).expanduser()
        try:
            refuse_pickle(folder)
            where = str(folder) if folder.is_dir() else source
            # Not `CLIPSegProcessor`, which asks for torchvision before it does without.
            tokenizer = AutoTokenizer.from_pretrained(where)
            image_processor = ViTImageProcessorPil.from_pretrained(where)
            network, loading = CLIPSegForImageSegmentation.from_pretrained(
                where, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
            _check_whole(loading)
        except WrongCheckpoint as error:
            raise _unavailable(source, str(error)) from error
        except (
            OSError,
            ValueError,
            RuntimeError,
            KeyError,
            TypeError,
            SafetensorError,
            HfHubHTTPError,
            HFValidationError,
        ) as error:
            raise _unavailable(source, f"no CLIPSeg was found there ({_first_line(error)})") from error
        device = placement.device if placement.vram == "full" else torch.device("cpu")
        return cls(network.eval().to(device), tokenizer, image_processor, device)

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """Where in an RGB picture there is what `words` name: a mask of its size (mode "L"), 255 there and 0 elsewhere.

        Words beyond the tokenizer's length are cut off. Raises `NothingFound`.
        """
        likely = self._likelihood(image, words)
        smooth = Image.fromarray(likely).resize(image.size, Image.Resampling.BILINEAR)
        found = np.asarray(smooth) >= LIKELY_ENOUGH
        if found.mean() < LEAST_SHARE:
            raise NothingFound(words=words)
        return Image.fromarray(np.where(found, 255, 0).astype(np.uint8))

    @torch.inference_mode()
    def _likelihood(self, image: Image.Image, words: str) -> NDArray[np.float32]:
        """For each pixel of the picture as the network sees it (a square), 0 to 1, how likely it is meant."""
        tokens = self._tokenizer(words, truncation=True, return_tensors="pt").to(self._device)
        pixels = self._image_processor(image, return_tensors="pt")["pixel_values"].to(self._device)
        seen = self._network(**tokens, pixel_values=pixels)
        likely: NDArray[np.float32] = seen.logits.reshape(seen.logits.shape[-2:]).sigmoid().cpu().numpy()
        return likely


def _check_whole(loading: dict[str, Any]) -> None:
    """What is missing or of another shape in the files would be left as random numbers."""
    if lacking := sorted({*loading["missing_keys"], *(str(key) for key in loading.get("mismatched_keys", ()))}):
        raise WrongCheckpoint(f"no whole CLIPSeg is there: {len(lacking)} weights are missing, such as {lacking[0]}")


def _unavailable(source: str, reason: str) -> ModelUnavailable:
    hint = f"; with a connection, `hf download {source}` fetches it" if source.count("/") == 1 else ""
    return ModelUnavailable(name=f"segmenter {source}", reason=reason + hint)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
