"""The plots of `docs/planning.md`, and its table: `python -m bot.bench_trace.plots docs/planning`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.bench_trace.bench import SEED, WORKERS, measure
from bot.bench_trace.day import trace
from bot.bench_trace.figures import LONGEST_WAITS, figures_of, workers_needed
from bot.bench_trace.times import H200, PROFILES
from bot.simulation.arrivals import Arrival
from bot.simulation.drawing import COLOURS, Axis, Plot

NAMES = {
    "fair": "Limner",
    "fair_without_affinity": "Limner, without affinity",
    "round_robin": "round robin",
    "fifo": "first come, first served",
}
SECONDS = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36000: "10 h"}
# Orders a day whose fleets are looked for.
COMMUNITIES = (1_000, 3_000, 10_000, 30_000)

Runs = Sequence[Mapping[str, Any]]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    found = measure(PROFILES)
    sys.stdout.write(json.dumps(found) + "\n")
    runs = found["profiles"]["h200"]["runs"]
    fleets: dict[int, list[tuple[int, int]]] = {seconds: [] for seconds in LONGEST_WAITS}
    for orders in COMMUNITIES:
        for seconds, needed in _needed(trace(SEED, orders=orders)).items():
            fleets[seconds].append((orders, needed))
    plots = {
        "waits": waits(runs),
        "utilisation": utilisation(runs),
        "switches": switches(runs),
        "community": community(fleets),
    }
    for name, plot in plots.items():
        (folder / f"{name}.svg").write_text(plot.svg(), encoding="utf-8")


def _needed(arrivals: Sequence[Arrival]) -> dict[int, int]:
    """How many workers a day needs, by the wait that is borne; what becomes of it with these is printed."""
    work = sum(each.job.work for each in arrivals)
    fleets = {}
    for seconds, needed in workers_needed(arrivals, H200, seed=SEED).items():
        assert needed is not None
        fleets[seconds] = needed
        figures = asdict(figures_of(arrivals, H200, workers=needed, seed=SEED))
        sys.stdout.write(f"{len(arrivals)} orders, the work of {work:.0f} pictures, {seconds} s: {figures}\n")
    return fleets


def waits(runs: Runs) -> Plot:
    """What 99 of 100 fast jobs wait at most."""
    seconds = Axis(
        low=1,
        high=400_000,
        logarithmic=True,
        ticks=tuple(SECONDS),
        title="99 of 100 fast jobs wait at most",
        label=lambda value: SECONDS[int(value)],
    )
    return _by_workers("Waits by the number of workers", runs, seconds, "p99_wait_seconds")


def utilisation(runs: Runs) -> Plot:
    """How much of their time the workers work."""
    share = Axis(low=0, high=1, ticks=(0, 0.25, 0.5, 0.75, 1), title="utilisation", label="{:.0%}".format)
    return _by_workers("Utilisation by the number of workers", runs, share, "utilisation")


def switches(runs: Runs) -> Plot:
    """How often another model had to be loaded."""
    most = max(entry["model_switches"] for entry in runs)
    unit = 10 ** (len(str(most)) - 1)
    top = (most // unit + 4) * unit  # with room for the names
    count = Axis(low=0, high=top, ticks=range(0, top, 2 * unit), title="models loaded")
    return _by_workers("Models loaded by the number of workers", runs, count, "model_switches")


def community(fleets: Mapping[int, Sequence[tuple[int, int]]]) -> Plot:
    """How many workers communities of several sizes need, by the wait that is borne."""
    orders = sorted({count for points in fleets.values() for count, _ in points})
    most = max(needed for points in fleets.values() for _, needed in points)
    x = Axis(low=orders[0], high=orders[-1], logarithmic=True, ticks=orders, title="orders a day", label="{:,}".format)
    powers = [2**power for power in range(most.bit_length() + 1)]
    y = Axis(low=1, high=powers[-1], logarithmic=True, ticks=powers, title="workers")
    plot = Plot(title="Workers needed, by what 99 of 100 fast jobs wait", x=x, y=y)
    for colour, (seconds, points) in zip(COLOURS, fleets.items(), strict=False):
        plot.line(points, colour=colour, name=f"at most {SECONDS[seconds]}")
        plot.dots(points, colour=colour)
    return plot


def _by_workers(title: str, runs: Runs, y: Axis, key: str) -> Plot:
    x = Axis(low=min(WORKERS), high=max(WORKERS), logarithmic=True, ticks=WORKERS, title="workers")
    plot = Plot(title=title, x=x, y=y, legend_at_top=True)
    for colour, (policy, name) in zip(COLOURS, NAMES.items(), strict=True):
        points = [(entry["workers"], entry[key]) for entry in runs if entry["policy"] == policy]
        plot.line(points, colour=colour, name=name)
        plot.dots(points, colour=colour)
    return plot


if __name__ == "__main__":
    main()
