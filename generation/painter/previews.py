"""Small pictures from latents while they are still being denoised: a linear map, no network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

MAX_SIDE = 256
JPEG_QUALITY = 80
VAE_SCALE = 8

# SDXL's latents → RGB 0..255, fitted by Timothy Alexis Vass ("Explaining the SDXL latent space",
# huggingface.co/blog/TimothyAlexisVass/explaining-the-sdxl-latent-space) and used in diffusers' guide to callbacks.
SDXL_MATRIX = ((60.0, 60.0, 60.0), (-60.0, -5.0, 10.0), (25.0, 15.0, -5.0), (-70.0, -50.0, -35.0))
SDXL_BIAS = (150.0, 140.0, 130.0)


class Previewer:
    """Turns latents, as the UNet sees them, into pictures of at most 256 pixels a side."""

    def __init__(self, matrix: Tensor, bias: Tensor) -> None:
        """`matrix` is 4 × 3 and `bias` 3: RGB 0..1 = latents · matrix + bias."""
        self._matrix = matrix
        self._bias = bias

    @classmethod
    def for_model(cls, settings: Mapping[str, Any]) -> Previewer:
        """By the key `latents_to_rgb` of a model's `limner.json` ({"matrix": 4 × 3, "bias": 3}), else SDXL's own map.

        Raises `ValueError` where that key holds something else.
        """
        fitted = settings.get("latents_to_rgb")
        if fitted is None:
            return cls(torch.tensor(SDXL_MATRIX) / 255, torch.tensor(SDXL_BIAS) / 255)
        try:
            matrix, bias = torch.tensor(fitted["matrix"]), torch.tensor(fitted["bias"])
        except (KeyError, TypeError) as error:
            raise ValueError("latents_to_rgb is not a matrix and a bias") from error
        if matrix.shape != (4, 3) or bias.shape != (3,):
            raise ValueError("latents_to_rgb is not a matrix of 4 × 3 and a bias of 3")
        return cls(matrix.float(), bias.float())

    def images(self, latents: Tensor) -> list[Image.Image]:
        """One small picture for each of `latents` (pictures × 4 × height × width)."""
        flat = latents.detach().to("cpu", torch.float32).permute(0, 2, 3, 1)
        rgb = (flat @ self._matrix + self._bias).nan_to_num().clamp(0, 1)
        return [_image(pixels) for pixels in (rgb * 255).round().to(torch.uint8)]


def to_jpeg(image: Image.Image) -> bytes:
    """A preview as a file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _image(pixels: Tensor) -> Image.Image:
    """Height × width × 3 bytes, one latent a pixel → a picture of the final size, or of 256 pixels if that is less."""
    height, width, _ = pixels.shape
    scale = min(VAE_SCALE, MAX_SIDE / max(height, width))
    image = Image.frombytes("RGB", (width, height), pixels.contiguous().numpy().tobytes())
    return image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
