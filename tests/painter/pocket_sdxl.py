"""The embedded model for tests about meaning, and the picture that most of them begin with."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from generation.engine.protocol import Picture
from generation.recipe import Recipe

POCKET = Path(__file__).parents[2] / "generation" / "pocket"
BOAT = Recipe(
    prompt="a red boat on the sea",
    model="pocket",
    width=128,
    height=128,
    seed=7,
    num_inference_steps=20,
    guidance_scale=4.5,
)


def opened(picture: Picture) -> Image.Image:
    return Image.open(BytesIO(picture.png))
