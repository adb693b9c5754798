"""Finds things in a picture by words: CLIPSeg (Lüddecke and Ecker 2022, arXiv 2112.10003) through transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPSegForImageSegmentation, ViTImageProcessorPil

from generation.errors import ModelUnavailable, NothingFound
from generation.painter.checkpoints import WrongCheckpoint, read_json
from generation.painter.devices import Placement
from generation.painter.network_files import check_whole, find_network, first_line

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
        try:
            folder = _find(source)
            # Not `CLIPSegProcessor`, whose way to an image processor asks for torchvision first.
            tokenizer = AutoTokenizer.from_pretrained(folder)
            image_processor = ViTImageProcessorPil.from_pretrained(folder)
            network, loading = CLIPSegForImageSegmentation.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
            check_whole(loading, "CLIPSeg")
        except WrongCheckpoint as error:
            raise ModelUnavailable(name=f"segmenter {source}", reason=str(error)) from error
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            reason = f"its files are broken or not those of a CLIPSeg ({first_line(error)})"
            raise ModelUnavailable(name=f"segmenter {source}", reason=reason) from error
        device = placement.device if placement.vram == "full" else torch.device("cpu")
        return cls(network.eval().to(device), tokenizer, image_processor, device)

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """Where in an RGB picture there is what `words` name: a mask of its size (mode "L"), 255 there and 0 elsewhere.

        Words beyond the network's length are cut off. Raises `NothingFound`.
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
        longest = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(words, truncation=True, max_length=longest, return_tensors="pt").to(self._device)
        pixels = self._image_processor(image, return_tensors="pt")["pixel_values"].to(self._device)
        seen = self._network(**tokens, pixel_values=pixels)
        likely: NDArray[np.float32] = seen.logits.reshape(seen.logits.shape[-2:]).sigmoid().cpu().numpy()
        return likely


def _find(source: str) -> Path:
    """The network's folder on this machine. Raises `WrongCheckpoint`."""
    folder = find_network(source)
    if read_json(folder / "config.json").get("model_type") != "clipseg":
        raise WrongCheckpoint(f"what is in {folder} is no CLIPSeg")
    return folder
