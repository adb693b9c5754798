"""A picture inside a larger one: how large the new one is, and where exactly the old one stands in it. Pure."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from fractions import Fraction

from generation.aspect import size_for
from generation.recipe import Frame
from generation.tiles import NATIVE_AREA_TOLERANCE

PAN_GROWTH = Fraction(1, 2)  # of the picture's own side, as in Midjourney
# A canvas of less than this share of the native area is enlarged: models draw too small ones badly.
LEAST_NATIVE_AREA = Fraction(1, 2)


class Side(enum.StrEnum):
    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A larger picture around one of `inner_width` × `inner_height`, all in that one's pixels and not rounded yet.

    `x` and `y` are where the inner one's upper left corner stands.
    """

    inner_width: int
    inner_height: int
    width: Fraction
    height: Fraction
    x: Fraction
    y: Fraction

    @property
    def aspect(self) -> Fraction:
        """Width to height."""
        return self.width / self.height

    @property
    def grows(self) -> bool:
        """Whether there is anything around the inner picture."""
        return self.width != self.inner_width or self.height != self.inner_height


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """A canvas as it is painted: its size in pixels, multiples of 8, and the frame of the old picture in it."""

    width: int
    height: int
    frame: Frame


def zoomed(width: int, height: int, zoom: Fraction, aspect: Fraction | None = None) -> Canvas:
    """`zoom` times the smallest canvas of that aspect around the picture, which stands in its middle.

    Without an `aspect` it has the picture's own.
    """
    ratio = aspect or Fraction(width, height)
    new_width = max(Fraction(width), height * ratio) * zoom
    return _centred(width, height, new_width, new_width / ratio)


def squared(width: int, height: int) -> Canvas:
    """The smallest square around the picture."""
    return zoomed(width, height, Fraction(1), Fraction(1))


def panned(width: int, height: int, side: Side) -> Canvas:
    """Half as much again on one side."""
    return extended(width, height, {side: PAN_GROWTH})


def extended(width: int, height: int, growth: dict[Side, Fraction]) -> Canvas:
    """So much more on each side, as a share of the picture's width or height."""
    left, right = growth.get(Side.LEFT, Fraction(0)), growth.get(Side.RIGHT, Fraction(0))
    top, bottom = growth.get(Side.TOP, Fraction(0)), growth.get(Side.BOTTOM, Fraction(0))
    return Canvas(
        inner_width=width,
        inner_height=height,
        width=width * (1 + left + right),
        height=height * (1 + top + bottom),
        x=width * left,
        y=height * top,
    )


def framed(canvas: Canvas, native_size: int) -> Framing:
    """The canvas in whole pixels, as large as a model of that native size draws well.

    Where that is so at the picture's own size, its pixels are kept as they are. Otherwise everything is scaled, so that
    the canvas has its aspect (to multiples of 8) and the area of the training bucket nearest to it. An edge that the
    picture shares with the canvas is shared exactly.
    """
    width, height = _multiple_of_8(canvas.width), _multiple_of_8(canvas.height)
    flush = (canvas.width == canvas.inner_width, canvas.height == canvas.inner_height)
    own = (not flush[0] or width == canvas.inner_width) and (not flush[1] or height == canvas.inner_height)
    share = Fraction(width * height, native_size**2)
    if own and LEAST_NATIVE_AREA <= share <= NATIVE_AREA_TOLERANCE:
        return _placed(canvas, width, height, Fraction(1))
    width, height = _native(canvas.aspect, native_size)
    scale = min(width / canvas.width, height / canvas.height)
    if flush[1]:
        scale = height / canvas.height
    elif flush[0]:
        scale = width / canvas.width
    return _placed(canvas, width, height, scale)


def _centred(width: int, height: int, new_width: Fraction, new_height: Fraction) -> Canvas:
    return Canvas(
        inner_width=width,
        inner_height=height,
        width=new_width,
        height=new_height,
        x=(new_width - width) / 2,
        y=(new_height - height) / 2,
    )


def _native(aspect: Fraction, native_size: int) -> tuple[int, int]:
    """The size of that aspect and of the nearest bucket's area. The shorter side is rounded first: it errs more."""
    width, height = size_for(aspect, native_size)
    shorter = _multiple_of_8(Fraction(math.sqrt(width * height / max(aspect, 1 / aspect))))
    longer = _multiple_of_8(shorter * max(aspect, 1 / aspect))
    return (longer, shorter) if aspect > 1 else (shorter, longer)


def _placed(canvas: Canvas, width: int, height: int, scale: Fraction) -> Framing:
    x, frame_width = _span(canvas.x, canvas.inner_width, canvas.width, width, scale)
    y, frame_height = _span(canvas.y, canvas.inner_height, canvas.height, height, scale)
    return Framing(width=width, height=height, frame=Frame(x=x, y=y, width=frame_width, height=frame_height))


def _span(start: Fraction, inner: int, outer: Fraction, length: int, scale: Fraction) -> tuple[int, int]:
    """Where the inner picture begins along one side of the canvas, which is `length` pixels long, and its length."""
    if outer == inner:
        return 0, length
    size = min(length, max(1, round(inner * scale)))
    if 2 * start + inner == outer:
        if scale != 1:  # then a pixel more or less does not matter, and there is as much before it as after it
            size = min(length, max(2, length - 2 * round((length - inner * scale) / 2)))
        return (length - size) // 2, size
    if start + inner == outer:
        return length - size, size
    return min(length - size, round(start * length / outer)), size


def _multiple_of_8(length: Fraction) -> int:
    return max(8, round(length / 8) * 8)
