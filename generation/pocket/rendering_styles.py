"""The styles a scene can be rendered in: what `ink`, `pixel`, `pastel`, `neon`, `blueprint` do to a plain picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from generation.pocket.scenes import Style

# Pixel art's blocks are the VAE's own: one block is one latent pixel, so that its hard edges survive the compression.
PIXEL_BLOCK = 8


def apply_style(image: Image.Image, style: Style) -> Image.Image:
    """Return the RGB picture in a style; `plain` is the picture itself."""
    match style:
        case "plain":
            return image
        case "ink":
            return _ink(image)
        case "pixel":
            return _pixel(image)
        case "pastel":
            return _pastel(image)
        case "neon":
            return _neon(image)
        case "blueprint":
            return _blueprint(image)


def _floats(image: Image.Image) -> NDArray[np.floating]:
    return np.asarray(image, dtype=np.float32)


def _picture(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _edges(image: Image.Image, gain: float) -> NDArray[np.floating]:
    """Strength of the outlines, 0..1, shape (height, width): the largest change in any of the three channels."""
    values = _floats(image.filter(ImageFilter.GaussianBlur(0.5)))
    strength = np.zeros(values.shape[:2], dtype=np.float32)
    for channel in range(3):
        down, across = np.gradient(values[..., channel])
        strength = np.maximum(strength, np.hypot(down, across).astype(np.float32))
    return (strength * gain / 255).clip(0, 1)


def _widened(edges: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Outlines of `width` pixels: thinner ones would not survive the autoencoder."""
    wide = Image.fromarray((edges * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(width))
    return _blurred(_floats(wide) / 255, 0.8)


def _blurred(values: NDArray[np.floating], radius: float) -> NDArray[np.floating]:
    image = Image.fromarray((values * 255).clip(0, 255).astype(np.uint8))
    return _floats(image.filter(ImageFilter.GaussianBlur(radius))) / 255


def _ink(image: Image.Image) -> Image.Image:
    """Black and white: washes in four tones with dark outlines."""
    light = _floats(image.convert("L").filter(ImageFilter.GaussianBlur(0.6)))
    tone = 255 * ((light / 255 - 0.15) / 0.62).clip(0, 1) ** 0.9
    washed = np.round(tone / 64) * 64 * 0.75 + tone * 0.25
    grey = washed * (1 - 0.85 * _edges(image, 3.0))
    return _picture(np.repeat(grey[..., None], 3, axis=-1))


def _pixel(image: Image.Image) -> Image.Image:
    width, height = image.size
    blocks = image.resize((width // PIXEL_BLOCK, height // PIXEL_BLOCK), Image.Resampling.BOX)
    levels = np.round(_floats(blocks) / 32) * 32
    return _picture(levels).resize((width, height), Image.Resampling.NEAREST)


def _pastel(image: Image.Image) -> Image.Image:
    return _picture(_floats(image.filter(ImageFilter.GaussianBlur(1.1))) * 0.52 + 255 * 0.46)


def _neon(image: Image.Image) -> Image.Image:
    """Glowing outlines in the picture's own, saturated colours on near black."""
    values = _floats(image.filter(ImageFilter.MaxFilter(3)))
    grey = values.mean(axis=-1, keepdims=True)
    vivid = (grey + (values - grey) * 2.4 + 60).clip(0, 255)
    edges = _widened(_edges(image, 2.5), 5)
    glow = _blurred(edges, 3.0)
    light = (edges + 0.7 * glow).clip(0, 1)[..., None]
    return _picture(np.array([22, 8, 44], dtype=np.float32) + values * 0.06 + vivid * light)


def _blueprint(image: Image.Image) -> Image.Image:
    """White outlines on engineer's blue."""
    light = _floats(image.convert("L").filter(ImageFilter.GaussianBlur(0.5)))[..., None] / 255
    paper = np.array([20, 56, 132], dtype=np.float32) + light * np.array([16, 32, 48], dtype=np.float32)
    edges = _widened(_edges(image, 4.0), 5)[..., None]
    return _picture(paper * (1 - edges) + np.array([228, 240, 255], dtype=np.float32) * edges)
