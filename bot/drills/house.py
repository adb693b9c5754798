"""Where a drill takes place: a folder, a Discord of our own, and a bot process that may be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from bot.config import PROGRAM_FOLDER
from bot.config_sections import SQLITE
from bot.drills import payloads
from bot.drills.discord_server import DiscordServer, discord_server, until
from bot.drills.painter import BATCHES, LET_GO
from storage.migrations import migrate
from storage.storage import Storage, open_storage

START_SECONDS = 60.0  # for an interpreter on a machine that is busy with something else
HANG_SECONDS = 60.0  # of a worker, where none shall hang: a machine that is busy takes no job's attempt

# The variable that names a folder to which each house's log goes at its end, for whoever searches all of them.
LOGS = "DRILL_LOGS"

SETTINGS = """
[generation]
devices = ["cpu"]
preview_every = 5

[storage]
database = "sqlite+aiosqlite:///limner.sqlite3"
files = "files"

[queue]
instance = "drill"
lease_seconds = 10

[quota]
daily_credits = 1000000
max_queued_jobs = 1000

[limits]
orders_per_minute = 10000
interactions_per_minute = 10000

[logs]
level = "warning"
format = "json"
"""


class DrillStuck(Exception):
    """The bot does not come so far: the end of what it logged."""


@dataclass(slots=True, kw_only=True)
class House:
    """One bot and its Discord. The bot's words go to `log`."""

    folder: Path
    discord: DiscordServer
    hang_seconds: float
    bot: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def clock(self) -> Path:
        """By how many seconds the bot's time of day is wrong."""
        return self.folder / "clock"

    @property
    def database(self) -> Path:
        return self.folder / "limner.sqlite3"

    @property
    def running(self) -> bool:
        """Whether the bot's process is there."""
        return self.bot is not None and self.bot.poll() is None

    @property
    def process(self) -> psutil.Process:
        """The bot, to be looked at."""
        assert self.bot is not None
        return psutil.Process(self.bot.pid)

    @property
    def batches(self) -> list[list[int]]:
        """The jobs of each batch that its workers began, in order."""
        notes = self._batches.read_text() if self._batches.exists() else ""
        return [[int(job) for job in line.split()] for line in notes.splitlines()]

    @property
    def _batches(self) -> Path:
        return self.folder / "batches"

    @property
    def _let_go(self) -> Path:
        return self.folder / "let_go"

    def let_go(self) -> None:
        """Let jobs with the word `held` be drawn, now and from now on."""
        self._let_go.touch()

    def start(self) -> None:
        """Start the bot; returns at once."""
        environment = {
            "DISCORD_TOKEN": payloads.TOKEN,
            "LIMNER_DISCORD__API_URL": self.discord.url,
            BATCHES: str(self._batches),
            LET_GO: str(self._let_go),
        }
        with self.log.open("a") as log:
            self.bot = subprocess.Popen(
                [
                    sys.executable, "-m", "bot.drills.bot_process", str(self.folder / "config.toml"),
                    "--hang-seconds", str(self.hang_seconds), "--clock", str(self.clock),
                ],
                cwd=PROGRAM_FOLDER, env={**os.environ, **environment}, stdout=log, stderr=log,
            )  # fmt: skip

    async def started(self) -> None:
        """Start the bot, and wait until it hears what happens. Raises `DrillStuck`."""
        before = self.discord.sessions
        self.start()
        await self.must(lambda: self.discord.sessions > before and self.discord.connected, START_SECONDS)

    async def must(self, condition: Callable[[], object], seconds: float) -> None:
        """Wait until the condition holds, as long as the bot lives. Raises `DrillStuck`."""
        if not await until(lambda: condition() or not self.running, seconds) or not condition():
            raise DrillStuck(self.last_words())

    def workers(self) -> list[psutil.Process]:
        """The worker processes that there are now."""
        try:
            return [child for child in self.process.children() if _is_worker(child)]
        except psutil.NoSuchProcess:
            return []

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.bot is not None:
            self.bot.kill()
            await asyncio.to_thread(self.bot.wait)

    async def stop(self) -> None:
        """End the bot in good order."""
        if self.bot is not None:
            self.bot.terminate()
            await asyncio.to_thread(self.bot.wait, START_SECONDS)

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Storage]:
        """What the bot has stored."""
        async with open_storage(database=f"{SQLITE}{self.database}", files=self.folder / "files") as storage:
            yield storage

    def leave_log(self) -> None:
        """Put the log where `LOGS` says, if it does."""
        if LOGS in os.environ and self.log.exists():
            shutil.copyfile(self.log, Path(os.environ[LOGS]) / uuid4().hex)

    def last_words(self) -> str:
        """The end of what the bot logged."""
        return self.said()[-3000:]

    def said(self) -> str:
        """All that it logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@asynccontextmanager
async def open_house(
    folder: Path, *, settings: str = SETTINGS, hang_seconds: float = HANG_SECONDS
) -> AsyncIterator[House]:
    """A house on a database of its own; the bot is not started yet. Whatever runs at the end is killed."""
    _furnish(folder, settings)  # in no thread: alembic cannot migrate two databases at a time
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(discord_server())
        house = House(folder=folder, discord=discord, hang_seconds=hang_seconds)
        stack.callback(house.leave_log)
        stack.push_async_callback(house.kill)
        yield house


def _furnish(folder: Path, settings: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(settings)
    migrate(f"{SQLITE}{folder / 'limner.sqlite3'}")


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "generation.engine.worker" in process.cmdline()
    except psutil.Error:  # it has just ended
        return False
