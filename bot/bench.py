"""`python -m bot bench [--json]`: measures this machine with the configured model, on a database of its own.

What is measured runs in fresh processes; nothing else should run on the machine. Keys of the JSON object:

- `ready_seconds`: from before a bot process is made until its client is ready: Python and all imports, storage, login
  and server of an in-memory Discord (simcord), the worker on its way. Median of several starts on a database that has
  its tables. `first_ready_seconds`: the same once, the tables to be made. `ready_cpu_seconds`: the processor's part of
  `ready_seconds`, for a machine that is busy with something else.
- `bot_rss_mb`: resident memory of the bot process when it is ready, in MiB; `bot_rss_mb_after`: when the whole burst is
  served. Both hold the in-memory Discord, the second one also every message and file that came by.
- `ack_p50_ms`, `ack_p99_ms`, `ack_max_ms`: a burst of 200 `/imagine` by 25 members, all in flight together while the
  worker draws: from an interaction's arrival in discord.py to its acknowledgement leaving it (the status message, or a
  deferral where the order takes longer than 0.2 s: `ack_deferred_share` is how many of them). `queued_p50_ms`,
  `queued_p99_ms`: until the message says that the order is queued, which then is durable.
- `served_images_per_second`: from the first order of the burst to its last picture on Discord.
- `enqueue_per_second`: orders made durable a second, of 400 placed at once while the worker draws, without Discord.
- `overhead_ms_per_job`, `overhead_share`: orders of a grid of four, one after the other: from an interaction's arrival
  to the final edit of its message, less the seconds that the painter reports for the batch; and its share of the whole.
  Medians. Discord's own time and the network's are not in it, the in-memory Discord's is.
- `plain_images_per_second`, `single_images_per_second`, `batch_images_per_second`: plain diffusers called prompt by
  prompt; the painter prompt by prompt; the painter in batches of four. `painter_ratio_single`, `painter_ratio_batch`:
  the painter over plain diffusers, medians of turns in one process (`generation/painter/bench.py`).
- `kind_<name>_seconds`: one picture of each kind of job, one at a time (`generation/painter/bench_kinds.py`).
- `load_seconds`: from the model's files, which the system holds in memory, to a model on the device.
- `lora_switch_ms`: from one LoRA to another that is loaded already; `peft_…` and `hotswap_…`: in diffusers' two ways.
  `peft_lora_step_ratio`, `hotswap_lora_step_ratio`: what a step with a LoRA takes in those over one in ours
  (`generation/painter/bench_adapters.py`). null without LoRAs for the model, or where hot-swapping does not take them.
"""

from __future__ import annotations

import json as json_format
import pickle
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.bench_plans import FULL, QUICK, BotPlan, Extent, Figures, OrdersPlan, say
from bot.config import PROGRAM_FOLDER, Config
from bot.config_sections import SQLITE, DiscordSection, MetricsSection, StorageSection
from storage.migrations import migrate

START_FIGURES = ("ready_seconds", "ready_cpu_seconds", "bot_rss_mb")  # which are taken from starts alone
DATABASE_FILE = "limner.sqlite3"
PROCESS_SECONDS = 1800.0  # for one of the processes, all in all
ENOUGH_CREDITS = 1_000_000
ENOUGH_JOBS = 1000
ENOUGH_ORDERS = 10_000  # a minute


def run(config: Config, *, json: bool, quick: bool = False) -> None:
    """Measure, and print a table, or one JSON object and nothing else. `quick` tries everything and proves nothing.

    Raises `DemoNotInstalled`: it is measured on the demo's in-memory Discord.
    """
    if find_spec("simcord") is None:
        from bot.demo import DemoNotInstalled

        raise DemoNotInstalled(detail="simcord")
    figures = measure(config, QUICK if quick else FULL)
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        _print_table(figures)


def measure(config: Config, extent: Extent) -> Figures:
    """All figures, each as the module says."""
    with TemporaryDirectory(prefix="limner-bench-") as folder:
        bench = _Bench(config, extent, Path(folder))
        return {
            key: None if value is None else round(value, 4)
            for part in (bench.starts, bench.load, bench.orders, bench.painter)
            for key, value in part().items()
        }


class _Bench:
    """Each part starts a process of its own, on a database of its own."""

    def __init__(self, config: Config, extent: Extent, folder: Path) -> None:
        self._config = config
        self._extent = extent
        self._folder = folder
        self._databases = 0
        self._empty = folder / "empty.sqlite3"
        migrate(f"{SQLITE}{self._empty}")

    def starts(self) -> Figures:
        """A bot process that is made, becomes ready and ends."""
        say("starting the bot")
        first = self._bot(self._new_config(migrated=False))
        starts = [self._bot(self._new_config()) for _ in range(self._extent.starts)]
        medians = {key: statistics.median(_number(start[key]) for start in starts) for key in starts[0]}
        return {**medians, "first_ready_seconds": first["ready_seconds"]}

    def load(self) -> Figures:
        """A bot process with much to do."""
        say("the bot under load")
        extent = self._extent
        figures = self._bot(
            self._new_config(),
            members=extent.members,
            warm_up=extent.warm_up,
            burst=extent.burst,
            single_orders=extent.single_orders,
        )
        return {key: value for key, value in figures.items() if key not in START_FIGURES}

    def orders(self) -> Figures:
        """Orders without Discord."""
        say("orders without Discord")
        extent = self._extent
        plan = OrdersPlan(
            config=self._new_config(), members=extent.members, warm_up=extent.warm_up, orders=extent.enqueued
        )
        return _run("bot.bench_orders", pickle.dumps(plan))

    def painter(self) -> Figures:
        """The painter against plain diffusers."""
        say("the painter beside plain diffusers")
        generation = self._config.generation
        order = {
            "model": asdict(self._config.models[generation.model].spec(generation.model)),
            "painter": asdict(generation.painters()[0]),
            "lora_folders": [str(folder) for folder in generation.lora_folders],
            "pictures": self._extent.pictures,
            "rounds": self._extent.rounds,
        }
        return _run("generation.painter.bench", json_format.dumps(order).encode())

    def _bot(self, config: Config, **load: int) -> Figures:
        """`load` are the numbers of a `BotPlan`."""
        return _run("bot.bench_bot", pickle.dumps(BotPlan(config=config, spawned_at=time.time(), **load)))

    def _new_config(self, *, migrated: bool = True) -> Config:
        """The settings of another bot: the in-memory Discord names its interactions anew each time."""
        self._databases += 1
        folder = self._folder / str(self._databases)
        folder.mkdir()
        if migrated:
            shutil.copy(self._empty, folder / DATABASE_FILE)
        config = self._config
        return config.model_copy(
            update={
                "discord": DiscordSection(),
                "metrics": MetricsSection(),
                "queue": config.queue.model_copy(update={"instance": "bench"}),
                "quota": config.quota.model_copy(
                    update={"daily_credits": ENOUGH_CREDITS, "max_queued_jobs": ENOUGH_JOBS}
                ),
                "limits": config.limits.model_copy(
                    update={"orders_per_minute": ENOUGH_ORDERS, "interactions_per_minute": ENOUGH_ORDERS}
                ),
                "storage": StorageSection(database=f"{SQLITE}{folder / DATABASE_FILE}", files=folder / "files"),
            }
        )


def _run(module: str, plan: bytes) -> Figures:
    """Run one of our modules in a process of its own, give it its plan, and read its answer."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=PROGRAM_FOLDER,
        input=plan,
        stdout=subprocess.PIPE,
        check=True,
        timeout=PROCESS_SECONDS,
    )
    figures: Figures = json_format.loads(done.stdout.splitlines()[-1])
    return figures


def _number(value: float | None) -> float:
    assert value is not None
    return value


def _print_table(figures: Figures) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    table.columns[1].justify = "right"
    for key, value in figures.items():
        table.add_row(key, "–" if value is None else f"{value:,.2f}")
    Console().print(table)
