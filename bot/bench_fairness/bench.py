"""Runs the day, prints its figures, says whether they are as good as they are promised to be."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Mapping

from bot.bench_fairness.figures import measure

# What each figure must be: at least, at most. The other policies are there to be compared with.
AT_LEAST = {"jain": 0.95}
AT_MOST = {"eta_median_error": 0.25, "longest_fast_wait_over_fair": 2.0}


def run(*, json: bool) -> bool:
    """Print a table, or one JSON object and nothing else. False: a figure is not what it must be."""
    figures = {key: round(value, 4) for key, value in measure().figures().items()}
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        _print_table(figures)
    return good_enough(figures)


def good_enough(figures: Mapping[str, float]) -> bool:
    """Whether all figures are within their bounds."""
    return all(figures[key] >= bound for key, bound in AT_LEAST.items()) and all(
        figures[key] <= bound for key, bound in AT_MOST.items()
    )


def _print_table(figures: Mapping[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "must be")
    table.columns[1].justify = "right"
    for key, value in figures.items():
        bounds = [f"≥ {AT_LEAST[key]:g}"] if key in AT_LEAST else [f"≤ {AT_MOST[key]:g}"] if key in AT_MOST else [""]
        table.add_row(key, f"{value:.3f}", *bounds)
    Console().print(table)
