"""Aspect ratio → the nearest size that SDXL was trained on, scaled to the model's native size."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from generation.errors import InvalidAspect

# The multi-aspect training buckets of SDXL, landscape and square, in pixels (Podell et al. 2023, arXiv 2307.01952,
# appendix I). Each also stands on its side.
LANDSCAPE_BUCKETS = (
    (1024, 1024), (1024, 960), (1088, 960), (1088, 896), (1152, 896), (1152, 832), (1216, 832), (1280, 768),
    (1344, 768), (1344, 704), (1408, 704), (1472, 704), (1536, 640), (1600, 640), (1664, 576), (1728, 576),
    (1792, 576), (1856, 512), (1920, 512), (1984, 512), (2048, 512),
)  # fmt: skip
BUCKETS = tuple(dict.fromkeys((*LANDSCAPE_BUCKETS, *((height, width) for width, height in LANDSCAPE_BUCKETS))))
BUCKET_NATIVE_SIZE = 1024
WIDEST = Fraction(4, 1)
_ASPECT = re.compile(r"\s*([1-9][0-9]{0,4})\s*:\s*([1-9][0-9]{0,4})\s*", re.ASCII)


def parse_aspect(text: str) -> Fraction:
    """`"16:9"` → 16/9. Raises `InvalidAspect` unless it is W:H in whole numbers from 1:4 to 4:1."""
    match = _ASPECT.fullmatch(text)
    if match is None:
        raise InvalidAspect(value=text)
    ratio = Fraction(int(match[1]), int(match[2]))
    if not 1 / WIDEST <= ratio <= WIDEST:
        raise InvalidAspect(value=text)
    return ratio


def size_for(aspect: Fraction, native_size: int) -> tuple[int, int]:
    """(width, height) in pixels of the bucket nearest to `aspect` (by the logarithm of the ratio), multiples of 8.

    `native_size` is the model's own square in pixels: 1024 gives SDXL's buckets themselves.
    """
    ratio = float(aspect)
    width, height = min(BUCKETS, key=lambda size: abs(math.log(size[0] / size[1] / ratio)))
    return _scaled(width, native_size), _scaled(height, native_size)


def _scaled(side: int, native_size: int) -> int:
    return max(8, round(side * native_size / BUCKET_NATIVE_SIZE / 8) * 8)
