"""The plots of `docs/fairness.md`: `python -m bot.bench_fairness.plots docs/fairness`."""

from __future__ import annotations

import sys
from pathlib import Path

from bot.bench_fairness.figures import SEED, Measured, measure
from bot.simulation.drawing import COLOURS, Axis, Plot
from generation.job import Priority

NAMES = {"fair": "Limner", "round_robin": "round robin", "fifo": "first come, first served"}
SECONDS = {10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36000: "10 h"}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    measured = measure(SEED)
    for name, plot in (("waits", waits(measured)), ("served", served(measured)), ("promises", promises(measured))):
        (folder / f"{name}.svg").write_text(plot.svg(), encoding="utf-8")
    sys.stdout.write("".join(f"{key} {value:.4f}\n" for key, value in measured.figures().items()))


def waits(measured: Measured) -> Plot:
    """How many fast jobs waited at most so many times as long as is fair."""
    ratios = (0.5, 1, 2, 5, 10, 20, 50)
    plot = Plot(
        title="Fast jobs: wait over fair time",
        x=Axis(low=0.5, high=50, logarithmic=True, ticks=ratios, title="times the fair time"),
        y=Axis(low=0, high=1, ticks=(0, 0.25, 0.5, 0.75, 1), title="share of the jobs", label="{:.0%}".format),
    )
    for colour, (key, name) in zip(COLOURS, NAMES.items(), strict=False):
        found = sorted(measured.waits_over_fair(measured.outcomes[key]))
        step = max(1, len(found) // 400)
        points = [(ratio, (place + 1) / len(found)) for place, ratio in enumerate(found)]
        plot.line([*points[::step], points[-1]], colour=colour, name=name)
    return plot


def served(measured: Measured) -> Plot:
    """What each of those who always wanted more got during the rush, the least first."""
    shares = {key: sorted(measured.served_in_rush(measured.outcomes[key]).values()) for key in NAMES}
    most = max(max(each) for each in shares.values())
    members = len(shares["fair"])
    top = 50.0 * (int(most / 50) + 1)
    plot = Plot(
        title="The rush: work served to those who always wanted more",
        x=Axis(low=1, high=members, ticks=range(5, members + 1, 5), title="members, by what they got"),
        y=Axis(low=0, high=top, ticks=[top * part / 5 for part in range(6)], title="credits of work"),
    )
    for colour, (key, name) in zip(COLOURS, NAMES.items(), strict=False):
        plot.line(list(enumerate(shares[key], start=1)), colour=colour, name=name)
    return plot


def promises(measured: Measured) -> Plot:
    """Told and real waits of jobs that had to wait."""
    plot = Plot(title="Waiting times: as told when ordered, and as they were", x=_seconds("told"), y=_seconds("real"))
    plot.line([(2, 2), (40_000, 40_000)], colour="#888888", dashed=True)
    plot.dots(measured.told_and_real(Priority.FAST), colour=COLOURS[0], name="fast")
    plot.dots(measured.told_and_real(Priority.RELAX), colour=COLOURS[1], name="relaxed")
    return plot


def _seconds(title: str) -> Axis:
    return Axis(
        low=2,
        high=40_000,
        logarithmic=True,
        ticks=tuple(SECONDS),
        title=title,
        label=lambda seconds: SECONDS[int(seconds)],
    )


if __name__ == "__main__":
    main()
