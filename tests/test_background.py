"""Work beside everything else: what fails is logged, and whoever is cancelled waits for what was begun."""

from __future__ import annotations

import asyncio

import pytest

from bot.background import attempted


async def test_a_cancelled_attempt_is_over_only_when_its_work_is() -> None:
    begun, over = asyncio.Event(), False

    async def work() -> None:
        nonlocal over
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)  # as a transaction that is carried to its end
            over = True

    attempt = asyncio.create_task(attempted("work", work()))
    await begun.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert over


async def test_what_fails_is_logged_and_not_raised(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise OSError("the disk is full")

    await attempted("sweep", work())
    assert "sweep_failed" in capsys.readouterr().out
