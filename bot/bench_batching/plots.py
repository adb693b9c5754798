"""The plots of `docs/batching.md`, from what the bench has printed:
`python -m bot bench batching --json | python -m bot.bench_batching.plots docs/batching`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.simulation.drawing import COLOURS, Axis, Plot

NAMES = {"alone": "each order by itself", "batches": "batches", "joining": "joining at each step"}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    figures = json.load(sys.stdin)
    for name, plot in (("latency", latency(figures)), ("throughput", throughput(figures))):
        (folder / f"{name}.svg").write_text(plot.svg(), encoding="utf-8")


def latency(figures: Mapping[str, Any]) -> Plot:
    """Seconds from an order to its pictures against what is ordered; p99 dashed."""
    curve = figures["curve"]
    least = min(entry[way]["p50"] for entry in curve for way in NAMES)
    round_numbers = [factor * 10**power for power in range(-3, 5) for factor in (1, 2, 5)]
    first = max(place for place, number in enumerate(round_numbers) if number <= least)
    ticks = round_numbers[first : first + 7]  # two decades
    y = Axis(low=ticks[0], high=ticks[-1], logarithmic=True, ticks=ticks, title="seconds (p99 dashed)")
    plot = Plot(title="From an order to its pictures", x=_rates(curve), y=y)
    for colour, (way, name) in zip(COLOURS, NAMES.items(), strict=False):
        plot.line([(entry["images_per_second"], entry[way]["p50"]) for entry in curve], colour=colour, name=name)
        points = [(entry["images_per_second"], entry[way]["p99"]) for entry in curve]
        plot.line(points, colour=colour, dashed=True)
    return plot


def throughput(figures: Mapping[str, Any]) -> Plot:
    """Images a second that are drawn against what is ordered."""
    curve = figures["curve"]
    rates = _rates(curve)
    y = Axis(low=0, high=rates.high, ticks=rates.ticks, title="images a second, drawn")
    plot = Plot(title="What is drawn of what is ordered", x=rates, y=y)
    for colour, (way, name) in zip(COLOURS, NAMES.items(), strict=False):
        plot.line([(entry["images_per_second"], entry[way]["throughput"]) for entry in curve], colour=colour, name=name)
    return plot


def _rates(curve: list[Mapping[str, Any]]) -> Axis:
    """From nothing to what full batches could serve."""
    most = curve[-1]["images_per_second"] / curve[-1]["load"]
    step = 10 ** math.floor(math.log10(most / 2))
    ticks = [step * count for count in range(int(most / step) + 1)]
    return Axis(low=0, high=most, ticks=ticks, title="images a second, ordered")


if __name__ == "__main__":
    main()
