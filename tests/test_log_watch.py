"""The watch over the logs of all tests finds what it is there for, in one process and in several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.log_watch import leaks

ROOT = Path(__file__).parent.parent
CLEAN = """
import logging, structlog
def test_clean():
    structlog.get_logger("bot").info("job_done", job_id=5, prompt="a red boat")
    structlog.get_logger("bot").debug("job_composed", words="a red boat")
    logging.getLogger("discord").debug("POST /interactions/5/aW50ZXJhY3Rpb24/callback")
"""
LEAKING = """
import asyncio, logging, subprocess, sys, structlog
from bot.drills.house import open_house
def test_a_secret_of_the_library():
    logging.getLogger("discord").debug("Authorization: Bot %s", "MTIzNDU2.abcdef.ghijkl")
def test_what_people_typed():
    structlog.get_logger("bot").info("job_done", words="a red boat")
def test_a_program_that_was_started():
    subprocess.run([sys.executable, "-c", "import sys; print('hunter' + '2', file=sys.stderr)"], check=True)
def test_a_bot_of_a_drill(tmp_path):
    async def drill():
        async with open_house(tmp_path / "house") as house:
            house.log.write_text('{"event": "a red boat", "level": "warning"}')
    asyncio.run(drill())
"""


@pytest.mark.parametrize(
    ("text", "workers"), [(CLEAN, "0"), (LEAKING, "0"), (LEAKING, "1")], ids=["clean", "leaking", "in a worker"]
)
def test_a_run_with_a_leak_fails_though_its_tests_pass(tmp_path: Path, text: str, workers: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure")
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "test_it.py").write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert " passed" in run.stdout
    assert " failed" not in run.stdout
    found = [line for line in run.stdout.splitlines() if line.startswith("test_it.py::")]
    if text is CLEAN:
        assert (run.returncode, found) == (0, [])
    else:
        assert run.returncode == 1
        assert "4 in all" in run.stdout
        assert len(found) == 4


@pytest.mark.parametrize(
    "line",
    [
        "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDe.abcdefghijklmnopqrstuvwxyz0123456789ab",
        "https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb24/messages/@original",
        "{'op': 0, 'd': {'token': 'aW50ZXJhY3Rpb24'}}",
        "postgresql+asyncpg://me:secret@host/limner",
        "https://cdn.discordapp.com/attachments/1/2/a.png?ex=6&is=5&hm=0123456789abcdef",
        '{"event": "job_done", "level": "info", "recipe": {}}',
    ],
)
def test_what_is_found(line: str) -> None:
    assert list(leaks(line))


@pytest.mark.parametrize(
    "line",
    [
        "https://discord.com/api/v10/webhooks/123/[redacted]/messages/@original",
        "{'op': 0, 'd': {'token': '[redacted]'}}",
        "postgresql+asyncpg://me:[redacted]@host/limner",
        '{"event": "job_done", "level": "debug", "prompt": "a red boat"}',
        "http://127.0.0.1:8080/metrics",
    ],
)
def test_what_is_not(line: str) -> None:
    assert not list(leaks(line))
