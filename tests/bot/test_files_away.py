"""The place where pictures are kept is gone while the bot is at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import personal_data
from storage import files_s3
from storage.files_s3 import S3Files
from tests.bot.test_deleting import delete, picked, remembered
from tests.bot.test_privacy import deleted
from tests.bot.world import SETTINGS, World, open_world, private
from tests.s3_server import make_bucket, s3_server


async def test_a_button_whose_picture_cannot_be_reached_says_so_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files_s3, "_TRIES", 1)
    with ExitStack() as serving:
        server = serving.enter_context(s3_server())
        make_bucket(server, "pictures")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        settings = SETTINGS.replace('files = "files"', 'files = "s3://pictures"')
        async with open_world(tmp_path, settings=settings) as world:
            message = await world.drawn("a boat")
            await world.all_told()
            serving.close()
            said = private(await world.press(message, "U1"))
            assert said == world.app.services.messages.say("notices.files_away", "en-US")
            assert f"nothing answers at {server}" in capsys.readouterr().out  # it is for whoever runs the bot


@asynccontextmanager
async def bucket_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world whose pictures are in a bucket."""
    monkeypatch.setattr(files_s3, "_TRIES", 1)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with s3_server() as server:
        make_bucket(server, "pictures")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        async with open_world(
            tmp_path, settings=SETTINGS.replace('files = "files"', 'files = "s3://pictures"')
        ) as world:
            yield world


def lose_bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """From now on nothing answers there; `undo` of what is returned brings it back, with what is in it."""
    files = world.app.services.storage.files
    assert isinstance(files, S3Files)
    away = pytest.MonkeyPatch()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        away.setattr(files, "_store", S3Files("s3://pictures")._store)
    return away


async def swept(world: World) -> int:
    """The sweep of two days later: how many files it took."""
    later = datetime.now(UTC) + timedelta(days=2)
    return await world.app.services.storage.retention.clear_files(unneeded=later, uploads=None)


async def test_a_picture_is_taken_back_while_the_bucket_is_away_and_its_file_goes_with_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bucket_world(tmp_path, monkeypatch) as world:
        grid = await world.drawn("a boat --n 2")
        single = await picked(world, grid, "U1")
        await remembered(world, 1, 2)
        await world.all_told()
        storage = world.app.services.storage
        first, second = await storage.images.of_job(1)
        away = lose_bucket(world, monkeypatch)
        try:
            assert await delete(world, single) == "The picture is deleted."
        finally:
            away.undo()
        assert world.messages() == []  # the grid too: what is left of it cannot be read
        assert list(await storage.images.of_job(1)) == [second]
        logged = capsys.readouterr().out
        assert "files_failed" in logged
        assert await storage.files.exists(first.digest)
        assert await swept(world) == 1
        assert [await storage.files.exists(image.digest) for image in (first, second)] == [False, True]


async def test_a_persons_messages_go_while_the_bucket_is_away_and_the_files_with_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data, "PAUSES", (0.1, 0.5, 1.0))
    async with bucket_world(tmp_path, monkeypatch) as world:
        await world.drawn("a boat --n 2")
        await world.all_told()
        storage = world.app.services.storage
        images = await storage.images.of_job(1)
        away = lose_bucket(world, monkeypatch)
        try:
            assert (await deleted(world)).startswith("Deleted. Pictures: 2;")
            await world.until(lambda: not world.messages())
        finally:
            away.undo()
        assert await swept(world) == 2
        assert [await storage.files.exists(image.digest) for image in images] == [False, False]
