"""The bot of a drill: `python -m bot.drills.bot_process config.toml` is `python -m bot run` with a quick painter.

What is short here is only what a drill would have to wait for: pauses, and how long a silent worker is borne.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from bot.app import serve
from bot.config import load_config, read_token
from bot.logs import configure_logs
from generation.clock import SystemClock
from generation.engine.settings import EngineSettings
from generation.errors import LimnerError

PAINTER = "bot.drills.painter:DrillPainter"
NO_END = 100_000  # deaths of workers: those that a drill kills must not end the program


class JumpingClock(SystemClock):
    """The machine's clock, whose time of day is wrong by as many seconds as a file says. Durations stay right."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        """Aware UTC, as wrong as the file says at this moment."""
        try:
            seconds = float(self._file.read_text() or 0)
        except FileNotFoundError:
            seconds = 0.0
        return super().now() + timedelta(seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bot.drills.bot_process")
    parser.add_argument("config", type=Path)
    parser.add_argument("--hang-seconds", type=float, required=True)
    parser.add_argument("--clock", type=Path, required=True, help="a file: how many seconds the time of day is wrong")
    options = parser.parse_args()
    config, token = load_config(options.config), read_token()
    assert token is not None
    os.environ.pop("DISCORD_TOKEN")
    configure_logs(level=config.logs.level, format=config.logs.format, secrets=[token.get_secret_value()])
    engine = EngineSettings(
        hang_seconds=options.hang_seconds,
        silence_seconds=options.hang_seconds,
        heartbeat_seconds=options.hang_seconds / 10,
        first_pause=0.01,
        longest_pause=0.1,
        max_deaths=NO_END,
        painter=PAINTER,
    )
    clock = JumpingClock(options.clock)
    try:
        asyncio.run(serve(config, token.get_secret_value(), engine_settings=engine, clock=clock))
    except LimnerError as error:  # as the command line does it, without the words
        sys.exit(str(error))


if __name__ == "__main__":
    main()
