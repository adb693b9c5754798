"""Lets the day pass under each policy with each number of workers, and prints what it was like."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bot.bench_plans import say
from bot.bench_trace.day import ORDERS, trace
from bot.bench_trace.figures import POLICIES, Figures, figures_of, workers_needed
from bot.bench_trace.times import PROFILES
from bot.simulation.fleet import ServiceTimes

SEED = 1
WORKERS = (1, 2, 4, 8, 16, 32, 64)


def run(*, json: bool, orders: int | None = None, times: ServiceTimes | None = None) -> None:
    """Print a table for each kind of worker, or one JSON object and nothing else.

    `times` are those of the only kind of worker to be looked at, as they were measured; None: of those in `times.py`.
    """
    figures = measure(PROFILES if times is None else {"measured": times}, orders=orders or ORDERS)
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        _print_tables(figures)


def measure(
    profiles: Mapping[str, ServiceTimes], *, orders: int = ORDERS, workers: Sequence[int] = WORKERS, seed: int = SEED
) -> dict[str, Any]:
    """The JSON object: `orders` of the day and their `work` in native pictures; for each profile its service `times`,
    `workers_needed` by the seconds that are borne, and `runs`, one for each policy and number of workers, with the
    fields of `Figures`. Those of "fair" also have `model_switches_saved` and `lora_switches_saved` by affinity, below 0
    where it cost some."""
    arrivals = trace(seed, orders=orders)
    found: dict[str, Any] = {
        "seed": seed,
        "orders": len(arrivals),
        "work": round(sum(each.job.work for each in arrivals)),
        "profiles": {},
    }
    for name, times in profiles.items():
        say(f"a day of {len(arrivals)} orders, service times: {name}")
        runs = [
            figures_of(arrivals, times, workers=count, policy=policy, seed=seed)
            for count in workers
            for policy in POLICIES
        ]
        found["profiles"][name] = {
            "times": asdict(times),
            "workers_needed": workers_needed(arrivals, times, seed=seed),
            "runs": [_entry(figures, runs) for figures in runs],
        }
    return found


def _entry(figures: Figures, runs: Sequence[Figures]) -> dict[str, Any]:
    entry = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(figures).items()}
    if figures.policy == "fair":
        beside = next(
            each for each in runs if each.policy == "fair_without_affinity" and each.workers == figures.workers
        )
        entry["model_switches_saved"] = beside.model_switches - figures.model_switches
        entry["lora_switches_saved"] = beside.lora_switches - figures.lora_switches
    return entry


def _print_tables(figures: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    for name, profile in figures["profiles"].items():
        columns = [key for key in profile["runs"][0] if not key.endswith("_saved")]
        table = Table(*columns, title=f"{name}: {figures['orders']} orders, the work of {figures['work']} pictures")
        for column in table.columns[1:]:
            column.justify = "right"
        for entry in profile["runs"]:
            table.add_row(
                *(f"{entry[key]:.3f}" if isinstance(entry[key], float) else str(entry[key]) for key in columns),
                end_section=entry["policy"] == list(POLICIES)[-1],
            )
        Console().print(table)
        for seconds, needed in profile["workers_needed"].items():
            Console().print(f"99 of 100 fast jobs wait at most {seconds} s with {needed or '–'} workers")
