"""Plots as SVG, in as few lines as will do: axes with ticks, lines and dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 55
# Wong's colours, which people tell apart who do not see all of them (Nature Methods 8, 441).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From where to where, what it is called, and the numbers that stand at it. A logarithmic one begins above 0."""

    low: float
    high: float
    title: str
    ticks: Sequence[float]
    logarithmic: bool = False
    label: Callable[[float], str] = "{:g}".format

    def share(self, value: float) -> float:
        """Where a value is between both ends: 0 to 1; what lies beyond is put at the end."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(slots=True, kw_only=True)
class Plot:
    """A picture in the making. The names of lines and dots stand at the right: at the bottom, if not at the top."""

    title: str
    x: Axis
    y: Axis
    legend_at_top: bool = False
    _drawn: list[str] = field(default_factory=list)
    _legend: int = 0

    def line(self, points: Points, *, colour: str, name: str = "", dashed: bool = False) -> None:
        """Points joined in their order."""
        path = " ".join(f"{self._across(x):.1f},{self._up(y):.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>')
        self._name(name, colour)

    def dots(self, points: Points, *, colour: str, name: str = "") -> None:
        """Points by themselves."""
        self._drawn += [
            f'<circle cx="{self._across(x):.1f}" cy="{self._up(y):.1f}" r="2.2" fill="{colour}" fill-opacity="0.55"/>'
            for x, y in points
        ]
        self._name(name, colour)

    def svg(self) -> str:
        """The file."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            _text(WIDTH / 2, 20, self.title, size=14),
            _text((LEFT + right) / 2, HEIGHT - 12, self.x.title),
            f'<g transform="rotate(-90 16 {(TOP + bottom) / 2})">{_text(16, (TOP + bottom) / 2, self.y.title)}</g>',
        ]
        for tick in self.x.ticks:
            across = self._across(tick)
            parts.append(f'<line x1="{across:.1f}" y1="{TOP}" x2="{across:.1f}" y2="{bottom}" stroke="#e4e4e4"/>')
            parts.append(_text(across, bottom + 16, self.x.label(tick)))
        for tick in self.y.ticks:
            up = self._up(tick)
            parts.append(f'<line x1="{LEFT}" y1="{up:.1f}" x2="{right}" y2="{up:.1f}" stroke="#e4e4e4"/>')
            parts.append(_text(LEFT - 6, up + 4, self.y.label(tick), anchor="end"))
        frame = f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#444"/>'
        return "\n".join([*parts, *self._drawn, frame, "</svg>"]) + "\n"

    def _name(self, name: str, colour: str) -> None:
        if name:
            first = TOP + 20 if self.legend_at_top else HEIGHT - BOTTOM - 52
            up, across = first + 18 * self._legend, WIDTH - RIGHT - 170
            self._drawn.append(f'<rect x="{across}" y="{up - 9}" width="12" height="10" fill="{colour}"/>')
            self._drawn.append(_text(across + 18, up, name, anchor="start"))
            self._legend += 1

    def _across(self, value: float) -> float:
        return LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)

    def _up(self, value: float) -> float:
        return HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>'
