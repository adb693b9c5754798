"""Runs the measurement and the simulation, and prints their figures."""

from __future__ import annotations

import json as json_format
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from bot.bench_batching.serving import BatchSeconds, Served, arrivals_at, serve_in_batches, serve_joining
from bot.bench_plans import say
from bot.config import PROGRAM_FOLDER, Config

Figures: TypeAlias = dict[str, Any]

# What the figures must be: at least, at most. The ratio is that of the embedded model on a CPU.
AT_LEAST = {"ratio_mixed_orders": 1.3}
AT_MOST = {"max_mean_difference": 2.0}
ROUNDS = 5
SEED = 1
ORDERS = 4000
# Of what full batches could serve.
LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WAITED = 0.5  # of what one picture takes, in the way `waiting`
PROCESS_SECONDS = 3600.0


def run(config: Config, *, json: bool) -> bool:
    """Print tables, or one JSON object and nothing else. False: a figure is not what it must be."""
    figures = measure(config)
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        _print_tables(figures)
    return good_enough(figures)


def good_enough(figures: Mapping[str, Any]) -> bool:
    """Whether all figures are within their bounds."""
    return all(figures[key] >= bound for key, bound in AT_LEAST.items()) and all(
        figures[key] <= bound for key, bound in AT_MOST.items()
    )


def measure(config: Config, *, rounds: int = ROUNDS) -> Figures:
    """All figures, by the keys that the package explains."""
    say("the painter beside plain diffusers, eight mixed orders")
    figures = _painted(config, rounds)
    say("orders that come at random")
    measured = {int(size): seconds for size, seconds in figures["batch_seconds"].items()}
    model = config.models[config.generation.model]
    entries = curve(BatchSeconds(measured), steps=model.num_inference_steps)
    rounded: Figures = _rounded(figures | {"curve": entries})
    return rounded


def curve(seconds: BatchSeconds, *, steps: int, orders: int = ORDERS) -> list[Figures]:
    """An entry for each arrival rate."""
    full, wait = seconds.most / seconds(seconds.most), WAITED * seconds(1)
    entries: list[Figures] = []
    for load in LOADS:
        arrivals = arrivals_at(load * full, orders=orders, seed=SEED)
        ways: dict[str, Served] = {
            "alone": serve_in_batches(arrivals, seconds, together=False),
            "batches": serve_in_batches(arrivals, seconds),
            "waiting": serve_in_batches(arrivals, seconds, wait=wait),
            "joining": serve_joining(arrivals, seconds, steps=steps),
        }
        told = {name: asdict(served) for name, served in ways.items()}
        entries.append({"load": load, "images_per_second": load * full, "wait_seconds": wait, **told})
    return entries


def _painted(config: Config, rounds: int) -> Figures:
    generation = config.generation
    model = config.models[generation.model].spec(generation.model)
    sizes = {size for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48) if size < model.max_batch} | {model.max_batch, 2}
    order = {
        "model": asdict(model),
        "painter": asdict(generation.painters()[0]),
        "lora_folders": [str(folder) for folder in generation.lora_folders],
        "rounds": rounds,
        "sizes": sorted(sizes),
    }
    done = subprocess.run(
        [sys.executable, "-m", "generation.painter.bench_batching"],
        cwd=PROGRAM_FOLDER,
        input=json_format.dumps(order).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=PROCESS_SECONDS,
    )
    figures: Figures = json_format.loads(done.stdout.splitlines()[-1])
    return figures


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _print_tables(figures: Figures) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "must be")
    table.columns[1].justify = "right"
    for key, value in figures.items():
        bound = f"≥ {AT_LEAST[key]:g}" if key in AT_LEAST else f"≤ {AT_MOST[key]:g}" if key in AT_MOST else ""
        if isinstance(value, float):
            table.add_row(key, f"{value:.3f}", bound)
    ways = ("alone", "batches", "waiting", "joining")
    latencies = Table("images a second", *(f"{way}: {figure}" for way in ways for figure in ("p50", "p99")))
    for entry in figures["curve"]:
        found = (f"{entry[way][figure]:.1f} s" for way in ways for figure in ("p50", "p99"))
        latencies.add_row(f"{entry['images_per_second']:.2f}", *found)
    Console().print(table, latencies)
