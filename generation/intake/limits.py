"""How large an uploaded picture may be, and how much reading it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

MEGA = 1_000_000
# Nothing that we draw is larger (twice SDXL's native side, and twice that), so nothing more of an upload is of use.
KEPT_PIXELS = 4096**2
# What the interpreter and the decoders take by themselves, with room to spare.
BASE_BYTES = 400 * MEGA
# Pillow holds four bytes for each pixel; at its worst there are the picture as decoded, its alpha on white, a copy that
# is turned upright, and what the decoder itself holds.
BYTES_PER_PIXEL = 20
# Of a PNG, beside its pixels.
HEADER_BYTES = MEGA


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """What is taken: `megabytes` of the file, `pixels` of the picture, and the `seconds` in which it has to be read."""

    megabytes: int = 20
    pixels: int = 50 * MEGA
    seconds: float = 30.0

    @property
    def file_bytes(self) -> int:
        return self.megabytes * MEGA

    @property
    def memory_bytes(self) -> int:
        """The address space of the process that reads it."""
        return BASE_BYTES + BYTES_PER_PIXEL * self.pixels

    @property
    def result_bytes(self) -> int:
        """The longest answer: a PNG that no compression makes smaller."""
        return HEADER_BYTES + 4 * min(self.pixels, KEPT_PIXELS)

    @property
    def cpu_seconds(self) -> int:
        return math.ceil(self.seconds)
