"""The plots of `docs/planning.md`, and its table: `python -m bot.bench_trace.plots docs/planning`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.bench_trace.bench import SEED, WORKERS, measure
from bot.bench_trace.day import trace
from bot.bench_trace.figures import figures_of, workers_needed
from bot.bench_trace.times import H200
from bot.simulation.drawing import COLOURS, Axis, Plot

NAMES = {
    "fair": "Limner",
    "fair_without_affinity": "Limner, without affinity",
    "round_robin": "round robin",
    "fifo": "first come, first served",
}
SECONDS = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36000: "10 h"}
# Orders a day whose fleets are looked for.
COMMUNITIES = (1_000, 3_000, 10_000, 30_000, 100_000)

Runs = Sequence[Mapping[str, Any]]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    runs = measure({"h200": H200})["profiles"]["h200"]["runs"]
    fleets = []
    for orders in COMMUNITIES:
        arrivals = trace(SEED, orders=orders)
        needed = workers_needed(arrivals, H200, seed=SEED)
        assert needed is not None
        figures = figures_of(arrivals, H200, workers=needed, seed=SEED)
        work = sum(each.job.work for each in arrivals)
        fleets.append((len(arrivals), needed))
        sys.stdout.write(
            f"{len(arrivals)} orders, work of {work:.0f} pictures: {needed} workers, "
            f"utilisation {figures.utilisation:.2f}, p50 {figures.p50_wait_seconds:.1f} s, "
            f"p99 {figures.p99_wait_seconds:.1f} s\n"
        )
    plots = {
        "waits": waits(runs),
        "utilisation": utilisation(runs),
        "switches": switches(runs),
        "community": community(fleets),
    }
    for name, plot in plots.items():
        (folder / f"{name}.svg").write_text(plot.svg(), encoding="utf-8")


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
    top = (most // unit + 1) * unit
    count = Axis(low=0, high=top, ticks=[top * part / 4 for part in range(5)], title="models loaded")
    return _by_workers("Models loaded by the number of workers", runs, count, "model_switches")


def community(fleets: Sequence[tuple[int, int]]) -> Plot:
    """How many workers communities of several sizes need."""
    orders = [count for count, _ in fleets]
    most = max(needed for _, needed in fleets)
    plot = Plot(
        title="Workers needed: 99 of 100 fast jobs wait at most a minute",
        x=Axis(
            low=min(orders), high=max(orders), logarithmic=True, ticks=orders, title="orders a day", label="{:,}".format
        ),
        y=Axis(
            low=1,
            high=2 * most,
            logarithmic=True,
            ticks=[2**power for power in range(most.bit_length() + 1)],
            title="workers",
        ),
    )
    plot.line(fleets, colour=COLOURS[0], name="Limner")
    plot.dots(fleets, colour=COLOURS[0])
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
