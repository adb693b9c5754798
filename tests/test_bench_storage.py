"""The bench of storage measures what it says, with few jobs; and the bot keeps nothing of jobs that are over."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from bot.bench_storage import bench
from bot.bench_storage.bench import AT_MOST, SERVER, Extent, good_enough
from bot.bench_storage.flatness import VERBS
from bot.bench_storage.memory import Bot, at_work
from bot.config import PROGRAM_FOLDER, Config, load_config
from bot.config_sections import SQLITE
from bot.logs import configure_logs
from generation.job import JobStatus
from storage import scratch
from storage.made_up import make_up
from storage.migrations import migrate
from storage.storage import open_storage

QUICK = Extent(few=20, many=200, turns=4, warm_up=2, memory_jobs=10)
# In pieces of memory for each job: of one that is kept, its recipe alone takes more.
MOST_KEPT = 10


@pytest.fixture
def config() -> Config:
    configure_logs(level="error", format="console")
    return load_config(PROGRAM_FOLDER / "config.toml")


def test_it_prints_one_object_with_a_figure_for_each_verb(
    config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVER, raising=False)
    monkeypatch.setattr(bench, "server_programs", lambda: None)
    bench.run(config, json=True, extent=QUICK)
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= AT_MOST.keys()
    assert figures["flatness_postgres"] is None
    ratios = [figures[f"sqlite_{verb}_flatness"] for verb in VERBS]
    assert figures["flatness_sqlite"] == max(ratios)
    assert min(ratios) > 0
    assert all(figures[f"sqlite_{verb}_ms"] > 0 for verb in VERBS)


@pytest.mark.skipif(scratch.server_programs() is None, reason="PostgreSQL's server is not installed")
def test_where_no_server_is_named_it_starts_its_own_and_takes_it_away(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SERVER, raising=False)
    servers: list[str] = []
    folders: list[Path] = []
    start = scratch.scratch_server

    def noted(programs: Path, folder: Path) -> AbstractContextManager[str]:
        folders.append(folder)
        return start(programs, folder)

    monkeypatch.setattr(bench, "scratch_server", noted)

    async def measured(name: str, databases: dict[int, str], *_: object) -> dict[str, float | None]:
        if name == "postgres":
            servers.extend(databases.values())
            for url in databases.values():
                migrate(url)
        return {f"flatness_{name}": 1.0}

    monkeypatch.setattr(bench, "_flatness", measured)
    figures = bench.measure(config, Extent(memory_jobs=10))
    assert figures["flatness_postgres"] == 1.0
    assert len(set(servers)) == 2
    (folder,) = folders
    patience = time.monotonic() + 120
    while serving(folder):  # for a moment more than pg_ctl waits for it: until its file of the process is gone
        assert time.monotonic() < patience
        time.sleep(0.05)


def serving(folder: Path) -> bool:
    """Whether a server has its data in that folder."""
    return any(str(folder) in str(process.info["cmdline"]) for process in psutil.process_iter(["cmdline"]))


def test_figures_that_could_not_be_taken_are_not_held_against_it() -> None:
    well = dict.fromkeys(AT_MOST, 1.0)
    assert good_enough(well)
    assert good_enough(well | {"flatness_postgres": None})
    assert not good_enough(well | {"flatness_sqlite": None})
    assert not good_enough(well | {"memory_growth_mb": None})
    assert not good_enough(well | {"flatness_sqlite": 1.3})


async def test_the_made_up_past_is_one_that_the_books_agree_with(tmp_path: Path) -> None:
    database = f"{SQLITE}{tmp_path}/limner.sqlite3"
    await asyncio.to_thread(migrate, database)
    now = datetime(2026, 3, 14, 10, tzinfo=UTC)
    members = await make_up(database, ended=120, waiting=60, model="sdxl", now=now)
    async with open_storage(database=database, files=tmp_path / "files", clock=lambda: now) as storage:
        accounts = await storage.books.accounts()
        assert len(accounts) == 180
        assert not [account for account in accounts if account.drift]
        assert [account.pictures for account in accounts] == [
            account.job.status is JobStatus.DONE for account in accounts
        ]
        assert sum(account.job.user_id in members for account in accounts[:120]) >= 60
        waiting = await storage.jobs.waiting()
        assert len(waiting) == 60
        assert not await storage.jobs.undelivered()
        assert await storage.jobs.cancel(waiting[0].id)


async def open_all_connections(bot: Bot) -> None:
    """And start all threads: how many there would be by themselves, is for how slow the machine is to say."""
    await asyncio.gather(*(bot._storage.jobs.waiting() for _ in range(50)))
    go_on = threading.Event()
    waiting = [asyncio.create_task(asyncio.to_thread(go_on.wait)) for _ in range(50)]
    await asyncio.sleep(0)  # they begin, each in a thread of its own as long as there may be more
    go_on.set()
    await asyncio.gather(*waiting)


async def test_nothing_is_kept_of_jobs_that_are_over(config: Config, tmp_path: Path) -> None:
    async with asyncio.timeout(600), at_work(config, tmp_path) as bot:
        await bot.serve(50)
        await open_all_connections(bot)
        gc.collect()
        before = sys.getallocatedblocks()
        await bot.serve(80)
        gc.collect()
        kept = sys.getallocatedblocks() - before
    assert kept < 80 * MOST_KEPT
