"""Retention in the running bot and on the command line."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot import retention
from bot.cli import cli
from bot.config import load_config
from bot.retention import Swept, sweep
from storage.errors import FilesUnwritable
from storage.storage import open_storage
from tests.bot.world import SETTINGS, World, open_world, private, public

KEEPS_A_WEEK = SETTINGS + "\n[retention]\npictures_days = 7\njobs_days = 7\nlog_days = 7\nuploads_days = 7\n"


async def swept_in(world: World, days: int) -> Swept:
    """What a sweep finds so many days from now."""
    config = load_config(world.folder / "config.toml")
    async with open_storage(
        database=config.storage.database,
        files=config.storage.files,
        clock=lambda: datetime.now(UTC) + timedelta(days=days),
    ) as storage:
        return await sweep(storage, config.retention)


async def test_old_pictures_go_and_old_messages_stay_and_their_buttons_say_so(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=KEEPS_A_WEEK) as world:
        grid = await world.drawn("a red boat --n 2")
        liked = await world.drawn("a blue boat --n 1")
        await world.press(liked, "❤️")
        await world.all_told()
        assert await swept_in(world, 6) == Swept(pictures=0, jobs=0, log_entries=0, expired=0, files=0)
        assert await swept_in(world, 8) == Swept(pictures=2, jobs=1, log_entries=0, expired=0, files=0)
        assert world.now(grid).attachments  # Discord keeps what it was given
        for label in ("U1", "V2", "🔄"):
            assert "not here any more" in private(await world.press(grid, label))
        varied = await world.finished(public(await world.press(liked, "Vary (Subtle)")))
        assert varied.attachments


async def test_without_limits_nothing_is_too_old(world: World) -> None:
    message = await world.drawn("a red boat --n 1")
    await world.all_told()
    assert await swept_in(world, 4000) == Swept(pictures=0, jobs=0, log_entries=0, expired=0, files=0)
    assert await world.finished(public(await world.press(message, "🔄")))


async def test_the_bot_sweeps_by_itself_and_goes_on_when_a_sweep_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(retention, "SWEEP_SECONDS", 0.05)

    async def broken(**_: object) -> int:
        raise FilesUnwritable(path="files", detail="Input/output error")

    async with open_world(tmp_path) as world:
        files = world.app.services.storage.files
        orphan = await files.write(b"nothing names me")
        path = tmp_path / "files" / orphan[:2] / orphan
        os.utime(path, (0, 0))
        await world.until(lambda: not path.exists())
        world.app.services.storage.retention.clear_files = broken  # type: ignore[method-assign]
        await world.until(lambda: "sweep_failed" in capsys.readouterr().out)
        del world.app.services.storage.retention.clear_files
        await world.until(lambda: "swept" in capsys.readouterr().out)
        assert (await world.drawn("a red boat --n 1")).attachments


async def test_prune_does_it_from_the_command_line_also_while_the_bot_runs(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=KEEPS_A_WEEK) as world:
        await world.drawn("a red boat --n 1")
        orphan = await world.app.services.storage.files.write(b"nothing names me")
        os.utime(tmp_path / "files" / orphan[:2] / orphan, (0, 0))
        arguments = ["prune", "--config", str(tmp_path / "config.toml")]
        first = await asyncio.to_thread(CliRunner().invoke, cli, [*arguments, "--json"])
        assert first.exit_code == 0, first.output
        assert json.loads(first.stdout.splitlines()[-1]) == {
            "pictures": 0,
            "jobs": 0,
            "log_entries": 0,
            "expired": 0,
            "files": 1,
        }
        second = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
        assert second.stdout.splitlines()[-1].startswith("Deleted: 0 pictures, the words of 0 orders, 0 log entries, ")
        assert (await world.drawn("a blue boat --n 1")).attachments
