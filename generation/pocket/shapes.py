"""The seven subjects as shapes, drawn by a pen whose unit is the subject's size.

Coordinates are relative to the point where the subject stands: x to the right, y upwards, 1.0 = the subject's size.
Each subject has its own outline and its own inner marks (windows, sails, eyes), which is what makes it recognisable
after the eightfold compression of the VAE.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import ImageDraw

from generation.pocket.scenes import Colour, Kind

RGB = tuple[int, int, int]
Point = tuple[float, float]

PALETTE: dict[Colour, RGB] = {
    "red": (215, 38, 40),
    "blue": (40, 85, 220),
    "green": (35, 160, 60),
    "yellow": (248, 212, 45),
    "purple": (140, 55, 180),
    "orange": (245, 130, 25),
    "white": (246, 246, 246),
    "black": (28, 28, 32),
}
WOOD: RGB = (100, 66, 40)


def shade(colour: RGB, factor: float) -> RGB:
    """Darken (`factor` below 1) or lighten towards white (above 1)."""
    if factor <= 1:
        return tuple(int(channel * factor) for channel in colour)  # type: ignore[return-value]
    return tuple(int(channel + (255 - channel) * (factor - 1)) for channel in colour)  # type: ignore[return-value]


@dataclass(slots=True, frozen=True)
class Pen:
    """Draws in the subject's own coordinates onto a canvas; `x`, `y` and `size` are canvas pixels.

    Onto `labels`, where there is such a canvas, it draws the same with `label` as the only colour.
    """

    canvas: ImageDraw.ImageDraw
    x: float
    y: float
    size: float
    labels: ImageDraw.ImageDraw | None = None
    label: int = 0

    def _at(self, point: Point) -> Point:
        return self.x + point[0] * self.size, self.y - point[1] * self.size

    def polygon(self, points: list[Point], fill: RGB) -> None:
        corners = [self._at(point) for point in points]
        self.canvas.polygon(corners, fill=fill)
        if self.labels:
            self.labels.polygon(corners, fill=self.label)

    def rectangle(self, left: float, bottom: float, right: float, top: float, fill: RGB) -> None:
        corners = [self._at((left, top)), self._at((right, bottom))]
        self.canvas.rectangle(corners, fill=fill)
        if self.labels:
            self.labels.rectangle(corners, fill=self.label)

    def ellipse(self, centre: Point, radius: Point, fill: RGB) -> None:
        (x, y), (rx, ry) = centre, radius
        box = [self._at((x - rx, y + ry)), self._at((x + rx, y - ry))]
        self.canvas.ellipse(box, fill=fill)
        if self.labels:
            self.labels.ellipse(box, fill=self.label)

    def arc(self, box: tuple[float, float, float, float], start: float, end: float, width: float, fill: RGB) -> None:
        left, bottom, right, top = box
        corners = [self._at((left, top)), self._at((right, bottom))]
        thickness = max(3, int(width * self.size))
        self.canvas.arc(corners, start, end, fill=fill, width=thickness)
        if self.labels:
            self.labels.arc(corners, start, end, fill=self.label, width=thickness)


@dataclass(slots=True, frozen=True)
class Shades:
    """A subject's colour and its darker and lighter neighbours. Black has hardly any below it, white none above."""

    base: RGB
    dark: RGB
    light: RGB
    is_white: bool
    is_black: bool

    @classmethod
    def of(cls, colour: Colour, base: RGB) -> Shades:
        black, white = colour == "black", colour == "white"
        dark: RGB = (10, 10, 12) if black else shade(base, 0.78 if white else 0.68)
        return cls(base=base, dark=dark, light=shade(base, 1.12 if black else 1.35), is_white=white, is_black=black)


def draw_subject(pen: Pen, kind: Kind, shades: Shades, rng: random.Random, night: bool) -> None:
    """Draw one subject standing at the pen's origin."""
    match kind:
        case "house":
            _house(pen, shades, night)
        case "tree":
            _tree(pen, shades, rng)
        case "boat":
            _boat(pen, shades)
        case "mountain":
            _mountain(pen, shades)
        case "cat":
            _cat(pen, shades)
        case "ball":
            _ball(pen, shades)
        case "cube":
            _cube(pen, shades)


def _house(pen: Pen, shades: Shades, night: bool) -> None:
    pen.rectangle(-0.46, 0, 0.46, 0.56, shades.base)
    pen.polygon([(-0.56, 0.54), (-0.05, 1.0), (0.05, 1.0), (0.56, 0.54)], shades.dark)
    window: RGB = (255, 226, 120) if night else ((120, 160, 190) if shades.is_white else (205, 230, 245))
    pen.rectangle(-0.10, 0, 0.10, 0.34, WOOD)
    for left in (-0.37, 0.20):
        pen.rectangle(left, 0.22, left + 0.17, 0.42, window)


def _tree(pen: Pen, shades: Shades, rng: random.Random) -> None:
    pen.rectangle(-0.08, 0, 0.08, 0.45, WOOD)
    if rng.random() < 0.5:
        for bottom, half_width, fill in (
            (0.28, 0.46, shades.dark),
            (0.56, 0.38, shades.base),
            (0.82, 0.28, shades.base),
        ):
            pen.polygon([(-half_width, bottom), (0, bottom + 0.44), (half_width, bottom)], fill)
    else:
        crown = ((-0.22, 0.62, 0.28, 0.80), (0.22, 0.64, 0.28, 0.88), (0, 0.90, 0.30, 1.0), (0, 0.68, 0.29, 1.0))
        for x, y, radius, factor in crown:
            pen.ellipse((x, y), (radius, radius), shade(shades.base, factor))


def _boat(pen: Pen, shades: Shades) -> None:
    pen.polygon([(-0.56, 0.32), (0.56, 0.32), (0.36, 0), (-0.36, 0)], shades.base)
    pen.rectangle(-0.56, 0.29, 0.56, 0.34, shades.dark)
    pen.rectangle(-0.03, 0.34, 0.03, 1.12, WOOD)
    pen.polygon([(0.05, 1.10), (0.05, 0.42), (0.52, 0.42)], shades.light)
    pen.polygon([(-0.05, 1.0), (-0.05, 0.42), (-0.40, 0.42)], shade(shades.base, 0.9))


def _mountain(pen: Pen, shades: Shades) -> None:
    # Wider than the other subjects, as a mountain should be, but still clear of the picture's edges.
    peak = (0.05, 1.12)
    pen.polygon([(-0.72, 0), peak, (0.72, 0)], shades.base)
    pen.polygon([peak, (0.72, 0), (0.12, 0), (0.19, 0.42)], shades.dark)
    cap: RGB = (200, 215, 235) if shades.is_white else (250, 250, 252)
    pen.polygon([peak, (-0.15, 0.82), (-0.04, 0.88), (0.06, 0.78), (0.13, 0.88), (0.22, 0.84)], cap)


def _cat(pen: Pen, shades: Shades) -> None:
    pen.arc((0.08, 0.02, 0.58, 0.58), -60, 110, 0.11, shades.dark)
    pen.ellipse((0, 0.31), (0.34, 0.34), shades.base)
    head = 0.80
    for side in (-1, 1):
        pen.polygon([(side * 0.30, head + 0.06), (side * 0.27, head + 0.42), (side * 0.03, head + 0.20)], shades.dark)
    pen.ellipse((0, head), (0.31, 0.26), shades.base)
    eye: RGB = (240, 230, 90) if shades.is_black else (25, 25, 25)
    for x in (-0.13, 0.13):
        pen.ellipse((x, head + 0.03), (0.055, 0.07), eye)
    pen.polygon([(-0.05, head - 0.08), (0.05, head - 0.08), (0, head - 0.14)], (230, 130, 140))
    for x in (-0.16, 0.16):
        pen.ellipse((x, 0.03), (0.12, 0.07), shades.dark if shades.is_white else shades.light)


def _ball(pen: Pen, shades: Shades) -> None:
    radius = 0.43
    pen.ellipse((0, radius), (radius, radius), shades.dark)
    pen.ellipse((-0.03, radius + 0.03), (radius * 0.91, radius * 0.93), shades.base)
    pen.ellipse((-0.15, radius + 0.18), (0.11, 0.10), shade(shades.base, 1.6))


def _cube(pen: Pen, shades: Shades) -> None:
    half = 0.45
    top = [(0, 2.0 * half), (half, 1.55 * half), (0, 1.1 * half), (-half, 1.55 * half)]
    pen.polygon(top, shade(shades.base, 1.2 if shades.is_black else 1.45))
    pen.polygon([(-half, 1.55 * half), (0, 1.1 * half), (0, 0), (-half, 0.45 * half)], shades.base)
    pen.polygon([(half, 1.55 * half), (0, 1.1 * half), (0, 0), (half, 0.45 * half)], shades.dark)
