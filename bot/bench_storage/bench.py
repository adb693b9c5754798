"""`python -m bot bench storage [--json]`: a hundred jobs beside a hundred thousand, on SQLite and on PostgreSQL.

Each side has so many jobs that have ended and as many that wait. Keys of the JSON object:

- `flatness_sqlite`, `flatness_postgres`: the time of a verb with 100,000 jobs over its time with 100, for the verb that
  grew most (see `flatness.py` for what each does); to be at most 1.2. `flatness_postgres` is null where there is no
  server: neither `LIMNER_TEST_POSTGRES` names one, nor are its programs installed (Debian: postgresql).
- `<database>_<verb>_ms`, `<database>_<verb>_flatness`: the time with 100,000, and the ratio, for each verb.
- `<database>_load_seconds`: reading 100,000 waiting jobs at the start of the program.
- `pick_us`: the queue's own part of a pick with 100,000 jobs, by 50,000 members, on SQLite's side.
- `memory_growth_mb`: by how much this process grew over 10,000 jobs, after the first thousand (see `memory.py`); to be
  at most 8.
"""

from __future__ import annotations

import asyncio
import json as json_format
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.bench_plans import Figures, say
from bot.bench_storage.flatness import VERBS, Side, open_side, take_turns
from bot.bench_storage.memory import grown_megabytes
from bot.config import Config
from bot.config_sections import SQLITE
from storage.scratch import scratch_database, scratch_server, server_programs

SERVER = "LIMNER_TEST_POSTGRES"
AT_MOST = {"flatness_sqlite": 1.2, "flatness_postgres": 1.2, "memory_growth_mb": 8.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How many jobs are `few` and how many `many`; turns that count, and others before them; jobs for the memory."""

    few: int = 100
    many: int = 100_000
    turns: int = 250
    warm_up: int = 40
    memory_jobs: int = 10_000


def run(config: Config, *, json: bool, extent: Extent | None = None) -> bool:
    """Measure, and print a table, or one JSON object and nothing else. False: a figure is not what it must be."""
    figures = measure(config, extent or Extent())
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        _print_table(figures)
    return good_enough(figures)


def measure(config: Config, extent: Extent) -> Figures:
    """All figures, each as the module says."""
    with TemporaryDirectory(prefix="limner-bench-") as folder:
        figures = asyncio.run(_measure(config, extent, Path(folder)))
    return {key: None if value is None else round(value, 4) for key, value in figures.items()}


def good_enough(figures: Mapping[str, float | None]) -> bool:
    """Whether all figures are within their bounds; PostgreSQL's may be missing, and no other."""
    taken = {key: figures[key] for key in AT_MOST}
    if taken["flatness_postgres"] is None:
        del taken["flatness_postgres"]
    return all(value is not None and value <= AT_MOST[key] for key, value in taken.items())


async def _measure(config: Config, extent: Extent, folder: Path) -> Figures:
    figures: Figures = dict.fromkeys(("flatness_sqlite", "flatness_postgres"))
    say("SQLite")
    files = {jobs: f"{SQLITE}{folder}/{jobs}.sqlite3" for jobs in (extent.few, extent.many)}
    figures |= await _flatness("sqlite", files, folder, extent)
    async with AsyncExitStack() as stack:
        if server := _server(stack):
            say("PostgreSQL")
            databases = {jobs: await stack.enter_async_context(scratch_database(server)) for jobs in files}
            figures |= await _flatness("postgres", databases, folder, extent)
        else:
            say(f"no PostgreSQL: {SERVER} names none, and none could be started: flatness_postgres is left out")
    say("memory")
    figures["memory_growth_mb"] = await grown_megabytes(config, folder / "memory", jobs=extent.memory_jobs)
    return figures


def _server(stack: AsyncExitStack) -> str | None:
    """A PostgreSQL server, until the stack ends."""
    if named := os.environ.get(SERVER):
        return named
    programs = server_programs()
    if programs is None:
        return None
    folder = stack.enter_context(TemporaryDirectory(prefix="limner-postgres-", ignore_cleanup_errors=True))
    try:
        return stack.enter_context(scratch_server(programs, Path(folder)))
    except (OSError, subprocess.SubprocessError) as error:
        say(str(error))
        return None


async def _flatness(name: str, databases: Mapping[int, str], folder: Path, extent: Extent) -> Figures:
    async with AsyncExitStack() as stack:
        sides = [
            await stack.enter_async_context(open_side(url, folder / f"{name}-{jobs}", jobs=jobs))
            for jobs, url in databases.items()
        ]
        await take_turns(sides, turns=extent.turns, warm_up=extent.warm_up)
    return _figures(name, *sides)


def _figures(name: str, few: Side, many: Side) -> Figures:
    ratios = {verb: many.milliseconds(verb) / few.milliseconds(verb) for verb in VERBS}
    figures: Figures = {f"flatness_{name}": max(ratios.values())}
    for verb in VERBS:
        figures[f"{name}_{verb}_ms"] = many.milliseconds(verb)
        figures[f"{name}_{verb}_flatness"] = ratios[verb]
    figures[f"{name}_load_seconds"] = many.load_seconds
    if name == "sqlite":
        figures["pick_us"] = 1e6 * statistics.median(many.pick_seconds)
    return figures


def _print_table(figures: Figures) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "must be")
    table.columns[1].justify = "right"
    for key, value in figures.items():
        bound = f"≤ {AT_MOST[key]:g}" if key in AT_MOST else ""
        table.add_row(key, "–" if value is None else f"{value:,.3f}", bound)
    Console().print(table)
