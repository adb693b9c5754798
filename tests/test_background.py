"""Work beside everything else: what fails is logged, and whoever is cancelled waits for what was begun."""

from __future__ import annotations

import asyncio

import pytest

from bot import background
from bot.background import attempted, first_error, lasting, watched
from storage.errors import InstanceTaken


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


async def test_what_breaks_down_unforeseen_is_logged_and_raised(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        await watched("courier", work)
    said = capsys.readouterr().out
    assert "courier_failed" in said
    assert "Traceback" in said


async def test_what_lasts_is_begun_again_until_a_sentence_for_people_ends_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.0)
    ends: list[Exception] = [KeyError("a mistake of ours"), ValueError("another"), InstanceTaken(instance="here")]

    async def work() -> None:
        raise ends.pop(0)

    with pytest.raises(InstanceTaken):
        await lasting("relay", work)
    assert not ends
    assert capsys.readouterr().out.count("relay_failed") == 2


async def test_work_that_has_nothing_to_do_is_not_begun_again() -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1

    await lasting("relay", work)
    assert begun == 1


async def test_the_first_error_of_several_is_raised_and_an_end_without_one_is_none() -> None:
    go_on = asyncio.Event()

    async def return_at_once() -> None:
        pass

    async def fail() -> None:
        await go_on.wait()
        raise KeyError("a mistake of ours")

    works = [return_at_once(), fail(), asyncio.sleep(3600)]
    tasks = [asyncio.create_task(work) for work in works]
    waiting = asyncio.create_task(first_error(tasks))
    await tasks[0]
    assert not waiting.done()
    go_on.set()
    with pytest.raises(KeyError):
        await waiting
    tasks[2].cancel()
