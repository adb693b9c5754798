"""Regions of a picture in words or numbers: `left`, `top right`, or `10,20,50,60` in percent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.cells import Box
from generation.errors import RequestRejected

PERCENT = 100
_NUMBERS = re.compile(r"\s*([0-9]{1,3})\s*[,;]\s*([0-9]{1,3})\s*[,;]\s*([0-9]{1,3})\s*[,;]\s*([0-9]{1,3})\s*", re.ASCII)


class RegionInvalid(RequestRejected):
    """That is no part of a picture. Fields: `value`, `allowed`."""

    key = "region_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of a picture in percent of its sides."""

    left: int
    top: int
    width: int
    height: int

    def box(self, width: int, height: int) -> Box:
        """Its edges in a picture of that size, at least a pixel apart."""
        left, top = self.left * width // PERCENT, self.top * height // PERCENT
        right = max(left + 1, (self.left + self.width) * width // PERCENT)
        bottom = max(top + 1, (self.top + self.height) * height // PERCENT)
        return left, top, right, bottom


NAMED: Mapping[str, Region] = {
    "left": Region(left=0, top=0, width=50, height=100),
    "right": Region(left=50, top=0, width=50, height=100),
    "top": Region(left=0, top=0, width=100, height=50),
    "bottom": Region(left=0, top=50, width=100, height=50),
    "middle": Region(left=25, top=25, width=50, height=50),
    "top left": Region(left=0, top=0, width=50, height=50),
    "top right": Region(left=50, top=0, width=50, height=50),
    "bottom left": Region(left=0, top=50, width=50, height=50),
    "bottom right": Region(left=50, top=50, width=50, height=50),
}


# People say the same in other words: `the upper left quarter`.
_SYNONYMS = {"upper": "top", "lower": "bottom", "center": "middle", "centre": "middle"}
_FILLERS = frozenset({"the", "half", "quarter"})


def read_region(text: str) -> Region:
    """A name of `NAMED`, or left, top, width and height in percent. Raises `RegionInvalid`."""
    words = text.lower().replace("-", " ").split()
    named = NAMED.get(" ".join(_SYNONYMS.get(word, word) for word in words if word not in _FILLERS))
    if named is not None:
        return named
    match = _NUMBERS.fullmatch(text)
    if match is not None:
        left, top, width, height = map(int, match.groups())
        inside = width > 0 and height > 0 and left + width <= PERCENT and top + height <= PERCENT
        if inside and (width, height) != (PERCENT, PERCENT):
            return Region(left=left, top=top, width=width, height=height)
    raise RegionInvalid(value=text, allowed=", ".join((*NAMED, "left,top,width,height (%)")))
