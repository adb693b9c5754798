"""Example pictures, which ship with the program: what was typed for each, and sheets of them to show.

The embedded pocket model drew them (`python -m tests.examples`). Sheets are Pillow's work, for a thread.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

FOLDER = Path(__file__).parent / "example_pictures"
COLUMNS = 4
CELL = 192  # pixels: half as large again as the pocket model draws
LABEL_HEIGHT, LABEL_SIZE = 28, 17.0  # pixels
GAP = 8
BACKGROUND, INK = (43, 45, 49), (242, 243, 245)  # Discord's own in the dark
QUALITY = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One picture: its name, and what was typed to /imagine for it."""

    name: str
    typed: str

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An example on a sheet, with what stands below it."""

    example: Example
    label: str


@cache
def examples() -> dict[str, Example]:
    """All of them, by name."""
    typed = tomllib.loads((FOLDER / "examples.toml").read_text(encoding="utf-8"))
    return {name: Example(name=name, typed=text) for name, text in typed.items()}


def sheet(shown: Sequence[Shown]) -> bytes:
    """These pictures side by side with their labels, as a WebP."""
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    pitch, height = CELL + GAP, CELL + LABEL_HEIGHT + GAP
    drawn = Image.new("RGB", (columns * pitch + GAP, rows * height + GAP), BACKGROUND)
    write, font = ImageDraw.Draw(drawn), ImageFont.load_default(LABEL_SIZE)
    for number, one in enumerate(shown):
        row, column = divmod(number, columns)
        left, top = GAP + column * pitch, GAP + row * height
        with Image.open(one.example.file) as opened:
            picture = ImageOps.pad(opened.convert("RGB"), (CELL, CELL), Image.Resampling.LANCZOS, BACKGROUND)
        drawn.paste(picture, (left, top))
        write.text((left + CELL / 2, top + CELL + LABEL_HEIGHT / 2), one.label, INK, font=font, anchor="mm")
    file = io.BytesIO()
    drawn.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()
