"""Super-resolution: a small network that makes a picture larger and sharper before the model paints on it.

Two kinds of weights: Swin2SR (Conde et al. 2022, arXiv 2209.11345) through transformers, from a folder or a Hugging
Face id, and, with the extra `upscalers`, one `.safetensors` file of the ESRGAN family through spandrel.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from transformers import Swin2SRForImageSuperResolution

from generation.errors import ModelUnavailable
from generation.painter.checkpoints import WrongCheckpoint, refuse_pickle
from generation.painter.devices import Placement
from generation.painter.network_files import first_line
from generation.painter.tiled_unet import tile_weights
from generation.tiles import tile_starts

TILE = 256  # pixels of the small picture that are enlarged at once: bounds the memory, and is a multiple of any window
# Pixels around it that the network is shown as well: it knows nothing beyond its edge, and guesses badly near it.
MARGIN = 8
Network = Callable[[Tensor], Tensor]


class Upscaler:
    """One super-resolution network on its device."""

    def __init__(self, network: Network, *, scale: int, multiple: int, device: torch.device) -> None:
        """`network` takes 1 × 3 × height × width in 0..1, sides multiples of `multiple`, and makes it larger."""
        self._network = network
        self._scale = scale
        self._multiple = multiple
        self._device = device

    @classmethod
    def load(cls, source: str, placement: Placement) -> Upscaler:
        """Raises `ModelUnavailable` with the reason."""
        path = Path(source).expanduser()
        try:
            refuse_pickle(path)
            if path.suffix == ".safetensors":
                return cls._from_file(path, placement)
            network = Swin2SRForImageSuperResolution.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
        except WrongCheckpoint as error:
            raise _unavailable(source, str(error)) from error
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            raise _unavailable(source, f"no Swin2SR was found there ({first_line(error)})") from error
        network.eval().to(placement.device)
        return cls(
            lambda pixels: network(pixel_values=pixels).reconstruction,
            scale=network.config.upscale,
            multiple=network.config.window_size,
            device=placement.device,
        )

    @classmethod
    def _from_file(cls, path: Path, placement: Placement) -> Upscaler:
        try:
            from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
        except ImportError as error:
            raise WrongCheckpoint(
                f"{path.name} needs the extra `upscalers`: pip install -c constraints.txt -e '.[upscalers]'"
            ) from error
        try:
            network = ModelLoader().load_from_file(path)
        except UnsupportedModelError as error:
            raise WrongCheckpoint(f"{path.name} is no super-resolution network that spandrel knows") from error
        if not isinstance(network, ImageModelDescriptor) or network.scale < 2 or network.input_channels != 3:
            raise WrongCheckpoint(f"{path.name} does not make colour pictures larger")
        network.eval().to(placement.device)
        return cls(network, scale=network.scale, multiple=1, device=placement.device)

    def enlarge(self, image: Image.Image, width: int, height: int) -> Image.Image:
        """An RGB picture at that size: as many passes of the network as it takes, then scaled down to the pixel."""
        while image.width < width or image.height < height:
            image = self._pass(image)
        return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)

    def _pass(self, image: Image.Image) -> Image.Image:
        """One pass over the picture, in overlapping tiles that are blended, so that memory does not grow with it."""
        pixels = torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)[None].float() / 255
        height, width = pixels.shape[-2:]
        tall, wide = min(TILE, height), min(TILE, width)
        total = torch.zeros((1, 3, height * self._scale, width * self._scale))
        weights = torch.zeros((1, 1, height * self._scale, width * self._scale))
        window = tile_weights(tall * self._scale, wide * self._scale)
        for top in tile_starts(height, tall):
            for left in tile_starts(width, wide):
                larger = self._tile(pixels[..., top : top + tall, left : left + wide])
                rows = slice(top * self._scale, (top + tall) * self._scale)
                columns = slice(left * self._scale, (left + wide) * self._scale)
                total[..., rows, columns] += larger * window
                weights[..., rows, columns] += window
        bytes_ = ((total / weights).clamp(0, 1) * 255).round().to(torch.uint8)[0].permute(1, 2, 0).contiguous()
        return Image.fromarray(bytes_.numpy())

    @torch.inference_mode()
    def _tile(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        down, right = -(height + 2 * MARGIN) % self._multiple, -(width + 2 * MARGIN) % self._multiple
        surrounded = functional.pad(pixels, (MARGIN, MARGIN + right, MARGIN, MARGIN + down), mode="replicate")
        first, scale = MARGIN * self._scale, self._scale
        larger = self._network(surrounded.to(self._device))
        larger = larger[..., first : first + height * scale, first : first + width * scale]
        return larger.float().cpu()


def _unavailable(source: str, reason: str) -> ModelUnavailable:
    hint = f"; with a connection, `hf download {source}` fetches it" if source.count("/") == 1 else ""
    return ModelUnavailable(name=f"upscaler {source}", reason=reason + hint)
